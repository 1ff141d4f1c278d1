"""Magnitudes shared up to a scale a channel are found again after everything that scales them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise.shared import shared_magnitudes
from kcnn.compiler.quantise.weights import cluster_weights
from networks import randomise
from torch import nn

NEAR = 1e-6


def layer(rng: np.random.Generator, shape: tuple[int, ...], magnitudes: int, density: float
          ) -> np.ndarray:
    """float32 weights as compression leaves them: a value times a channel's scale, rounded."""
    values = np.sort(rng.gamma(2.0, 0.3, magnitudes)).astype(np.float32)
    scale = rng.uniform(0.01, 3, (shape[0], *[1] * (len(shape) - 1))).astype(np.float32)
    sign = rng.choice([-1.0, 1.0], shape).astype(np.float32)
    drawn = values[rng.integers(0, magnitudes, shape)]
    return np.where(rng.random(shape) < density, sign * drawn * scale, 0.0)


@settings(max_examples=40)
@given(st.integers(0, 1 << 16), st.integers(1, 16), st.sampled_from([0.1, 0.5, 1.0]),
       st.tuples(st.integers(1, 30), st.integers(1, 20), st.integers(1, 3), st.integers(1, 3)))
def test_scaled_layers_are_kept(seed: int, magnitudes: int, density: float, shape: tuple) -> None:
    rng = np.random.default_rng(seed)
    weight = layer(rng, shape, magnitudes, density).astype(np.float64)
    weight *= rng.uniform(-2, 2, (shape[0], 1, 1, 1))        # a batch norm, after that
    found = shared_magnitudes(weight, magnitudes)
    if found is None:          # channels of few weights may be put together in a longer way
        assert shape[1] * shape[2] * shape[3] * density < 4 * magnitudes
        return
    assert len(found.magnitudes) <= magnitudes and (np.diff(found.magnitudes) > 0).all()
    np.testing.assert_allclose(found.dense(), weight, rtol=NEAR)
    np.testing.assert_array_equal(found.dense() == 0, weight == 0)


def test_layers_of_more_magnitudes_are_not_taken_for_shared_ones() -> None:
    rng = np.random.default_rng(0)
    for weight in (layer(rng, (20, 30, 3, 3), 17, 1.0), rng.normal(size=(40, 1, 3, 3)),
                   rng.normal(size=(8, 2, 1, 1)), rng.normal(size=(64, 64, 3, 3))):
        assert shared_magnitudes(weight.astype(np.float64), 16 if len(weight) != 8 else 3) is None


def test_channels_of_one_weight_share_everything() -> None:
    weight = np.random.default_rng(0).normal(size=(50, 1, 1, 1))
    weight[7] = 0
    found = shared_magnitudes(weight, 1)
    assert found is not None
    np.testing.assert_allclose(found.dense(), weight, rtol=1e-12)


def test_channels_that_lack_magnitudes_join_through_others() -> None:
    """No channel has more than three of five; all have two in common with another one."""
    values = np.array([0.2, 0.3, 0.55, 0.9, 1.7])
    parts = [(0, 1, 2), (1, 2, 3), (2, 3, 4), (0, 1), (3, 4), (4, 4)]
    weight = np.zeros((len(parts), 3, 1, 1))
    for k, part in enumerate(parts):
        weight[k, :len(part), 0, 0] = values[list(part)] * (k + 1) * 0.37
    found = shared_magnitudes(weight, 5)
    assert found is not None and len(found.magnitudes) == 5
    np.testing.assert_allclose(found.dense(), weight, rtol=1e-12)
    assert shared_magnitudes(weight, 4) is None


@pytest.mark.parametrize("bias", [False, True])
def test_a_clustered_network_with_batch_norm_keeps_its_clusters_and_zeros(bias: bool) -> None:
    module = randomise(nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=bias), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, bias=bias), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten(),
        nn.Linear(24 * 4, 10)), 0)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for part in (module[0], module[3], module[7]):
            part.weight[:] = torch.tensor(layer(rng, tuple(part.weight.shape), 8, 0.4))
    graph = canonicalise(trace(module, (torch.zeros(1, 3, 6, 6),)))
    convs = [node.op for node in graph if isinstance(node.op, Conv)]
    assert len(convs) == 3
    for op in convs:
        found = cluster_weights(op.weight, 8)
        np.testing.assert_allclose(found.dense(), op.weight, rtol=NEAR)
        assert (found.index > 0).sum() == (op.weight != 0).sum() < 0.5 * op.weight.size
