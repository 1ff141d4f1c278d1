"""The table of clusters: parts of it on small networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kcnn.compress.clusters import weighted
from kcnn.compress.data import Data
from scripts import script
from torch import nn

study = script("bench/compression/kcnn_table")


class Small:
    """A study of a network without data sets."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.name, self.network, self.set = "small", "small", "none"
        self.module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(),
                                    nn.Linear(96, 8)).eval()
        self.images = torch.rand(60, 1, 6, 6)
        self.calibration = self.images[:30]
        self.deciding = (self.images, self.module(self.images).argmax(1))
        self.training = Data(self.images, self.deciding[1], *self.deciding)

    def tested(self, module: nn.Module) -> float:
        return 100 * float((module(self.images).argmax(1) == self.deciding[1]).float().mean())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.setitem(study.IMAGES, "small", 40)
    monkeypatch.setitem(study.CHOICES, "small", (2, 4, 8, 16))
    monkeypatch.setattr(study.kcnn_costs, "kept_pruned", lambda *_: None)
    monkeypatch.setattr(study.kcnn_costs.binary, "CALIBRATION", 20)
    return Small()


def test_every_table_has_its_rows(small: Small) -> None:
    known: dict[str, Any] = {f"small {step}": make(small) for step, make in study.STEPS.items()}
    kinds, rules, starts, choice = (known[f"small {step}"]
                                    for step in ("kinds", "rules", "starts", "choice"))
    assert kinds["float"] == 100
    assert kinds["magnitude x channel scale 5"] >= kinds["signed 2"]
    assert known["small baselines"]["torch int8"] > 90
    assert all(ratio >= 1 - 1e-6 for ratio in starts.values())
    assert rules["machine 3"][1] < rules["paper 3"][1]
    assert choice["budget"]["limit"] == pytest.approx(0.99)
    assert choice["interval"]["limit"] == 1 and choice["images"] == 60
    known["small tuned (4, 7)"] = study.tuned(small, 4, 7)
    tables = study.tables(known, ["small"])
    assert [len(table.rows) for table in tables] == [6, 2, 5, 2, 1, 4, 2, 3, 2]
    assert all(table.markdown() for table in tables)
    assert [row[-1] for row in tables[-1].rows][0] is None      # the first layer reads images
    study.plot(known, ["small"]).canvas.draw()
    assert "Not made yet" in study.about([], known)


def test_a_page_of_what_is_finished_leaves_the_other_rows_out(small: Small) -> None:
    known = {f"small {step}": study.STEPS[step](small) for step in ("costs", "forms")}
    tables = study.tables(known, ["small", "other"])
    assert [len(table.rows) for table in tables] == [4, 0, 5, 0, 0, 0, 0, 0, 2]
    assert all(table.markdown() for table in tables)


def test_sites_get_the_fewest_clusters_that_keep_what_the_rule_asks(small: Small) -> None:
    part = study.choice(small)
    fewest = study.kcnn_costs.clustered(
        "2", small.module, small.calibration, small.tested, 2)
    for rule in ("interval", "budget"):
        counts = part[rule]["clusters"]
        assert set(counts) == {"weight 0", "weight 3", "map 3"}
        assert set(counts.values()) <= {None, 2, 4, 8, 16}
        assert part[rule]["bytes"] >= fewest["bytes"]


def test_fine_tuning_keeps_magnitudes_and_tells_accuracies(small: Small) -> None:
    before = {name: layer.weight.clone() for name, layer in weighted(small.module).items()}
    part = study.tuned(small, 4, 7)
    assert 0 <= part["before"] <= 100 and 0 <= part["test"] <= 100
    assert part["bytes"] < 0.3 * 4 * (54 + 768) + 4 * (14 + 8)
    assert all(torch.equal(layer.weight, before[name])
               for name, layer in weighted(small.module).items())


def test_networks_without_weights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(study.networks, "WEIGHTS", tmp_path)
    monkeypatch.setattr(study, "Parts", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["kcnn_table.py"])
    with pytest.raises(SystemExit, match="no network has weights"):
        study.main()
    told = capsys.readouterr().err
    for network, data in study.PAIRS:
        assert f"{network} {data}: left out, {network}_{data}.npz is missing" in told
    page = study.about([("vgg7", "cifar10")], {})
    assert "vgg7 on cifar10 is left out: its weights are missing." in page
    assert "resnet20 cifar10 (choice)" in page and "vgg7 cifar10 (choice)" not in page
