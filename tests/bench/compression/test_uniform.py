"""Uniform quantisation: weights and maps lie on their grids, and close to what they were."""

from __future__ import annotations

import copy

import pytest
import torch
from kcnn.compress.errors import CompressError
from kcnn.compress.formats.coded import eight_bit
from scripts import script
from torch import nn

uniform = script("bench/compression/uniform")
grid = uniform.grid
map_grids = uniform.map_grids
quantise_weights = uniform.quantise_weights
quantised_maps = uniform.quantised_maps


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_integers_times_the_scale_and_the_nearest(bits: int) -> None:
    module, before = network(), network()
    with torch.no_grad():
        module[3].weight[0, :9] = before[3].weight[0, :9] = 0
    grids = quantise_weights(module, bits)
    for name in ("0", "3"):
        weight, old = (one.get_submodule(name).weight.detach() for one in (module, before))
        found = grids[name]
        integers = weight / found.scale
        assert torch.allclose(integers, integers.round(), atol=1e-4)
        assert found.most == 2 ** (bits - 1) - 1
        assert int(integers.abs().max().round()) == found.most
        assert float((weight - old).abs().max()) <= found.scale / 2 * 1.0001
    assert not module[3].weight[0, :9].any()


def test_eight_bits_are_those_that_the_formats_store() -> None:
    module = network()
    stored = torch.from_numpy(eight_bit(module[3].weight.detach().numpy()).dense())
    quantise_weights(module)
    torch.testing.assert_close(module[3].weight.detach(), stored[:, :, 0, 0])


def test_maps_lie_on_grids_that_need_a_sign_or_not() -> None:
    module, x = network(), torch.randn(20, 1, 6, 6)
    grids = map_grids(module, x, 4)
    assert (grids["0"].most, grids["3"].most) == (7, 15)
    seen = {}
    for name in ("0", "3"):
        module.get_submodule(name).register_forward_hook(
            lambda part, given, out, name=name: seen.update({name: given[0]}))
    with quantised_maps(module, grids), torch.no_grad():
        inside = module(x)
        for name, found in grids.items():
            integers = seen[name] / found.scale
            assert torch.allclose(integers, integers.round(), atol=1e-4)
            assert 0.8 * found.most < float(integers.abs().max()) < found.most + 0.5
    with torch.no_grad():
        outside = module(x)
    assert torch.equal(outside, copy.deepcopy(module)(x)) and not torch.equal(inside, outside)
    assert float((inside - outside).abs().max()) < 0.2 * float(outside.abs().max())


def test_numbers_of_bits_are_checked() -> None:
    with pytest.raises(CompressError, match="cannot be quantised to 1 bits; give 2 to 16"):
        grid(torch.ones(1), 1)
