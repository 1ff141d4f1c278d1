"""Which channels have one scale, and which keep theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from kcnn.compiler.equalise.channels import Channels, channels
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.passes import canonicalise
from networks import Shortcut, randomise
from torch import Tensor, nn
from torch.nn import functional as F


class Function(nn.Module):
    """A module of a function and some convolutions, 4 channels in and out."""

    def __init__(self, function: Callable[..., Tensor], count: int, clustered: int = -1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(count))
        randomise(self, 1)
        if clustered >= 0:
            with torch.no_grad():
                self.layers[clustered].weight.sign_().mul_(torch.rand(4, 1, 1, 1) + 0.5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def made(module: nn.Module, clusters: int = 4) -> Channels:
    return channels(canonicalise(trace(module, (torch.zeros(1, 4, 6, 6),))), clusters)


def why(found: Channels, node: str) -> list[str]:
    return [found.why[c] for c in found.of[node].tolist()]


def test_a_convolution_frees_what_it_reads() -> None:
    found = made(Function(lambda x, a, b: b(F.relu(a(x))), 2))
    assert why(found, "layers.0") == [""] * 4
    assert len(set(found.of["layers.0"].tolist())) == 4
    assert why(found, "x") == ["x comes from the host, which can scale it (preprocess)"] * 4
    assert why(found, "layers.1") == ["output goes to the host"] * 4
    assert found.free.sum() == 4


def test_pools_means_sums_and_concatenations_tie() -> None:
    found = made(Function(lambda x, a, b, c: c(F.avg_pool2d(F.max_pool2d(F.relu(
        a(x) + F.max_pool2d(b(x), 3, 1, 1)), 2), 2)), 3))
    first = found.of["layers.0"].tolist()
    for name in ("layers.1", "max_pool2d", "max_pool2d@2", "add", "avg_pool2d"):
        assert found.of[name].tolist() == first and why(found, name) == [""] * 4
    joined = made(Function(lambda x, a, b, c: c(torch.cat([a(x), b(x)], 1)[:, 2:6]), 3))
    assert joined.of["cat"].tolist() == [*joined.of["layers.0"], *joined.of["layers.1"]]
    passed = [node for node in joined.of if node.startswith("slice")]
    assert joined.of[passed[0]].tolist() == joined.of["cat"][2:6].tolist()


def test_a_skip_tensor_is_tied_where_it_is_added() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
                           Shortcut(nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU(),
                                                  nn.Conv2d(3, 6, 1)), 1, (0, 2), nn.ReLU()),
                           nn.Conv2d(6, 2, 1))
    found = made(randomise(module, 0))
    sums = next(name for name in found.of if name.startswith("2.branch.2"))
    assert found.of[sums][:4].tolist() == found.of["0"].tolist()
    assert not set(found.of[sums][4:].tolist()) & set(found.of["0"].tolist())
    assert found.free[found.of[sums]].all()


@pytest.mark.parametrize("name, function", [
    ("relu6", F.relu6), ("clamp(-1.0,1.0)", F.hardtanh), ("hardswish", F.hardswish)])
def test_other_functions_keep_their_channels_and_what_is_added(name: str, function) -> None:
    found = made(Function(lambda x, a, b, c, d: d(function(c(F.relu(b(a(x)))) + a(x))), 4))
    assert why(found, "layers.2") == [f"layers.2 ends in {name}, which is not proportional"] * 4
    assert why(found, "layers.1") == [""] * 4


def test_shared_magnitudes_keep_the_channels_that_they_meet() -> None:
    found = made(Function(lambda x, a, b, c: c(F.relu(b(F.relu(a(x))))), 3, clustered=1))
    assert why(found, "layers.0") == ["the weights of layers.1 share their magnitudes"] * 4
    assert why(found, "layers.1") == [""] * 4


def test_rows_of_one_channel_share_their_magnitudes_at_any_scale() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(),
                           nn.Conv2d(4, 2, 1))
    randomise(module, 0)
    with torch.no_grad():
        module[2].weight.sign_()
    found = made(module)
    assert why(found, "0") == [""] * 4
    assert not set(found.of["0"].tolist()) & set(found.of["2"].tolist())


def test_exponents_by_node() -> None:
    of = Channels({"a": np.array([0, 1]), "b": np.array([2])}, ("", "", ""))
    found = of.by_node(np.array([0, 3, 0]))
    assert list(found) == ["a"] and found["a"].tolist() == [0, 3]
