"""Clustered weights: exact where they can be, close where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kcnn.compiler.quantise import weights
from kcnn.compiler.quantise.emulate import sqnr
from kcnn.compiler.quantise.weights import cluster_weights, reaching

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=40)
@given(arrays(np.float64, SHAPES, elements=st.floats(-4, 4).map(lambda w: round(w, 3))),
       st.integers(1, 16))
def test_form(weight: np.ndarray, clusters: int) -> None:
    out = cluster_weights(weight, clusters)
    assert 1 <= len(out.magnitudes) <= clusters
    assert (out.magnitudes > 0).all() and (np.diff(out.magnitudes) > 0).all()
    assert out.index.min() >= 0 and out.index.max() <= len(out.magnitudes)
    assert ((out.index == 0) == (weight == 0)).all()
    assert (out.channel_scale > 0).all()
    np.testing.assert_array_equal(np.sign(out.dense()), np.sign(weight))
    assert sqnr(weight, out.dense()) > 0 or not weight.any()


@pytest.mark.parametrize("magnitudes", [[1.0], [0.3, 0.7], [0.11, 0.5, 3.0, 4.0]])
def test_layers_of_few_magnitudes_are_kept_exactly(magnitudes: list[float]) -> None:
    rng = np.random.default_rng(0)
    weight = rng.choice([0.0, *magnitudes], (6, 4, 3, 3)) * rng.choice([-1, 1], (6, 4, 3, 3))
    np.testing.assert_array_equal(cluster_weights(weight, 4).dense(), weight)


def test_no_weights_at_all() -> None:
    out = cluster_weights(np.zeros((2, 3, 1, 1)), 16)
    assert not out.index.any() and not out.dense().any()
    assert np.isfinite(out.channel_scale).all()


def test_channels_without_weights() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 8, 3, 3))
    weight[1] = 0
    out = cluster_weights(weight, 4)
    assert np.isfinite(out.dense()).all() and not out.dense()[1].any()


def test_channels_of_different_size_lose_the_same() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 16, 3, 3)) * np.array(
        [1e-4, 1e-2, 1, 100])[:, None, None, None]
    found = cluster_weights(weight, 16).dense()
    for channel, clustered in zip(weight, found, strict=True):
        assert 24 < sqnr(channel, clustered) < 32


@pytest.mark.parametrize(("clusters", "least"), [(1, 4.0), (4, 14.5), (8, 20.5), (16, 26.0)])
def test_a_gaussian_layer_keeps_what_theory_allows(clusters: int, least: float) -> None:
    """Lloyd-Max quantisers of 2, 8, 16, 32 levels reach 4.4, 14.6, 20.2 and 26.0 dB."""
    weight = np.random.default_rng(0).normal(size=(16, 16, 3, 3))
    assert sqnr(weight, cluster_weights(weight, clusters).dense()) > least


def test_twice_the_same() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 8, 3, 3))
    first, second = cluster_weights(weight, 16), cluster_weights(weight.copy(), 16)
    for name in ("magnitudes", "index", "negative", "channel_scale"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), SHAPES, st.integers(1, 16), st.sampled_from([1, 3, 52]),
       st.floats(0, 1))
def test_only_scales_that_cannot_be_best_are_left_out(
        seed: int, shape: tuple[int, ...], clusters: int, bits: int, zeros: float) -> None:
    """Every step of every channel tried gives the same bits. Few bits make ties."""
    rng = np.random.default_rng(seed)
    weight = np.ldexp(np.rint(rng.normal(size=(8, *shape[1:])) * 2.0 ** bits), -bits)
    weight[rng.random(weight.shape) < zeros] = 0
    weight[:2] *= np.exp(rng.normal(size=(2, 1, 1, 1)) * 5)
    found = cluster_weights(weight, clusters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "CLOSE", 1e9)
        wanted = cluster_weights(weight, clusters)
    for name in ("magnitudes", "index", "negative", "channel_scale"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@settings(deadline=None)
@given(arrays(np.float64, 3, elements=st.floats(1e-9, 1e9)),
       arrays(np.float64, 2, elements=st.floats(1e-9, 1e9)))
def test_the_least_number_that_reaches_a_quotient(quotients: np.ndarray, divisors: np.ndarray
                                                  ) -> None:
    found = reaching(quotients, divisors)
    assert found.shape == (2, 3)
    assert (found / divisors[:, None] >= quotients).all()
    assert (np.nextafter(found, 0) / divisors[:, None] < quotients).all()


def test_zeros_of_large_layers_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(6, 5, 3, 3)) * (rng.random((6, 5, 3, 3)) < 0.3)
    small = cluster_weights(weight, 4)
    monkeypatch.setattr(weights, "LARGE", 1)
    large = cluster_weights(weight, 4)
    np.testing.assert_array_equal(large.index, small.index)
    np.testing.assert_allclose(large.dense(), small.dense(), rtol=1e-12)
