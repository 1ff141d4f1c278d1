"""The table of clusters: parts of it on small networks."""

from __future__ import annotations

import pytest
import torch
from kcnn.compiler.compress import account
from kcnn.compiler.compress.clusters import cluster
from scripts import script
from torch import nn

study = script("bench/compression/kcnn_table")


class Small:
    """A study of a network without data sets."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.name, self.network = "small", "small"
        self.module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(),
                                    nn.Linear(96, 8)).eval()
        self.images = torch.rand(60, 1, 6, 6)
        self.calibration = self.images[:30]
        self.deciding = (self.images, self.module(self.images).argmax(1))

    def tested(self, module: nn.Module) -> float:
        return 100 * float((module(self.images).argmax(1) == self.deciding[1]).float().mean())


def test_every_table_has_its_rows() -> None:
    small = Small()
    kinds, rules, starts = study.kinds(small), study.rules(small), study.starts(small)
    choice = study.choice(small)
    assert kinds["float"] == 100
    assert kinds["magnitude x channel scale 5"] >= kinds["signed 2"]
    assert all(ratio >= 1 - 1e-6 for ratio in starts.values())
    assert rules["machine 3"][1] < rules["paper 3"][1]
    tables = [study.weights_table({"small": kinds}), study.maps_table({"small": rules}),
              study.starts_table({"small": starts}),
              study.choice_table({"small": choice}, {"small": 100.0})]
    assert [len(table.rows) for table in tables] == [3, 2, 3, 2]
    assert all(table.markdown() for table in tables)


def test_costs_are_those_of_the_accounting() -> None:
    small = Small()
    found = cluster(small.module, 4)
    layers = account.measure(small.module, small.calibration)
    costs = study.costs(layers, found, 4, 7)
    macs = sum(layer.macs for layer in layers)
    done = sum(layer.matched + 8 * layer.outputs for layer in layers)
    assert costs["operations"] == pytest.approx(50 * done / macs)
    assert costs["multiplications"] == pytest.approx(
        400 * sum(layer.outputs for layer in layers) / macs)
    assert costs["array"] == -(-macs // 16)
    assert 4 / 32 * 100 < costs["bytes"] < 50 and 0 < costs["hits"] < 100
    part = {**costs, "before": 50.0, "after": 60.0, "streams": None, "cycles": None}
    table = study.tuned_table({("small", 4, 7): part}, {"small": 100.0})
    assert "| small | 4 | 7 | 100.00 | 50.00 | 60.00 |" in table.markdown()
