"""Baselines without training: on a grid, calibrated, and the network itself unchanged."""

from __future__ import annotations

import copy

import pytest
import torch
from scripts import script
from torch import nn

baselines = script("bench/compression/baselines")


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bits", [2, 4])
def test_each_channel_has_its_grid(module: nn.Module, bits: int) -> None:
    before = copy.deepcopy(module.state_dict())
    found = baselines.uniform(module, bits)
    most = (1 << bits - 1) - 1
    for index in (0, 3):
        weight = found[index].weight.detach()
        for own, channel in zip(weight, before[f"{index}.weight"], strict=True):
            scale = channel.abs().max() / most
            steps = own / scale
            torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
            assert float((own - channel).abs().max()) <= float(scale) / 2 * 1.001
            assert float(own.abs().max()) == pytest.approx(float(channel.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_torchs_integers_are_near_and_its_settings_come_back(module: nn.Module,
                                                              images: torch.Tensor) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with baselines.torch_int8(module, images) as quantised, torch.no_grad():
            exact, found = module(images), quantised(images)
            layers = [str(type(child)) for child in quantised.modules()]
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert any("quantized" in name for name in layers)
    assert 0 < float((found - exact).abs().max()) < 0.05 * float(exact.abs().max())
