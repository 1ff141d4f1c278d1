"""The study of LeNet-5 on MNIST: its tables, sizes of baselines, a compiled row on made-up data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from kcnn.compress.clusters import weighted
from kcnn.compress.data import Data
from kcnn.compress.prune import largest
from scripts import script
from trained import needs_data

study = script("bench/compression/lenet5")
# by so many bytes the configuration and the places of tensors are longer than in format 2, in which
# the binaries of the page were
DESCRIPTORS = 208
WEIGHTS = {"conv1": 500, "conv2": 25000, "ip1": 400000, "ip2": 5000}


class MadeUp(study.Study):
    """Random images and a random network of 2 % of its weights, in place of the trained one."""

    def __init__(self, folder: Path) -> None:
        super().__init__("mnist", 0.001, "lenet5")
        x = torch.rand(120, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(120) % 10
        torch.manual_seed(0)
        module = study.build("lenet5", "mnist").eval()
        for layer in weighted(module).values():
            with torch.no_grad():
                layer.weight.mul_(largest(layer.weight, layer.weight.numel() // 50))
        found = Data(x, labels, x[:40], labels[:40])
        self.__dict__.update(whole=found, part=found, base=module, place=folder)

    @property
    def folder(self) -> Path:
        return self.__dict__["place"]


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    monkeypatch.setattr(study, "CLUSTER_EPOCHS", 1)
    return MadeUp(tmp_path)


def test_a_compiled_row_counts_what_the_machine_needs(made_up: MadeUp) -> None:
    row = study.compiled_row(made_up, None, 4)
    assert row["parameters"] == 580 + sum(count // 50 for count in WEIGHTS.values())
    assert row["taps"] == row["parameters"] - 580
    assert row["taps"] < row["packed"] == row["bytes"] < 5 * row["taps"]
    assert 0.5 * row["bytes"] < row["coded"] < row["bytes"] and row["clocks"] > 1000
    assert 0 <= row["integers"] <= 1


def test_weights_of_the_smallest_binary_are_kept(made_up: MadeUp, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "WEIGHTS", tmp_path)
    name, count = study.SMALLEST
    made_up.keep(made_up.base, name)
    row = study.compiled_row(made_up, name, count)
    kept = study.load_weights(study.build("lenet5", "mnist"), tmp_path / "lenet5_mnist_small.npz")
    made = study.binary.program(kept, made_up.part.x_train, count)
    assert study.binary.measure(made).cells() == {key: row[key] for key in
                                                  ("packed", "coded", "clocks", "taps")}


def test_words_are_two_bytes_a_weight_and_a_little(made_up: MadeUp) -> None:
    row = study.words_row(made_up, made_up.base)
    weights = row["parameters"] - 580
    assert weights <= sum(count // 50 for count in WEIGHTS.values())
    assert 2 * weights + 4 * 580 < row["bytes"] < 3 * weights + 4 * 580 + 5000


def test_baselines_without_zeros_count_every_weight(made_up: MadeUp) -> None:
    row = study.four_row(made_up, False)
    assert row["bytes"] == 430500 // 2 + 4 * 580
    assert study.float_row(made_up)["bytes"] == 4 * row["parameters"]


def test_training_takes_so_many_images_and_keeps_zeros(made_up: MadeUp) -> None:
    before = made_up.base.ip1.weight.detach().clone()
    study.tuner(made_up, 30, 60)(made_up.base, 3, False)
    after = made_up.base.ip1.weight
    assert torch.equal(after != 0, before != 0) and not torch.equal(after, before)


def test_both_data_sets_have_rows_and_searches_for_what_they_read() -> None:
    for name, one in study.STUDIES.items():
        assert one.data == name and {"float32", "torch int8"} < set(study.ROWS[name])
        searches = study.SEARCHES[name]
        assert ("forward", 0, True) in searches and ("reversed", 0, False) in searches
        assert len(set(searches)) == len(searches)
    assert ("joint", 0, False) in study.SEARCHES["fashion"]
    assert {seed for _, seed, _ in study.SEARCHES["fashion"]} == {0}


def order(name: str, seed: int, ip1: int, every: bool = False) -> dict[str, Any]:
    return {"order": name, "every": every, "seed": seed, "left": {**WEIGHTS, "ip1": ip1},
            "held": 0.99, "test": 0.98, "steps": 17, "trials": []}


def test_tables(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUp, "accuracies", lambda *_: {"held": 0.991, "test": 0.99})
    monkeypatch.setattr(study, "survivors", lambda module: WEIGHTS)
    step = {"layer": "conv2", "bins": 8, "before": 900, "after": 700, "loss": 0.0004, "kept": True}
    rows = {"float32": {"parameters": 431080, "test": 0.99, "held": 0.991, "bytes": 1724320},
            "reversed, peaks, 8 bits": {"parameters": 43108, "test": 0.985, "bytes": 86216,
                                        "coded": 43108, "steps": [step]},
            "joint, 4 magnitudes": {"parameters": 21554, "test": 0.99, "integers": 0.988,
                                    "bytes": 43108, "coded": 21554, "clocks": 12345}}
    orders = [order("forward", 0, 40000), order("forward", 1, 60000), order("reversed", 0, 20000),
              order("reversed", 0, 10000, True)]
    sizes, searches, means, peaks = study.tables(made_up, rows, orders)
    assert sizes.markdown().splitlines()[4:7] == [
        "| float32 | 431,080 | 1.0 | 99.00 | - | +0.00 | 1,724,320 | 1.0 | - | - | - |",
        "| reversed, peaks, 8 bits | 43,108 | 10.0 | 98.50 | - | +0.50 | 86,216 | 20.0 | 43,108 "
        "| 40.0 | - |",
        "| joint, 4 magnitudes | 21,554 | 20.0 | 99.00 | 98.80 | +0.20 | 43,108 | 40.0 | 21,554 "
        "| 80.0 | 12,345 |"]
    assert searches.markdown().splitlines()[4] == (
        "| forward | pruned so far | 0 | 16.38 | 500 | 25,000 | 40,000 | 5,000 | +0.100 | +1.00 "
        "| 17 |")
    assert [row[:3] for row in means.rows] == [
        ["forward", "pruned so far", 2], ["reversed", "pruned so far", 1], ["reversed", "all", 1]]
    assert means.rows[0][3] == pytest.approx(100 * 80500 / 430500)
    assert peaks.markdown().splitlines()[4] == "| conv2 | 8 | 900 | 700 | +0.040 | yes |"


@needs_data
def test_the_kept_weights_compile_to_the_binary_of_the_page() -> None:
    page = Path(study.__file__).parent / "results" / "lenet5.json"
    rows = json.loads(page.read_text())["tables"]["Networks"]
    (told,) = (row for row in rows if row["network"] == "joint twice, 4 magnitudes")
    kept = study.load_weights(study.build("lenet5", "mnist"),
                              study.WEIGHTS / "lenet5_mnist_small.npz")
    x = study.STUDIES["mnist"].part.x_train
    found = study.binary.measure(study.binary.program(kept, x, study.SMALLEST[1]))
    assert found.taps == told["parameters"] - 580
    # the page's binary had tables of another order, which entropy coding and loading notice
    for size, column, near in ((found.packed - DESCRIPTORS, "bytes", 2e-3),
                               (found.coded, "entropy coded", 2e-2),
                               (found.clocks, "clocks", 2e-3)):
        assert size == pytest.approx(told[column], rel=near)
