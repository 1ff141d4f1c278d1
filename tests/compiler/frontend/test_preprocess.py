"""A preprocess is run, and known as data exactly where it is plain arithmetic."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend import preprocess
from kcnn.compiler.frontend.model import load_model
from torch.nn import functional

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
LAST = (0, 3, 1, 2)


def pixels(shape=(6, 3, 7, 8), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def found(function, x):
    return preprocess.as_data(function, x, preprocess.applied(function, x, "here"))


PLAIN = {
    "nothing": lambda x: x,
    "scaled": lambda x: x / 255,
    "in place": lambda x: x.div_(255).sub_(0.5),
    "normalised": lambda x: (x / 255 - MEAN) / STD,
    "one step": lambda x: torch.addcmul(-MEAN / STD, x, 1 / (255 * STD)),
    "in double precision": lambda x: ((x.double() / 255 - MEAN) / STD).float(),
    "the other order": lambda x: x.flip(1) - torch.tensor([104., 117., 123.])[:, None, None],
    "one channel": lambda x: x[:, 1:2] / 128 - 1,
    "repeated": lambda x: x[:, :1].repeat(1, 3, 1, 1),
    "channels last": lambda x: (x.permute(LAST) / 255 - MEAN[:, :, :1]) / STD[:, :, :1],
    "bytes": lambda x: x.to(torch.uint8).float() / 255,
    "within its range": lambda x: (x / 255).clamp(0, 1),
    "a constant channel": lambda x: torch.cat([x, torch.ones_like(x[:, :1])], 1),
    "with weights": lambda x: x * torch.tensor(0.5, requires_grad=True),
}


@pytest.mark.parametrize("name", PLAIN)
def test_arithmetic_of_channels_is_found(name):
    function = PLAIN[name]
    x = pixels((6, 7, 8, 3)) if name == "channels last" else pixels()
    kept = found(function, x)
    assert kept is not None and kept.channels_last == (name == "channels last")
    other = pixels(x.shape, seed=1)
    exact = preprocess.applied(function, other, "here").astype(np.float64)
    assert np.abs(kept(other) - exact).max() <= 1e-6 * np.abs(exact).max()
    assert kept.takes(exact.shape[1:]) == x.shape[1:]


def test_the_figures_are_right():
    kept = found(PLAIN["normalised"], pixels())
    assert kept.order == (0, 1, 2) and kept.channels == 3
    assert kept.scale == pytest.approx((1 / (255 * STD)).ravel().tolist(), rel=1e-6)
    assert kept.offset == pytest.approx((-MEAN / STD).ravel().tolist(), rel=1e-6)
    assert found(PLAIN["the other order"], pixels()).order == (2, 1, 0)
    assert found(PLAIN["repeated"], pixels()).order == (0, 0, 0)


@pytest.mark.parametrize("function", [
    lambda x: functional.interpolate(x, (4, 4)),
    lambda x: functional.avg_pool2d(x, 3, 1, 1),
    lambda x: x[:, :, 1:-1, 1:-1],
    lambda x: x.flip(3),
    lambda x: x.transpose(2, 3),
    lambda x: x.mean(1, keepdim=True),
    lambda x: (x / 255) ** 0.45,
    lambda x: (x / 255).clamp(0.1, 0.9),
    lambda x: (x / 17).round(),
    lambda x: (x - x.mean()) / x.std(),
    lambda x: x - x.mean((1, 2, 3), keepdim=True),
    lambda x: x / x.amax((2, 3), keepdim=True),
    lambda x: x - x[:1],
    lambda x: x + torch.rand_like(x),
    lambda x: x[:2],
    lambda x: x.double(),
    lambda x: x if len(x) > 1 else x / 0,
    lambda x: x * torch.linspace(0, 1, 8),
], ids=lambda function: None)
def test_anything_else_is_not(function):
    x = pixels((6, 3, 8, 8))
    made = function(torch.from_numpy(x.astype(np.float32))).numpy()
    assert preprocess.as_data(function, x, made) is None


def test_values_that_are_not_whole_are_tried_too():
    x = np.random.default_rng(0).random((4, 1, 5, 5)).astype(np.float32)
    assert found(lambda x: x.round(), x) is None
    assert found(lambda x: x * 2 - 1, x).scale == pytest.approx((2.0,))


def test_the_users_images_are_not_changed():
    x = pixels().astype(np.float32)
    before = x.copy()
    preprocess.applied(PLAIN["in place"], x, "here")
    assert (x == before).all()


@pytest.mark.parametrize("function, said", [
    (lambda x: x.missing, "preprocess fails ('Tensor' object has no attribute 'missing'); it t"),
    (lambda x: x.numpy(), "preprocess returns ndarray; it must return a tensor")])
def test_what_it_does_wrong_is_told(function, said):
    with pytest.raises(CompileError) as caught:
        preprocess.applied(function, pixels(), "here")
    assert str(caught.value).startswith(f"here: the model's {said}")


# ---- notes ---------------------------------------------------------------------------------------
def archive(note):
    """A .pt2 file with a note."""
    out = io.BytesIO()
    exported = torch.export.export(torch.nn.Conv2d(3, 2, 3).eval(), (torch.zeros(1, 3, 5, 5),))
    torch.export.save(exported, out, extra_files={preprocess.NOTE: note})
    return out.getvalue()


def test_an_exported_network_takes_it_along(tmp_path):
    kept = found(PLAIN["the other order"], pixels())
    (tmp_path / "net.pt2").write_bytes(archive(preprocess.note(kept)))
    function = load_model(str(tmp_path / "net.pt2")).preprocess
    x = pixels(seed=3)
    assert (preprocess.applied(function, x, "here") == kept(x)).all()


@pytest.mark.parametrize("note", [
    "", "{}", "[" * 100_000, '"other"', '{"order":[7],"scale":[1.0],"offset":[]}', " " * (1 << 21),
    '{"channels":1,"channels_last":false,"offset":[1e999],"order":[0],"scale":[1.0]}'])
def test_notes_that_kcnn_did_not_write_are_refused(note):
    with pytest.raises(CompileError, match="here: its note kcnn_preprocess.json is not one that"):
        preprocess.noted(archive(note), "here")


def test_other_archives_have_none():
    other = archive("").replace(b"kcnn_preprocess", b"some_preprocess")
    assert preprocess.noted(other, "here") is None
