"""The study of ResNet-20: what pruning keeps, what training reads and keeps, the tables."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kcnn.compiler.quantise.weights import cluster_weights
from kcnn.compress.clusters import weighted
from kcnn.compress.data import Data
from scripts import script
from torch import nn
from trained import needs_data

study = script("bench/compression/resnet20")
# by so many bytes the configuration and the places of tensors are longer than in format 2, in which
# the binaries of the page were
LONGER = {"bytes": 208, "coded": 12}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """As ResNet-20, but smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(study.Block(8, 8, 1), study.Block(8, 16, 2))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.mean(self.blocks(torch.relu(self.conv1(x)))).flatten(1))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def zeros(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: layer.weight.detach() == 0 for name, layer in weighted(module).items()}


# ---- pruning -------------------------------------------------------------------------------
def test_pruning_keeps_the_share_the_floor_and_the_largest(network: nn.Module,
                                                           images: torch.Tensor) -> None:
    dense = copy.deepcopy(weighted(network))
    study.prune_to(network, 0.3, images[:2])
    layers = {name: layer for name, layer in weighted(network).items() if name not in study.WHOLE}
    total = sum(layer.weight.numel() for layer in layers.values())
    assert sum(int((layer.weight != 0).sum()) for layer in layers.values()) == round(0.3 * total)
    for name in study.WHOLE:
        assert torch.equal(weighted(network)[name].weight, dense[name].weight)
    for name, layer in layers.items():
        kept = layer.weight != 0
        assert int(kept.sum()) >= study.FLOOR * kept.numel()
        size = dense[name].weight.abs()
        assert torch.equal(layer.weight[kept], dense[name].weight[kept])
        assert size[kept].min() >= size[~kept].max()


def test_pruning_again_keeps_zeros(network: nn.Module, images: torch.Tensor) -> None:
    study.prune_to(network, 0.5, images[:2])
    before = zeros(network)
    study.prune_to(network, 0.4, images[:2])
    after = zeros(network)
    assert all(bool((after[name] | ~before[name]).all()) for name in before)


def test_of_equally_sensitive_layers_the_one_of_more_positions_loses_more(
        network: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "sensitivity",
                        lambda module, *_: dict.fromkeys(weighted(module), 1.0))
    with torch.no_grad():
        for layer in weighted(network).values():
            layer.weight.copy_(torch.linspace(0.1, 1, layer.weight.numel()).view_as(layer.weight))
    study.prune_to(network, 0.5, images[:1])
    left = study.densities(network)
    assert study.FLOOR <= left["blocks.0.conv1"] < left["blocks.1.conv2"] < 1


# ---- maps ----------------------------------------------------------------------------------
def test_shortcuts_read_clustered_maps_too(network: nn.Module, images: torch.Tensor) -> None:
    found = study.map_clusters(network, images[:2])
    assert set(found) == {"blocks.0", "blocks.0.conv2", "blocks.1", "blocks.1.conv2", "mean",
                          "linear"}
    block = network.get_submodule("blocks.1")
    seen: list[torch.Tensor] = []
    handle = block.register_forward_hook(lambda part, given, out: seen.append(given[0]))
    with torch.no_grad(), study.clustered_maps(network, found):
        network(images[:2])
    network(images[:2])
    handle.remove()
    allowed = np.append(found["blocks.1"].values.numpy(), 0.0)
    np.testing.assert_array_less(np.abs(seen[0].numpy()[..., None] - allowed).min(-1), 1e-6)
    assert len(torch.unique(seen[0].round(decimals=5))) <= study.MAP_VALUES + 1
    assert len(torch.unique(seen[1].round(decimals=5))) > study.MAP_VALUES + 1


# ---- training ------------------------------------------------------------------------------
def test_a_stage_keeps_zeros_and_shares_magnitudes(
        network: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path) -> None:
    labels = torch.arange(24) % 10
    monkeypatch.setattr(study, "part", lambda: Data(images, labels, images[:4], labels[:4]))
    monkeypatch.setattr(study, "base", lambda: network)
    monkeypatch.setattr(study, "BATCH", 8)
    monkeypatch.setattr(study, "MAP_VALUES", 7)
    pruned = study.after(network, study.Stage("pruned", 0.5, 1, 0.01, keep=0.4), 0,
                         tmp_path / "pruned.training")
    assert not zeros(network)["blocks.0.conv1"].any()
    done = study.after(pruned, study.Stage("clustered", 0.5, 1, 1e-3, shared=True), 1,
                       tmp_path / "clustered.training")
    for name, layer in weighted(done).items():
        assert torch.equal(layer.weight == 0, zeros(pruned)[name])
        weight = layer.weight.detach().double().numpy()
        weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
        shared = cluster_weights(weight, study.MAGNITUDES)
        np.testing.assert_allclose(shared.dense(), weight, rtol=1e-5)
        assert not torch.equal(layer.weight, weighted(pruned)[name].weight)


def test_the_stages_take_five_passes_and_prune_gradually() -> None:
    assert [study.passes(number) for number in range(len(study.STAGES))] == [0.5, 1, 4, 5]
    keeps = [stage.keep for stage in study.STAGES if stage.keep < 1]
    assert keeps == sorted(keeps, reverse=True) and keeps[-1] <= 0.5
    assert study.STAGES[study.LAST].shared


@pytest.mark.parametrize("taught", [True, False])
def test_a_stage_is_taught_by_the_base_or_by_labels_alone(
        taught: bool, network: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path) -> None:
    labels = torch.arange(24) % 10
    monkeypatch.setattr(study, "part", lambda: Data(images, labels, images[:4], labels[:4]))
    stage = study.Stage("pruned", 1.0, 1, 0.01, keep=0.9, taught=taught)
    results = []
    for start in (network, Small().eval()):
        monkeypatch.setattr(study, "base", lambda start=start: start)
        results.append(study.after(network, stage, 0, tmp_path / f"{len(results)}.training"))
    first, second = (result.state_dict()["linear.weight"] for result in results)
    assert torch.equal(first, second) is not taught


# ---- results -------------------------------------------------------------------------------
def test_tables() -> None:
    whole = {"held": 0.9, "test": 0.86, "bytes": 8000}
    dense = whole | {"integers": 0.855, "taps": 900, "bytes": 1600, "coded": 1000,
                     "clocks": 1000, "densities": {"conv1": 1.0}}
    pruned = dense | {"densities": {"conv1": 0.25}}
    last: dict[str, Any] = pruned | {"integers": 0.853, "taps": 300, "bytes": 800, "coded": 500,
                                     "clocks": 400, "images": 3,
                                     "cycles": {"tlm": 400, "verilator": 400}}
    found = {study.PUBLISHED: whole | {"test": 0.8}, study.TRAINED: whole | {"test": 0.87},
             f"clustered, {study.UNPRUNED} magnitudes": dense,
             **{stage.name: pruned for stage in study.STAGES},
             study.STAGES[study.LAST].name: last, study.FORWARD: pruned}
    networks, bar, layers = study.tables(found)
    assert networks.markdown().splitlines()[4] == (
        f"| {study.PUBLISHED} | 0.0 | 90.00 | 80.00 | - | +7.00 | - | 8,000 | 1.0 | - | - | - |")
    seen = {row[0]: row[1] for row in networks.rows}
    assert (seen[study.TRAINED], seen[study.STAGES[1].name], seen[study.FORWARD]) == (5, 1, 4)
    assert [row[1] for row in bar.rows[:3]] == [pytest.approx(found) for found in (1.7, -5.3, 5)]
    rows = {row[0]: row[1] for row in bar.rows}
    assert (rows["times fewer taps"], rows["times smaller, entropy coded"],
            rows["times smaller, as the machine reads it"], rows["times fewer clocks"],
            rows["clocks on verilator"]) == (3, 16, 10, 2.5, 400)
    assert "| conv1 | 25.0 |" in layers.markdown()


def test_tables_of_a_study_that_is_not_finished_yet() -> None:
    row = {"held": 0.9, "test": 0.86, "integers": 0.85, "taps": 300, "bytes": 800, "coded": 500,
           "clocks": 400, "densities": {"conv1": 0.5}}
    found = dict.fromkeys(study.plan(), row)
    for name in (study.TRAINED, study.FORWARD, study.STAGES[study.LAST].name):
        del found[name]
    networks, bar, layers = study.tables(found)
    assert len(networks.rows) == len(study.plan()) - 3
    assert networks.rows[0][5] is None and bar.rows == []
    assert study.FORWARD not in layers.columns
    assert study.tables({study.PUBLISHED: row})[2].rows == []


@needs_data
def test_the_kept_weights_compile_to_the_binary_of_the_page() -> None:
    page = Path(study.__file__).parent / "results" / "resnet20.json"
    rows = json.loads(page.read_text())["tables"]["Networks"]
    (told,) = (row for row in rows if row["network"] == study.STAGES[study.LAST].name)
    made = study.binary.program(study.network(study.SMALL), study.part().x_train, study.MAGNITUDES)
    found = study.measured(made)
    for name, column in (("taps", "taps"), ("bytes", "bytes"), ("coded", "entropy coded"),
                         ("clocks", "clocks")):
        assert found[name] == told[column] + LONGER.get(name, 0)
