"""Exact k-means against every possible clustering."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.quantise.cluster import (
    AT_ONCE,
    FEW,
    MOST_POINTS,
    Clusterings,
    Points,
    kmeans,
    nearest,
)

POINTS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5)), min_size=1, max_size=8,
                  unique_by=lambda point: point[0])


def cost_of_cuts(points: Points, edges: tuple[int, ...]) -> float:
    cost = 0.0
    for start, end in zip(edges, edges[1:], strict=False):
        values, counts = points.values[start:end], points.counts[start:end]
        if end > start:
            cost += float((counts * (values - np.average(values, weights=counts)) ** 2).sum())
    return cost


def least_cost(points: Points, clusters: int, zero: bool) -> float:
    """The least cost over all places of the cuts."""
    n = len(points)
    costs = []
    for cuts in itertools.combinations_with_replacement(range(n + 1), clusters):
        first = cuts[0] if cuts else n
        if not zero and first:
            continue
        at_zero = float((points.counts[:first] * points.values[:first] ** 2).sum())
        costs.append(at_zero + cost_of_cuts(points, (*cuts, n)))
    return min(costs, default=0.0)


@given(POINTS, st.integers(1, 4), st.booleans())
def test_no_clustering_is_better(found: list[tuple[int, int]], clusters: int, zero: bool) -> None:
    found = sorted(found)
    points = Points(np.array([v / 7 for v, _ in found]), np.array([float(c) for _, c in found]))
    result = Clusterings(points, clusters, zero)
    for k, cost in enumerate(result.costs):
        if k == 0 and not zero:
            continue
        assert cost == pytest.approx(least_cost(points, k, zero), abs=1e-9)
        centroids = result.centroids(k)
        assert len(centroids) <= k and (np.diff(centroids) > 0).all()
        every = np.concatenate([[0.0], centroids]) if zero else centroids
        distance = np.square(points.values - every[nearest(every, points.values)])
        assert (distance * points.counts).sum() == pytest.approx(cost, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 1 << 16), st.integers(2, 40), st.integers(1, 9))
def test_larger_samples_agree_with_the_plain_recurrence(seed: int, n: int, clusters: int) -> None:
    values = np.sort(np.random.default_rng(seed).exponential(size=n))
    points = Points(values, np.ones(n))
    best = np.array([0.0] + [np.inf] * n)
    for _ in range(clusters):
        best = np.array([min(best[i] + cost_of_cuts(points, (i, j)) for i in range(j + 1))
                         for j in range(n + 1)])
    assert Clusterings(points, clusters).costs[-1] == pytest.approx(best[n], abs=1e-9)


def test_as_many_clusters_as_values_cost_nothing() -> None:
    values = np.array([-3.0, -1.0, 0.5, 2.0])
    np.testing.assert_allclose(kmeans(np.repeat(values, 5), 4), values)
    np.testing.assert_allclose(kmeans(values, 9), values)


def test_many_values_are_binned_without_visible_loss() -> None:
    values = np.random.default_rng(0).normal(size=20 * MOST_POINTS)
    assert len(Points.of(values)) <= MOST_POINTS

    def loss(centroids: np.ndarray) -> float:
        return float(np.square(values - centroids[nearest(centroids, values)]).mean())

    found = kmeans(values, 16)
    improved = found
    for _ in range(50):                     # Lloyd's iteration on all values finds nothing better
        label = nearest(improved, values)
        improved = np.bincount(label, values) / np.bincount(label)
    assert loss(found) <= loss(improved) * 1.001
    assert loss(found) == pytest.approx(0.009497, rel=0.05)     # Lloyd-Max, 16 levels of a Gaussian


def test_nothing_to_cluster() -> None:
    empty = Clusterings(Points(np.zeros(0), np.zeros(0)), 5, zero=True)
    assert empty.costs.tolist() == [0.0] and len(empty.centroids(0)) == 0


def test_half_way_goes_up() -> None:
    assert nearest(np.array([0.0, 1.0, 3.0]), np.array([0.49, 0.5, 2.0, -9, 9])).tolist() == [
        0, 1, 2, 0, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 2 * FEW), st.integers(0, 2 * AT_ONCE))
def test_few_limits_give_what_a_search_gives(seed: int, clusters: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    centroids = np.unique(rng.integers(-50, 50, clusters) / 2)
    values = rng.integers(-200, 200, (count, 2)) / 8
    values[:count // 9] = [np.inf, -np.inf]
    limits = (centroids[1:] + centroids[:-1]) / 2
    found = nearest(centroids, values)
    np.testing.assert_array_equal(found, np.searchsorted(limits, values, side="right"))
    assert found.dtype == np.int64
