"""Networks without dead features: equal, and what is trained in them comes back."""

from __future__ import annotations

import pytest
import torch
from kcnn.compress import linear
from kcnn.compress.compact import Compact
from kcnn.compress.sites import layer, sites, watch
from slim_networks import Residual, chain, images, seeded
from torch import nn


def slimmed(module: nn.Module, name: str = "conv1") -> nn.Module:
    module, x = seeded(module, 2), images()
    site = next(site for site in sites(module, x[:1]) if site.conv == name)
    found = linear.fits(module, site, watch(module, [site], x)[name].map)
    linear.fold(module, site, linear.choose(found, [1, 4], [0, 2, 3, 5]))
    return module


@pytest.mark.parametrize("module", [chain(), chain(flat=True), chain(norm=False, padding=1),
                                    Residual()])
def test_the_smaller_network_is_equal(module: nn.Module) -> None:
    module, x = slimmed(module), images()
    every = sites(module, x[:1])
    small = Compact(module, every)
    with torch.no_grad():
        assert torch.allclose(small.module(x), module(x), atol=1e-5)
    weight = layer(small.module, "conv1").weight
    assert weight.shape[0] == layer(module, "conv1").weight.shape[0] - 2
    assert layer(module, "conv1").weight.shape[0] in (6, 8)


@pytest.mark.parametrize("module", [chain(), Residual()])
def test_what_is_trained_comes_back(module: nn.Module) -> None:
    module, x = slimmed(module), images()
    small = Compact(module, sites(module, x[:1]))
    small.module.train()
    optimiser = torch.optim.SGD(small.module.parameters(), 0.1)
    small.module(x).square().mean().backward()
    optimiser.step()
    small.module.eval()
    with torch.no_grad():
        before = module(x)
        small.spread()
        assert torch.allclose(module(x), small.module(x), atol=1e-5)
        assert not torch.allclose(module(x), before, atol=1e-3)
    assert not layer(module, "conv1").weight[[1, 4]].any()
    assert not layer(module, "conv2").weight[:, [1, 4]].any()


def test_a_feature_that_is_read_or_summed_stays() -> None:
    module, x = seeded(chain(), 2), images()
    with torch.no_grad():
        layer(module, "conv1").weight[2] = 0
    assert len(layer(Compact(module, sites(module, x[:1])).module, "conv1").weight) == 6
    summed = slimmed(Residual(), "conv2")
    assert len(layer(Compact(summed, sites(summed, x[:1])).module, "conv2").weight) == 6
