"""Clustered layers: few values, exact zeros, gradients that are sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compress import clusters
from kcnn.compress.clusters import Clusters, cluster, cluster_weight
from kcnn.compress.errors import CompressError
from torch import Tensor, nn

CASES = [("magnitude", True), ("magnitude", False), ("signed", False)]


def sparse(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    return weight * (torch.rand(shape, generator=generator) < 0.6)


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (8, 30)])
@pytest.mark.parametrize("kind, scaled", CASES)
def test_a_layer_has_few_values_and_its_zeros(shape: tuple[int, ...], kind: str, scaled: bool
                                              ) -> None:
    weight = sparse(*shape)
    found = cluster_weight(weight, 5, kind, scaled)
    dense = found.weight()
    assert dense.dtype == torch.float32 and torch.equal(dense == 0, weight == 0)
    assert len(found.values) <= 5
    relative = dense / found.scale.view(-1, *[1] * (len(shape) - 1))
    points = relative.abs() if kind == "magnitude" else relative
    assert len(np.unique(np.round(points[dense != 0].numpy(), 5))) <= 5
    if kind == "magnitude":
        assert torch.equal(dense.sign(), weight.sign()) and (found.values > 0).all()
    assert scaled or (found.scale == 1).all()


def test_each_kind_is_better_where_it_should_be() -> None:
    """With the same index: signed needs twice the values; a scale a channel helps unequal ones."""
    weight = sparse(16, 8, 3, 3) * torch.logspace(-1, 1, 16).view(-1, 1, 1, 1)

    def error(count: int, kind: str, scaled: bool) -> float:
        dense = cluster_weight(weight, count, kind, scaled).weight()
        power = weight.square().sum((1, 2, 3))
        return float(((dense - weight).square().sum((1, 2, 3)) / power).mean())

    assert error(8, "magnitude", True) < 0.2 * error(8, "magnitude", False)
    assert error(16, "signed", False) < error(8, "signed", False)
    assert error(16, "signed", False) == pytest.approx(error(8, "magnitude", False), rel=0.5)


@pytest.mark.parametrize("kind, scaled", CASES)
def test_what_is_clustered_already_stays(kind: str, scaled: bool) -> None:
    once = cluster_weight(sparse(4, 2, 3, 3), 4, kind, False).weight()
    assert torch.equal(cluster_weight(once, 4, kind, scaled).weight(), once)


def test_gradients_are_those_of_the_shared_values() -> None:
    found = cluster_weight(sparse(3, 4, 2, 2), 3)
    pull = torch.randn(found.index.shape)
    values, scale = (t.clone().requires_grad_() for t in (found.values, found.scale))
    (Clusters(values, scale, found.index, found.sign).weight() * pull).sum().backward()
    mine = found.gradients(pull)
    assert torch.allclose(mine[0], values.grad, atol=1e-5)
    assert torch.allclose(mine[1], scale.grad, atol=1e-5)


def test_a_network_is_clustered_in_place_and_by_layer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    conv = net[0].weight.detach().clone()
    found = cluster(net, {"3": 4})
    assert list(found) == ["3"] and torch.equal(net[0].weight, conv)
    assert torch.equal(net[3].weight, found["3"].weight())
    assert list(cluster(net, 8, "signed")) == ["0", "3"]
    assert len(net[0].weight.unique()) <= 8
    assert list(clusters.weighted(net)) == ["0", "3"]


def test_a_layer_without_weights_left_stays_empty() -> None:
    for kind, scaled in CASES:
        assert not cluster_weight(torch.zeros(2, 3), 4, kind, scaled).weight().any()


@pytest.mark.parametrize("call, sentence", [
    (lambda: cluster_weight(torch.ones(2, 2), 0), "give 1 or more"),
    (lambda: cluster_weight(torch.ones(2, 2), 4, "round"), "magnitude or signed"),
    (lambda: cluster_weight(torch.full((2, 2), torch.nan), 4), "not finite"),
    (lambda: cluster(nn.Sequential(nn.Linear(2, 2)), {"fc": 4}), "no layer 'fc'"),
])
def test_unfit_wishes_are_refused(call, sentence: str) -> None:
    with pytest.raises(CompressError, match=sentence):
        call()
