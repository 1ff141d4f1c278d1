"""Arrays of numpy, torch and files."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from kcnn.api import arrays
from kcnn.arch.errors import KcnnError
from kcnn.arch.program import Port

X = np.ones((2, 1, 4, 4), np.float32)


def test_all_kinds_are_the_same_arrays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", x=X, y=X)
    kinds = (X, torch.from_numpy(X).requires_grad_(), {"x": torch.from_numpy(X)},
             tmp_path / "x.npy", str(tmp_path / "x.npz"))
    for data in kinds:
        assert (arrays.images(arrays.given(data, "images")) == X).all()


@pytest.mark.parametrize("tensor", [
    torch.from_numpy(X).bfloat16(), torch.from_numpy(X).to_sparse(),
    torch.from_numpy(X).to("meta")], ids=["bfloat16", "sparse", "meta"])
def test_tensors_that_numpy_cannot_hold(tensor):
    for data, place in ((tensor, "images: the array"), ({"a": tensor}, "images: array 'a'")):
        with pytest.raises(KcnnError, match=f"^{place} is a tensor that numpy cannot hold .*; "
                                            "give a dense float32 one$"):
            arrays.given(data, "images")


def test_the_same_kind_comes_back():
    assert arrays.like(X, X) is X and arrays.like(X, "x.npy") is X
    assert isinstance(arrays.like(X, torch.zeros(1)), torch.Tensor)
    assert isinstance(arrays.like(X, {"a": torch.zeros(1)}), torch.Tensor)


def test_pixels_get_their_channels_first():
    found = arrays.given({"images": np.zeros((2, 4, 5, 3), np.uint8), "labels": X}, "images")
    assert arrays.images(found, True).shape == (2, 3, 4, 5)


@pytest.mark.parametrize("data, said", [
    (X.astype(np.uint8), "images: the array is uint8, not float32; give it as the network"),
    (X[0], "images: the array has the shape (1, 4, 4); (N, C, H, W) is needed"),
    (X[:0], "so it is empty; give at least one image"),
    (X * np.nan, "images: the array holds nan at (0, 0, 0, 0)"),
    ({"a": X, "b": X}, "images: holds the arrays a, b; name the one to use x"),
    ({"a": X[0]}, "images: array 'a' has the shape")])
def test_what_cannot_be_used_is_named(data, said):
    with pytest.raises(KcnnError, match=re.escape(said)):
        arrays.images(arrays.given(data, "images"))


@pytest.fixture
def two(work):
    """A program that asks for two inputs."""
    (port,) = work.net.program.inputs
    return dataclasses.replace(work.net.program, inputs=(port, Port("second", 0, port.address)))


def test_several_inputs_are_found_by_name(work, two):
    found = arrays.inputs(arrays.given({"second": work.ready, "input": -work.ready}, "x"), two)
    assert (found[0] == -work.ready).all() and (found[1] == work.ready).all()


@pytest.mark.parametrize("data, said", [
    (lambda x: {"input": x}, "x: input 'second' is missing; the network takes an .npz file with"),
    (lambda x: {"input": x, "second": x[:1]}, "the inputs have different numbers of images"),
    (lambda x: {"input": x, "second": x[:, :2]}, "input 'second' has the shape (5, 2, 8, 8)")])
def test_several_inputs_that_do_not_fit_are_named(work, two, data, said):
    with pytest.raises(KcnnError, match=re.escape(said)):
        arrays.inputs(arrays.given(data(work.ready), "x"), two)
