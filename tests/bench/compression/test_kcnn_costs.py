"""Operations, bytes, forms and clocks of clustered networks, counted by hand on small ones."""

from __future__ import annotations

import pytest
import torch
from kcnn.compress import account
from scripts import script
from torch import nn

costs = script("bench/compression/kcnn_costs")
OUTPUTS = 6 * 16 + 8                       # of both layers
MACS = 6 * 9 * 16 + 96 * 8


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 8)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def half(module: nn.Module) -> float:
    return 50.0


def test_dense_costs_are_all_multiply_accumulates(module: nn.Module, images: torch.Tensor) -> None:
    plain, skipping = costs.floats(module, images, half)
    assert plain["multiplications"] == plain["additions"] == MACS
    assert plain["bytes"] == 4 * (54 + 768)
    active = sum(layer.active for layer in account.measure(module, images))
    assert skipping["additions"] == pytest.approx(active) and active < MACS


def test_clustered_costs_are_a_product_a_value_and_output(module: nn.Module,
                                                          images: torch.Tensor) -> None:
    before = module[0].weight.clone()
    part = costs.clustered("4", module, images, half, 4)
    assert torch.equal(module[0].weight, before)
    costs.cluster(module, 4)
    active = sum(layer.active for layer in account.measure(module, images))
    assert part["multiplications"] == 4 * OUTPUTS
    assert part["additions"] == pytest.approx(active + 4 * OUTPUTS)
    assert part["bytes"] == sum(row["bytes"] for row in part["layers"]) < 4 * 822
    assert [row["macs"] for row in part["layers"]] == [864, 768]


def test_layers_that_are_not_named_stay_float32(module: nn.Module, images: torch.Tensor) -> None:
    conv, linear = costs.clustered("one", module, images, half, {"3": 2})["layers"]
    assert conv["bytes"] == conv["coded"] == conv["floats"] == 4 * 54
    assert conv["multiplications"] == conv["additions"]
    assert linear["multiplications"] == 2 * 8 and linear["bytes"] < linear["floats"] / 4


def test_zero_weights_are_skipped_where_pruned(module: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        module[3].weight[:, ::2] = 0
    kept, skipped = (costs.clustered("2", module, images, half, 2, "signed", pruned)
                     for pruned in (False, True))
    costs.cluster(module, 2, "signed")
    matched = sum(layer.matched for layer in account.measure(module, images))
    assert skipped["additions"] == pytest.approx(matched + 2 * OUTPUTS)
    assert skipped["additions"] < kept["additions"]


def test_clustered_maps_change_what_is_zero(module: nn.Module, images: torch.Tensor) -> None:
    read = costs.maps.calibrate(module, images, 2)
    few = costs.clustered("maps", module, images, half, 4, read=read)
    every = costs.clustered("maps", module, images, half, 4)
    assert few["layers"][1]["active"] < every["layers"][1]["active"]


def test_forms_are_the_sums_of_layers(module: nn.Module, images: torch.Tensor) -> None:
    found = costs.all_forms(module, images, False)
    active = sum(round(layer.active) for layer in account.measure(module, images))
    assert list(found) == ["A", "B", "C", "D", "E"]
    assert found["A"] == found["B"] == [15 * OUTPUTS, active + 15 * OUTPUTS, 0, 0, None]
    assert found["C"][:4] == [2 * 225, active, 0, active]
    assert found["E"][2] == active and found["E"][0] == 225 * (OUTPUTS + 2)
    assert costs.forms_table({"small": found}).markdown().count("| small |") == 5


def test_the_machine_tells_clocks_or_why_it_cannot(module: nn.Module, images: torch.Tensor,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs.binary, "CALIBRATION", 10)
    part = costs.machine(module, images, 4)
    assert part["taps"] == 822 and part["array"] == -(-MACS // 16) and part["clocks"] > 100
    large = nn.Sequential(nn.Upsample(scale_factor=40), nn.Conv2d(1, 4, 3)).eval()
    refused = costs.machine(large, images, 4)
    assert "clocks" not in refused and refused["refused"]
    table = costs.machine_table({("small", "4"): part, ("large", "4"): refused})
    assert table.rows[0][5] == part["clocks"] and table.rows[1][5] is None
    assert refused["refused"] in table.note


def test_savings_are_against_the_network_without_clusters(module: nn.Module,
                                                          images: torch.Tensor) -> None:
    parts = [*costs.floats(module, images, half),
             costs.clustered("4", module, images, half, 4)]
    rows = costs.costs_table({"small": parts}).rows
    assert rows[0][6] == rows[0][8] == 0 and rows[0][9] is None
    both = parts[2]["multiplications"] + parts[2]["additions"]
    assert rows[2][6] == pytest.approx(100 * (both / (2 * MACS) - 1))
    assert rows[2][8] == pytest.approx(100 * (parts[2]["bytes"] / (4 * 822) - 1))


def test_layers_show_the_clusters_chosen_for_them(module: nn.Module,
                                                  images: torch.Tensor) -> None:
    part = costs.clustered("4", module, images, half, 4)
    chosen = {"interval": {"weight 0": 4, "weight 3": None, "map 3": 2},
              "budget": {"weight 0": 8, "weight 3": 16, "map 3": 4}}
    table = costs.layers_table("small", part, chosen)
    assert [row[7:] for row in table.rows] == [(4, 8, None, None), ("float", 16, 2, 4)]
