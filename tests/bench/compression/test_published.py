"""Trained networks and sample images: read as they were trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scripts import script
from torch import nn
from torch.nn import functional
from trained import needs_data

bench = script("bench/compression/published")


def test_accuracy_counts_the_first_and_the_first_five() -> None:
    logits = np.zeros((3, 1001))
    logits[:, 1:8] = [7, 6, 5, 4, 3, 2, 1]
    assert bench.accuracy(logits, np.array([0, 4, 5])) == (1 / 3, 2 / 3)
    assert bench.accuracy(logits[:, 1:], np.array([1, 2, 3])) == (0, 1)


def test_equal_logits_count_in_their_order() -> None:
    assert bench.accuracy(np.zeros((2, 1000)), np.array([4, 5])) == (0, 0.5)


def test_zeros_stand_where_tensorflow_has_them() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    taken = functional.unfold(bench.same(x, 2), 3, stride=2)[0]
    assert taken[:, 0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert taken[:, 3].tolist() == [10, 11, 0, 14, 15, 0, 0, 0, 0]
    taken = functional.unfold(bench.same(x, 1), 3)[0]
    assert taken.shape == (9, 16) and taken[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 0, 4, 5]


def test_networks_have_the_published_sizes() -> None:
    for module, shape, weights, outputs in ((bench.SqueezeNet(), 227, 1_244_448, 1000),
                                            (bench.MobileNet(), 192, 2_568_912, 1001)):
        assert sum(layer.weight.numel() for layer in module.modules()
                   if isinstance(layer, nn.Conv2d | nn.Linear)) == weights
        with torch.no_grad():
            assert module(torch.zeros(1, 3, shape, shape)).shape == (1, outputs)


@needs_data
@pytest.mark.parametrize(("name", "size", "first", "five"), [
    ("squeezenet", 227, 10, 14), ("mobilenet", 192, 11, 16)])
def test_sixteen_images(name: str, size: int, first: int, five: int) -> None:
    """Of the images whose classes are 0, 62, ... 930."""
    samples = bench.samples(size, every=31)
    assert samples.labels[:16].tolist() == list(range(0, 992, 62))[:16]
    module, (example,), preprocess = getattr(bench, name)()
    x = preprocess(torch.from_numpy(samples.planes()[:16]))
    assert x.shape[1:] == example.shape[1:]
    with torch.no_grad():
        logits = module(x).numpy()
    shares = bench.accuracy(logits, samples.labels[:16])
    assert shares == (first / 16, five / 16)


@needs_data
def test_samples_are_the_stored_arrays() -> None:
    with np.load(bench.folder() / "imagenet_sample_16.npz") as file:
        images, labels = file["images"], file["labels"]
    samples = bench.samples(every=31)
    assert samples.labels[:16].tolist() == labels.tolist()
    assert np.abs(samples.pixels[:16].astype(int) - images).max() <= 2
