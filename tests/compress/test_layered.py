"""Exported networks become torch layers again: equal, trainable, found by the compressors."""

from __future__ import annotations

import copy
import operator
import warnings

import pytest
import torch
from hypothesis import given, settings
from kcnn.compress.errors import CompressError
from kcnn.compress.layered import layered
from kcnn.compress.sites import sites
from networks import Shortcut, networks, randomise
from torch import Tensor, nn
from torch.nn import functional

BATCH = ({0: torch.export.Dim.AUTO},)


def exported(module: nn.Module, *shape: int) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # torch warns of its own
        return torch.export.export(module.eval(), (torch.zeros(2, *shape),), dynamic_shapes=BATCH)


def images(count: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(3))


def network() -> nn.Module:
    branch = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4),
                           nn.ReLU(inplace=True), nn.Conv2d(4, 5, (1, 3), padding="same"))
    return randomise(nn.Sequential(
        nn.Conv2d(2, 3, 3, groups=1, dilation=2), nn.BatchNorm2d(3, affine=False, eps=1e-3),
        nn.ReLU(), Shortcut(branch, 2, (1, 1), nn.ReLU()), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Linear(20, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3, bias=False)),
        0)


@settings(max_examples=10)
@given(networks())
def test_random_networks_compute_the_same(case: tuple) -> None:
    module, shape = case
    x = images(5, shape)
    with torch.no_grad():
        expected = module(x)
    try:
        found = layered(exported(module, *shape))
    except CompressError:
        assert not any(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules())
        return
    with torch.no_grad():
        torch.testing.assert_close(found(x), expected, rtol=1e-4, atol=1e-5)


def taken_apart(module: nn.Module, *shape: int) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exported(module, *shape).run_decompositions()


def layers(module: nn.Module) -> list[tuple[str, str]]:
    return [(name, str(part)) for name, part in module.named_modules()
            if isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.BatchNorm1d)]


def test_exports_that_are_taken_apart_become_the_same_layers() -> None:
    module, x = network(), images(5, (2, 12, 12))
    whole, apart = layered(exported(module, 2, 12, 12)), layered(taken_apart(module, 2, 12, 12))
    assert [name for name, _ in layers(apart)] == [name for name, _ in layers(whole)]
    assert len(layers(apart)) == 8
    with torch.no_grad():
        torch.testing.assert_close(apart(x), module(x), rtol=1e-4, atol=1e-5)


def test_products_that_are_no_layers_stay() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.matrix = nn.Linear(4, 3), nn.Parameter(torch.ones(3, 2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.addmm(torch.ones(2), self.fc(x.flatten(1)), self.matrix, beta=2)

    found = layered(taken_apart(Product(), 4, 1, 1))
    assert [name for name, _ in layers(found)] == ["fc"]


def test_layers_keep_their_paths_and_settings() -> None:
    module = network()
    found = layered(exported(module, 2, 12, 12))
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d)
    wanted = {name: str(m) for name, m in module.named_modules() if isinstance(m, kinds)}
    assert {name: str(m) for name, m in found.named_modules() if isinstance(m, kinds)} == wanted
    assert [site.conv for site in sites(found, torch.zeros(1, 2, 12, 12))] == [
        "0", "3.branch.0", "3.branch.3"]


def test_they_train_like_the_module_itself() -> None:
    module = network()
    found = layered(exported(copy.deepcopy(module), 2, 12, 12))
    x, y = images(16, (2, 12, 12)), torch.arange(16) % 3
    for part in (module, found):
        for layer in part.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        part.train()
        optimiser = torch.optim.SGD(part.parameters(), 0.1)
        for _ in range(3):
            optimiser.zero_grad()
            functional.cross_entropy(part(x), y).backward()
            optimiser.step()
        part.eval()
    with torch.no_grad():
        torch.testing.assert_close(found(x), module(x), rtol=1e-3, atol=1e-3)


def test_a_layer_that_runs_twice_stays_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.relu(self.conv(x)))

    found = layered(exported(randomise(Twice(), 1), 2, 3, 3))
    assert sum(isinstance(m, nn.Conv2d) for m in found.modules()) == 1


def test_decomposed_batch_norms_and_root_parameters() -> None:
    module = randomise(nn.Conv2d(1, 2, 3), 0)
    x = images(3, (1, 5, 5))
    with torch.no_grad():
        torch.testing.assert_close(layered(exported(module, 1, 5, 5))(x), module(x))
    normed = randomise(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 0)
    core = exported(normed, 1, 5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = torch.export.default_decompositions()
        for name in ("conv2d.default", "conv2d.padding"):
            table.pop(operator.attrgetter(name)(torch.ops.aten), None)
        core = core.run_decompositions(table)
    called = " ".join(str(node.target) for node in core.graph.nodes)
    assert "conv2d" in called and "_native_batch_norm_legit_no_training" in called
    found = layered(core)
    assert [type(m).__name__ for m in found.children()] == ["Conv2d", "BatchNorm2d"]
    with torch.no_grad():
        torch.testing.assert_close(found(x), normed(x))


def test_refusals() -> None:
    with pytest.raises(CompressError, match="no convolution and no linear layer"):
        layered(exported(nn.ReLU(), 1, 3, 3))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(functional.conv2d(x, self.weight), self.weight, stride=2)

    with pytest.raises(CompressError, match="used by two different layers; give each its own"):
        layered(exported(Two(), 2, 4, 4))
