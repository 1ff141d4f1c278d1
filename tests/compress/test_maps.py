"""Clustered feature maps: nearest values, zeros kept, gradients passed through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import maps
from torch import nn


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


@settings(max_examples=40)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=30), st.integers(1, 6),
       st.sampled_from(maps.RULES))
def test_every_value_goes_to_the_nearest(values: list[int], clusters: int, rule: str) -> None:
    x = torch.tensor(values, dtype=torch.float32)
    found = maps.find(x.numpy(), clusters, rule)
    y = found(x)
    assert len(found.values) <= clusters and (found.values != 0).all()
    assert (y[x == 0] == 0).all()
    if rule == "paper":
        assert (y[x != 0] != 0).all()
        allowed = found.values
    else:
        allowed = torch.cat([found.values, torch.zeros(1)])
    distance = (x[:, None] - allowed).abs().min(1).values
    moved = (x - y).abs()[x != 0]
    assert torch.allclose(moved, distance[x != 0])


def test_the_machine_rule_is_nearer_and_has_more_zeros() -> None:
    x = np.maximum(np.random.default_rng(0).normal(size=5000), 0).astype(np.float32)
    paper, machine = (maps.find(x, 7, rule)(torch.tensor(x)) for rule in ("paper", "machine"))
    assert (machine == 0).sum() > (paper == 0).sum() == (x == 0).sum()
    for found, most in ((paper, 8), (machine, 8)):
        assert len(found.unique()) <= most


def test_the_gradient_passes_straight_through() -> None:
    x = torch.tensor([0.0, 0.3, -2.0, 5.0], requires_grad=True)
    found = maps.find(np.array([1.0, -1.0]), 2)
    (found(x) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("first", [False, True])
def test_layers_read_clustered_maps_only_inside(first: bool) -> None:
    module, x = net(), torch.rand(6, 1, 6, 6)
    found = maps.calibrate(module, x, 3, first=first)
    assert list(found) == (["0", "3"] if first else ["3"])
    plain = module(x)
    with maps.clustering(module, found):
        seen = maps.inputs(module, x)
        clustered = module(x)
    hidden = found["3"](module[:3](found["0"](x) if first else x))
    assert torch.equal(clustered, module[3](hidden)) and not torch.equal(clustered, plain)
    assert len(seen) == 2 and torch.equal(module(x), plain)


def test_inputs_are_what_layers_read() -> None:
    module, x = net(), torch.rand(6, 1, 6, 6)
    seen = maps.inputs(module, x)
    assert np.array_equal(seen["0"], x.double().numpy().ravel())
    assert np.array_equal(seen["3"], module[:3](x).detach().double().numpy().ravel())


def test_a_map_of_zeros_has_some_value() -> None:
    found = maps.find(np.zeros(4), 3)
    assert found(torch.zeros(3)).tolist() == [0, 0, 0]


def test_clusters_can_differ_by_layer() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    found = maps.calibrate(module, torch.rand(20, 8), {"1": 2, "2": 5})
    assert [len(found[name].values) for name in ("1", "2")] == [2, 5]


def test_maps_in_any_memory_order_are_clustered_without_a_warning() -> None:
    x = torch.rand(2, 3, 4, 4)
    found = maps.find(x.numpy(), 3)
    assert torch.equal(found(x.permute(0, 2, 3, 1)), found(x).permute(0, 2, 3, 1))
