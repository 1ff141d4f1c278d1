"""Weights as codes: exact where they are clustered, near where they are rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compress.clusters import cluster_weight
from kcnn.compress.errors import CompressError
from kcnn.compress.formats.coded import eight_bit, of_clusters, of_values


def sparse(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) * (rng.random(shape) < 0.4)).astype(np.float32)


def test_eight_bit_integers_are_near() -> None:
    weight = sparse(6, 4, 3, 3)
    coded = eight_bit(weight)
    assert np.abs(coded.dense() - weight).max() <= coded.scale[0] / 2 * (1 + 1e-5)
    assert (coded.dense()[weight == 0] == 0).all() and coded.bits == 8
    assert coded.codes.view(np.int8).max() == 127 or coded.codes.view(np.int8).min() == -127
    assert not eight_bit(np.zeros((2, 3))).codes.any()


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (9, 20)])
@pytest.mark.parametrize("kind, scaled", [("magnitude", True), ("magnitude", False),
                                          ("signed", False)])
def test_clustered_layers_are_exact(shape: tuple[int, ...], kind: str, scaled: bool) -> None:
    clusters = cluster_weight(torch.from_numpy(sparse(*shape)), 5, kind, scaled)
    coded = of_clusters(clusters)
    assert np.array_equal(coded.dense().reshape(shape), clusters.weight().numpy())
    assert coded.bits <= (4 if kind == "magnitude" else 3)
    assert len(coded.scale) == (shape[0] if scaled else 1)


def test_few_values_are_exact_and_many_are_refused() -> None:
    weight = np.array([[0, 1.5, -2], [1.5, 0, 7]], np.float32)
    coded = of_values(weight)
    assert coded.shape == (2, 3, 1, 1) and coded.bits == 2 and coded.nonzero == 4
    assert np.array_equal(coded.dense().reshape(2, 3), weight)
    assert of_values(np.arange(256)).bits == 8
    with pytest.raises(CompressError, match="has 256 distinct weights"):
        of_values(np.arange(1, 257))
