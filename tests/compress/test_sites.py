"""What follows a convolution, and who reads it."""

from __future__ import annotations

import torch
from kcnn.compress.sites import Reader, Site, sites, watch
from slim_networks import Residual, chain, images, seeded
from torch import Tensor, nn


def found(module: nn.Module, x: Tensor | None = None) -> dict[str, Site]:
    x = images(1) if x is None else x
    return {site.conv: site for site in sites(module.eval(), x)}


def test_a_chain() -> None:
    every = found(chain())
    assert every["conv1"] == Site("conv1", "norm1", "relu1", (Reader("conv2", 1, True),), True)
    assert every["conv2"].readers == (Reader("linear", 1, True),)
    assert list(every) == ["conv1", "conv2"]


def test_a_padding_or_a_missing_bias_takes_no_constant() -> None:
    assert not found(chain(padding=1))["conv1"].constant
    assert not found(chain(bias=False))["conv1"].constant
    assert found(chain(pool="average"))["conv1"].constant
    padded = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(3, padding=1), nn.Conv2d(3, 3, 1))
    assert not found(padded)["0"].constant


def test_a_flattened_map_has_cells() -> None:
    assert found(chain(flat=True))["conv1"].readers == (Reader("linear", 16, True),)


def test_a_sum_reads_more_than_layers() -> None:
    every = found(Residual())
    assert every["stem"].readers == () and every["conv2"].readers == ()
    assert every["conv1"].readers == (Reader("conv2", 1, False),)
    assert every["conv1"].tail is None and every["conv2"].tail == "norm2"


class Shared(nn.Module):
    """The middle convolution runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3)
        self.middle = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(torch.relu(self.middle(torch.relu(self.first(x)))))


def test_what_runs_twice_or_in_groups_is_left_alone() -> None:
    every = found(Shared())
    assert list(every) == ["first"] and every["first"].readers == ()
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 1))
    every = found(grouped)
    assert list(every) == ["0", "2"] and every["0"].readers == ()


class Branches(nn.Module):
    """Two layers read one map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3)
        self.left = nn.Conv2d(4, 3, 1)
        self.right = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return torch.cat([self.left(x), self.right(x)], 1)


def test_several_readers() -> None:
    site = found(Branches())["stem"]
    assert {reader.layer for reader in site.readers} == {"left", "right"}
    assert not site.constant


def test_watching_shows_inputs_and_maps_in_one_pass() -> None:
    module, x = seeded(chain(), 0), images(5)
    module.train()
    every = sites(module, x[:1])
    calls: list[int] = []
    handle = module.register_forward_pre_hook(lambda part, inputs: calls.append(1))
    seen = watch(module, every, x)
    handle.remove()
    assert len(calls) == 1 and module.training
    module.eval()
    with torch.no_grad():
        wanted = module[:4](x)
    assert torch.equal(seen["conv1"].inputs, x)
    assert torch.equal(seen["conv1"].map, wanted)
    assert torch.equal(seen["conv2"].inputs, wanted)
    assert not any(len(part._forward_pre_hooks) for part in module.modules())


def test_a_map_without_readers_is_taken_behind_the_norm() -> None:
    module, x = seeded(Residual(), 0), images(3)
    seen = watch(module, sites(module, x[:1]), x)
    with torch.no_grad():
        stem = torch.relu(module.stem(x))
        inner = torch.relu(module.norm1(module.conv1(stem)))
        assert torch.equal(seen["conv2"].map, module.norm2(module.conv2(inner)))
