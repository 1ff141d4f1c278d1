"""Real images of the same kind are not told, mistakes are."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from kcnn.arch import likeness
from scripts import script
from sklearn.datasets import load_digits

bench = script("bench/likeness")


def limit(size: int) -> float:
    return likeness.FAR + likeness.FARTHER / math.sqrt(size)


def check(train, test, labels, mistakes):
    known = likeness.measure(train[:bench.CALIBRATION])
    for size in bench.SIZES:
        assert bench.alike(known, test, labels, size) < limit(size)
    for mistake in mistakes:
        for size in (16, 200):
            assert bench.mistaken(known, mistake(test), size) > limit(size)


def test_digits() -> None:
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    check(x[:900], x[900:], digits.target[900:],
          [lambda x: 16 * x, lambda x: 1 - x, lambda x: x - 0.5])


@pytest.mark.skipif("KCNN_DATA" not in os.environ, reason="KCNN_DATA names no folder")
def test_real_images() -> None:
    check(bench.load("mnist_train_60000")[0][:200], *bench.load("mnist_test_5000"),
          [lambda x: 255 * x, lambda x: 1 - x, lambda x: (x - 0.1307) / 0.3081])
    check(bench.load("fashion_mnist_train_25000")[0][:200], *bench.load("fashion_mnist_test_5000"),
          [lambda x: 255 * x, lambda x: x - 0.5])
    test, labels = bench.load("cifar10_test_5000")
    check(bench.normalised(bench.load("cifar10_train_lossless_4000")[0][:200]),
          bench.normalised(test), labels, [lambda x: 0.25 * x + 0.47, lambda x: 255 * x])
