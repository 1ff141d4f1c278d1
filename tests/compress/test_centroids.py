"""Centroids: the exact ones are the best there are, Lloyd's a fixed point."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import centroids
from sklearn.cluster import KMeans

values = st.lists(st.integers(-40, 40), min_size=1, max_size=9).map(
    lambda v: np.array(v, np.float64) / 8)


def best(sample: np.ndarray, clusters: int) -> float:
    """Least distortion over all ways to cut the sorted sample into pieces."""
    ordered = np.sort(sample)
    count = min(clusters, len(ordered))
    cuts = itertools.combinations(range(1, len(ordered)), count - 1)
    return min(sum(np.square(part - part.mean()).sum() for part in np.split(ordered, cut))
               for cut in cuts)


@settings(max_examples=60)
@given(values, st.integers(1, 5))
def test_exact_is_what_trying_everything_finds(sample: np.ndarray, clusters: int) -> None:
    found = centroids.centroids(sample, clusters)
    assert centroids.distortion(sample, found) == pytest.approx(best(sample, clusters), abs=1e-9)


@pytest.mark.parametrize("clusters", [2, 5, 16])
def test_exact_is_at_least_as_good_as_the_package_and_every_lloyd(clusters: int) -> None:
    sample = np.random.default_rng(3).standard_t(4, 900)
    theirs = -KMeans(clusters, n_init=5, random_state=0).fit(sample[:, None]).score(sample[:, None])
    ours = centroids.distortion(sample, centroids.centroids(sample, clusters))
    assert ours <= theirs * (1 + 1e-9)
    for method in centroids.STARTS:
        other = centroids.distortion(sample, centroids.centroids(sample, clusters, method, seed=1))
        assert ours <= other * (1 + 1e-9) and other <= 3 * ours


@settings(max_examples=60)
@given(values, st.integers(1, 5), st.sampled_from(sorted(centroids.STARTS)))
def test_lloyd_ends_where_every_centroid_is_the_mean_of_what_is_nearest(
        sample: np.ndarray, clusters: int, method: str) -> None:
    found = centroids.centroids(sample, clusters, method)
    assert 1 <= len(found) <= clusters and (np.diff(found) > 0).all()
    owner = centroids.nearest(found, sample)
    means = [sample[owner == j].mean() for j in range(len(found))]
    assert found == pytest.approx(means)


def test_lloyd_is_what_the_package_does_from_the_same_start() -> None:
    sample = np.random.default_rng(4).normal(size=400)
    start = centroids.linear(sample, 6, np.random.default_rng(0))
    theirs = KMeans(6, init=start[:, None], n_init=1, max_iter=50, tol=0).fit(sample[:, None])
    assert centroids.lloyd(sample, start) == pytest.approx(np.sort(theirs.cluster_centers_.ravel()))


def test_starts_are_what_they_are_called() -> None:
    sample, rng = np.arange(1.0, 9.0), np.random.default_rng(0)
    assert centroids.linear(sample, 3, rng).tolist() == [1, 4.5, 8]
    assert centroids.quantile(sample, 2, rng).tolist() == [2.75, 6.25]
    drawn = centroids.plus_plus(np.array([0.0, 0.0, 100.0]), 2, rng)
    assert sorted(drawn.tolist()) == [0, 100]
    assert len(centroids.plus_plus(np.ones(5), 3, rng)) == 1


def test_only_zero_has_code_zero() -> None:
    found = np.array([-1.0, 0.25, 2.0])
    assert centroids.codes(np.array([0, 1e-12, -1e-12, -3, 1.2, 0]), found).tolist() == [
        0, 2, 2, 1, 3, 0]
