"""Exact k-means in one dimension, by dynamic programming over sorted points."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..ir.quantised import Floats, Ints

# Points beyond which values are gathered in bins first. A 16th of the range, as a cluster of 4-bit
# codes has it, then holds 128 points: nothing measurable is lost, and time grows with their number.
MOST_POINTS = 2048
# Limits that are faster compared with many values, one after the other, than searched for each;
# and the values of each comparison, as many as stay in a processor's cache.
FEW, AT_ONCE = 64, 1 << 16
TINY = np.finfo(float).tiny


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Distinct values, ascending, and how often each occurs."""

    values: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Floats) -> Points:
        """The points of a sample; more than MOST_POINTS distinct values are binned evenly."""
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) <= MOST_POINTS:
            return cls(distinct, counts.astype(np.float64))
        span = distinct[-1] - distinct[0]
        at = np.minimum((distinct - distinct[0]) / span * MOST_POINTS, MOST_POINTS - 1).astype(int)
        return binned(np.bincount(at, counts).astype(np.float64),
                      np.bincount(at, counts * distinct).astype(np.float64))

    def __len__(self) -> int:
        return len(self.values)


def binned(counts: Floats, sums: Floats) -> Points:
    """Points of a histogram: each bin that holds anything stands at its mean."""
    used = counts > 0
    return Points(sums[used] / counts[used], counts[used].astype(np.float64))


class Clusterings:
    """The best clusterings of points into 0, 1, ... `most` clusters.

    The points must be ascending. costs[k]: least sum of squared distances of all points, counted,
    with at most k clusters. With `zero`, a further cluster sits fixed at zero and takes the first
    points; these must then be positive.
    """

    def __init__(self, points: Points, most: int, zero: bool = False) -> None:
        self._sums = _Sums(points)
        self._choices: list[Ints] = []
        n = len(points)
        best = self._sums.squares.copy() if zero else np.where(np.arange(n + 1) > 0, np.inf, 0.0)
        costs = [best[n]]
        for _ in range(min(most, n)):
            best, choice = self._sums.add_cluster(best)
            self._choices.append(choice)
            costs.append(best[n])
        self.costs: Floats = np.array(costs)

    def centroids(self, clusters: int) -> Floats:
        """Means of the clusters, ascending; empty clusters are left out."""
        out = []
        end = len(self._sums.squares) - 1
        for choice in reversed(self._choices[:clusters]):
            start = int(choice[end])
            if start < end:
                out.append(self._sums.mean(start, end))
            end = start
        return np.array(out[::-1])


class _Sums:
    """Prefix sums, and with them the cost of any stretch of points."""

    def __init__(self, points: Points) -> None:
        def prefix(values: Floats) -> Floats:
            return np.concatenate([[0.0], np.cumsum(values)])

        self.counts = prefix(points.counts)
        self.values = prefix(points.counts * points.values)
        self.squares = prefix(points.counts * points.values ** 2)
        self._numbers = np.arange(2 * len(points) + 2)

    def mean(self, start: int, end: int) -> float:
        return float((self.values[end] - self.values[start])
                     / (self.counts[end] - self.counts[start]))

    def add_cluster(self, best: Floats) -> tuple[Floats, Ints]:
        """From the least cost of every prefix with k clusters to that with k + 1.

        Returns costs and, for every prefix, where its last cluster starts. That start never falls
        with the prefix's length, so lengths are taken from coarse to fine, each level between the
        starts of its neighbours.
        """
        n = len(best) - 1
        out, choice = best.copy(), np.zeros(n + 1, np.int64)
        for step in _levels(n):
            ends = np.arange(step, n + 1, 2 * step)
            low = choice[ends - step]
            above = ends + step
            high = np.where(above <= n, choice[np.minimum(above, n)], n)
            out[ends], choice[ends] = self._level(best, ends, low, np.minimum(high, ends))
        return out, choice

    def _level(self, best: Floats, ends: Ints, low: Ints, high: Ints) -> tuple[Floats, Ints]:
        """For every end the least best[start] + cost(start, end), low <= start <= high.

        The cost is the sum of squared distances of points start..end-1 from their mean.
        """
        lengths = high - low + 1
        firsts = lengths.cumsum() - lengths
        owner = self._numbers[:len(ends)].repeat(lengths)
        start = self._numbers[:len(owner)] + (low - firsts).take(owner)
        count, value, total = (sums.take(ends).take(owner) - sums.take(start)
                               for sums in (self.counts, self.values, self.squares))
        value *= value
        value /= np.maximum(count, TINY, out=count)
        total -= value
        np.maximum(total, 0.0, out=total)
        total += best.take(start)
        least = np.minimum.reduceat(total, firsts)
        hits = (total == least.take(owner)).nonzero()[0]
        return least, start[hits[hits.searchsorted(firsts)]]


def _levels(n: int) -> Iterator[int]:
    step = 1 << max(n.bit_length() - 1, 0)
    while step and n:
        yield step
        step //= 2


def kmeans(values: Floats, clusters: int) -> Floats:
    """The best at most `clusters` centroids of a sample, ascending (binned beyond MOST_POINTS)."""
    return Clusterings(Points.of(values), clusters).centroids(clusters)


def nearest(centroids: Floats, values: NDArray[np.float64]) -> Ints:
    """Index of the nearest centroid (ascending) for every value; half way up takes the upper."""
    limits = (centroids[1:] + centroids[:-1]) / 2
    if len(limits) > FEW or values.size < FEW:
        return np.searchsorted(limits, values, side="right")
    out = np.empty(values.shape, np.int64)
    flat, into = values.reshape(-1), out.reshape(-1)
    for first in range(0, flat.size, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        into[part] = _passed(limits, flat[part])
    return out


def _passed(limits: Floats, values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """How many of at most 255 limits each value does not stay below."""
    count = np.full(len(values), len(limits), np.uint8)
    for limit in limits:
        count -= (values < limit).view(np.uint8)
    return count
