"""How far real test images, and mistakes, are from calibration images: the table of docs/data.md.

    python bench/likeness.py        reads the folder that the variable KCNN_DATA names
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from kcnn.arch import likeness
from numpy.typing import NDArray

Images = NDArray[np.float32]
CALIBRATION = 100
SIZES = {1: 60, 16: 60, 200: 10}         # images at once: draws
CIFAR = (np.array([0.4914, 0.4822, 0.4465], np.float32)[:, None, None],
         np.array([0.247, 0.243, 0.261], np.float32)[:, None, None])


def load(name: str, scale: float = 255.0) -> tuple[Images, NDArray[np.integer]]:
    """Images 0..1 (N, C, H, W) and labels of a file."""
    with np.load(Path(os.environ["KCNN_DATA"]) / f"{name}.npz") as file:
        images, labels = file["images"], file["labels"]
    x = images.reshape(*images.shape[:3], -1).transpose(0, 3, 1, 2)
    return (x / scale).astype(np.float32), labels


def normalised(x: Images) -> Images:
    """CIFAR-10 as networks take it."""
    return (x - CIFAR[0]) / CIFAR[1]


def distance(known: likeness.Likeness, x: Images) -> float:
    """Of the feature that is farthest away, in spreads."""
    away = np.abs(likeness.features(x).mean(axis=0) - known.mean) / known.spread
    return float(away.max())


def draws(x: Images, size: int, seed: int = 0) -> Iterator[Images]:
    """Some of the images, at random."""
    rng = np.random.default_rng(seed)
    for _ in range(SIZES[size]):
        yield x[rng.permutation(len(x))[:size]]


def stretches(x: Images, labels: NDArray[np.integer], size: int) -> Iterator[Images]:
    """Neighbours among the images sorted by class."""
    ordered = x[np.argsort(labels, kind="stable")]
    for at in np.linspace(0, len(x) - size, SIZES[size]).astype(int):
        yield ordered[at:at + size]


def alike(known: likeness.Likeness, x: Images, labels: NDArray[np.integer], size: int) -> float:
    """The farthest of images that must not be told."""
    return max(distance(known, part)
               for part in (*draws(x, size), *stretches(x, labels, size)))


def mistaken(known: likeness.Likeness, x: Images, size: int) -> float:
    """The nearest of images that should be told."""
    return min(distance(known, part) for part in draws(x, size))


def reshaped(x: Images) -> Images:
    """Channels last, read as if they came first."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(x.shape)


def main() -> None:
    """Print the rows of the table."""
    columns: dict[str, Callable[[int], float]] = {}
    train, (test, labels) = load("cifar10_train_lossless_4000")[0], load("cifar10_test_5000")
    cifar = likeness.measure(normalised(train[:CALIBRATION]))
    columns["CIFAR-10"] = lambda size: alike(cifar, normalised(test), labels, size)
    for title, file, other in (("MNIST", "mnist_train_60000", "mnist_test_5000"),
                               ("Fashion-MNIST", "fashion_mnist_train_25000",
                                "fashion_mnist_test_5000")):
        known = likeness.measure(load(file)[0][:CALIBRATION])
        x, y = load(other)
        columns[title] = functools.partial(alike, known, x, y)
    digits = likeness.measure(load("mnist_train_60000")[0][:CALIBRATION])
    mnist = load("mnist_test_5000")[0]
    columns["0..1 instead of normalised"] = lambda size: mistaken(cifar, test, size)
    columns["0..255"] = lambda size: mistaken(cifar, 255 * test, size)
    columns["inverted MNIST"] = lambda size: mistaken(digits, 1 - mnist, size)
    columns["reshaped"] = lambda size: mistaken(cifar, normalised(reshaped(test)), size)
    print("images | limit |", " | ".join(columns))
    for size in SIZES:
        limit = likeness.FAR + likeness.FARTHER / math.sqrt(size)
        print(f"{size} | {limit:.1f} |",
              " | ".join(f"{column(size):.1f}" for column in columns.values()))


if __name__ == "__main__":
    main()
