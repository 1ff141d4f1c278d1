"""Centroids of numbers: exact k-means, Lloyd's iteration, and how that begins.

`exact` is the best there is and needs no start; the others are here to be compared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.quantise.cluster import kmeans, nearest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ITERATIONS = 50


def linear(values: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """Evenly spaced from the smallest to the largest value."""
    return np.linspace(values.min(), values.max(), clusters)


def quantile(values: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """The middles of `clusters` equally filled parts."""
    return np.asarray(np.quantile(values, (np.arange(clusters) + 0.5) / clusters), np.float64)


def plus_plus(values: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """k-means++: each further one drawn with the squared distance from those before."""
    found = [float(rng.choice(values))]
    distance = np.square(values - found[0])
    while len(found) < clusters and distance.sum() > 0:
        found.append(float(rng.choice(values, p=distance / distance.sum())))
        distance = np.minimum(distance, np.square(values - found[-1]))
    return np.array(found)


STARTS: dict[str, Callable[[Floats, int, np.random.Generator], Floats]] = {
    "linear": linear, "quantile": quantile, "kmeans++": plus_plus}
METHODS = ("exact", *STARTS)


def centroids(values: NDArray[np.floating[Any]], clusters: int, method: str = "exact",
              seed: int = 0) -> Floats:
    """At most `clusters` centroids of a sample that is not empty, distinct, ascending.

    method: one of METHODS; all but "exact" are Lloyd's iteration from that start.
    """
    sample = np.asarray(values, np.float64).ravel()
    if method == "exact":
        return kmeans(sample, clusters)
    return lloyd(sample, STARTS[method](sample, clusters, np.random.default_rng(seed)))


def lloyd(values: Floats, start: Floats) -> Floats:
    """Assign to the nearest, move to the mean, until nothing moves or ITERATIONS are done.

    Centroids that lose all their values are dropped.
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    found = np.unique(start)
    for _ in range(ITERATIONS):
        inner = np.searchsorted(ordered, (found[1:] + found[:-1]) / 2)
        edges = np.concatenate([[0], inner, [len(ordered)]])
        count = np.diff(edges)
        moved = np.unique((np.diff(sums[edges])[count > 0]) / count[count > 0])
        if np.array_equal(moved, found):
            break
        found = moved
    return found


def distortion(values: NDArray[np.floating[Any]], found: Floats) -> float:
    """Sum of squared distances from the nearest centroid."""
    sample = np.asarray(values, np.float64).ravel()
    return float(np.square(sample - found[nearest(found, sample)]).sum())


def codes(values: NDArray[np.floating[Any]], found: Floats) -> Ints:
    """Code of every value: 0 for zero and for nothing else, else 1 + its nearest centroid."""
    array = np.asarray(values, np.float64)
    return np.where(array != 0, nearest(found, array) + 1, 0)
