"""Clocks on three machines, of small networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kcnn.compress.work import Meter
from scripts import script
from torch import nn

study = script("bench/compression/diannao_table")
diannao = study.diannao


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 4)).eval()


def part(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(study.binary, "CALIBRATION", 10)
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return study.measured(Meter(module, images[:1])(module), module, images, 4)


def test_scattered_zeros_save_clocks_on_our_machine_alone(
        network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = part(network, monkeypatch)
    assert dense["macs"] == 36 * 144 + 576 * 4 and dense["taps"] == 144 + 576 * 4
    # one tile of 16 features, 9 steps, 36 positions; 36 steps of 16 inputs for the 4 outputs
    assert [row[2] for row in dense["layers"]] == [9 * 36, 36]
    with torch.no_grad():
        network[0].weight.view(-1)[1::2] = 0
        for row, weight in enumerate(network[3].weight):
            weight[row % 2::2] = 0
    pruned = part(network, monkeypatch)
    assert pruned["diannao"] == dense["diannao"] and pruned["macs"] == dense["macs"] / 2
    assert pruned["ours"] < 0.8 * dense["ours"]
    issued = [row[6] for row in pruned["layers"]]
    assert issued == [72 * 3, 288 * 4] and sum(issued) < pruned["ours"]


def test_tables_compare_the_machines(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"weights": "all", **part(network, monkeypatch)}
    half = {**one, "weights": "half", "ours": one["ours"] / 2, "macs": one["macs"] / 4}
    machines, clocks, speed, layers = study.tables({"small": [one, half]})
    assert machines.rows[0][1:] == (256, 240, 256, 0.98)
    assert machines.rows[2][1:] == (4, 16, 16, None)
    assert clocks.rows[0][7] == pytest.approx(100 * one["macs"] / one["diannao"] / 256)
    assert clocks.rows[1][9] == pytest.approx(clocks.rows[0][9] / 2)
    assert speed.rows == [("small", 4, 1, 1, 2)]
    assert [row[0] for row in layers.rows] == ["0", "3"]
    assert layers.rows[0][4] == diannao.cycles(
        Meter(network, torch.zeros(1, 1, 8, 8))(network)[0], diannao.BASE).total
    assert all(table.markdown() for table in (machines, clocks, speed, layers))
