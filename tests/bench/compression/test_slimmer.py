"""The study of slimmer networks: its tables, its training, one row on made-up data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kcnn.compress import linear
from kcnn.compress.data import Data
from kcnn.compress.sites import layer, sites, watch
from scripts import script
from torch import nn

study = script("bench/compression/slimmer")
train = script("bench/compression/train")


def found(network: str, mode: str, saving: float, loss: float) -> dict[str, Any]:
    return {"network": network, "data": "mnist", "mode": mode, "accuracy_before": 0.99,
            "accuracy": 0.99 - loss, "error": 0.001, "saving": saving, "macs_before": 1000,
            "macs": 1000 * (1 - saving), "weights_before": 200, "weights": 50, "diannao": 1.0,
            "modified": 2.5, "clocks_before": 300, "clocks": 100}


def test_tables() -> None:
    rows = [found("lenet5", "lower", 0.5, 0.001), found("vgg7", "lower", 0.8, -0.002),
            found("resnet20", "lower", 0.7, 0.0), found("lenet5", "both", 0.9, 0.005)]
    rows[1]["clocks"] = None
    savings, speed, medians = study.tables(rows)
    assert savings.markdown().splitlines()[4] == (
        "| lenet5 | mnist | lower kernel only | 99.00 | 98.90 | +0.10 | 0.10 | 50.0 | 25.0 |")
    assert speed.markdown().splitlines()[4:6] == [
        "| lenet5 | mnist | lower kernel only | 1.00 | 2.50 | 3.00 | 2.00 |",
        "| vgg7 | mnist | lower kernel only | 1.00 | 2.50 | - | 5.00 |"]
    assert medians.markdown().splitlines()[4:6] == [
        "| lower kernel only | 3 | 70.0 | 65.00 | +0.10 |", "| both | 1 | 90.0 | - | +0.50 |"]


def test_the_five_pairs_have_recipes_and_plans() -> None:
    assert set(study.PAIRS) == set(train.RECIPES) and len(study.PAIRS) == 5
    assert set(study.PLANS) == set(study.PAIRS)


def test_training_keeps_zeros_and_moves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(study.PLANS, ("lenet5", "mnist"), study.Plan(2, 3, 0.2))
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(90, 1, 28, 28, generator=generator), torch.arange(90) % 10
    part, base = Data(x, y, x[:10], y[:10]), study.build("lenet5", "mnist").eval()
    site = next(site for site in sites(base, x[:1]) if site.conv == "conv2")
    pairs = linear.fits(base, site, watch(base, [site], x)["conv2"].map)
    linear.fold(base, site, linear.choose(pairs, [3, 7], [0, 1, 2]))
    before = layer(base, "conv2").weight.detach().clone()
    with torch.no_grad():
        layer(base, "conv1").weight[2, 0, 0] = 0
    study.tuner(base, part, "lenet5", "mnist")(base, 5, True)
    after = layer(base, "conv2").weight
    assert not after[[3, 7]].any() and not torch.equal(after, before)
    read = layer(base, "ip1").weight.view(500, 50, 16)
    assert not read[:, [3, 7]].any() and read[:, 0].any()
    assert not layer(base, "conv1").weight[2, 0, 0].any()


def test_the_baseline_prunes_layer_after_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(study, "KEPT", tmp_path)
    monkeypatch.setattr(study, "BUDGET", 1.0)
    x, y = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    part, base = Data(x, y, x[:10], y[:10]), study.build("lenet5", "mnist").eval()
    module, steps = study.baseline(base, part, 0.0, lambda module, number, last: None, "name")
    layers = ["conv1", "conv2", "ip1", "ip2"]
    assert [one["layers"] for one in steps] == [n for n in layers for _ in range(3)] + ["all"]
    left = {name: float((layer(module, name).weight != 0).double().mean()) for name in layers}
    assert all(share == pytest.approx(0.4 ** 3, abs=2e-3) for share in left.values())
    assert "name: conv1, " in capsys.readouterr().out


def test_images_are_shifted_and_mirrored_one_by_one() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3).repeat(200, 1, 1, 1)
    seen = train.varied(x, 1, True, torch.Generator().manual_seed(0))
    assert seen.shape == x.shape
    padded = nn.functional.pad(x[0, 0], (1, 1, 1, 1))
    wanted = {tuple(kind[r:r + 2, c:c + 3].ravel().tolist())
              for kind in (padded, padded.flip(1)) for r in range(3) for c in range(3)}
    assert {tuple(one.ravel().tolist()) for one in seen} == wanted
    assert torch.equal(train.varied(x, 0, False, torch.Generator()), x)


def test_what_does_not_fit_the_machine_has_no_clocks() -> None:
    x = torch.rand(4, 1, 12, 12)
    part = Data(x, torch.zeros(4, dtype=torch.int64), x, torch.zeros(4, dtype=torch.int64))
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).eval()
    assert 100 < study.clocks(small, part) < 100_000
    large = nn.Sequential(nn.Upsample(scale_factor=40), nn.Conv2d(1, 4, 3)).eval()
    assert study.clocks(large, part) is None
