"""The figures of the KCNN paper on AlexNet, and what pruning adds."""

from __future__ import annotations

import numpy as np
import pytest
from scripts import script

study = script("bench/compression/alexnet")
pixel = study.pixel
layers = study.networks.alexnet()


def test_the_network_is_alexnet() -> None:
    assert sum(layer.weights for layer in layers) == 60_954_656
    assert sum(layer.macs for layer in layers) == 724_406_816
    assert sum(layer.outputs for layer in layers) == 659_272
    survivors = sum(layer.nonzero for layer in layers) / 60_954_656
    assert survivors == pytest.approx(0.11, abs=0.005)
    for name, (groups, shape) in study.SHAPES.items():
        layer = next(layer for layer in layers if layer.name == name)
        assert layer.positions == shape.rows * shape.columns
        assert layer.inputs == groups * shape.depth * shape.height * shape.width
        assert layer.shape[1:] == (shape.depth, shape.kernel, shape.kernel)


def test_operations_are_down_by_66_percent_without_pruning_and_83_with() -> None:
    left = {(k, pruned): study.operations_left(layers, k, pruned)
            for k in (8, 16, 32, 64) for pruned in (False, True)}
    assert left[16, False] == pytest.approx(0.3404, abs=5e-5)
    assert left[16, True] == pytest.approx(0.1658, abs=5e-5)
    assert [round(100 * left[k, False], 1) for k in (8, 32, 64)] == [33.3, 35.5, 38.4]
    assert [round(100 * left[k, True], 1) for k in (8, 32, 64)] == [15.9, 18.0, 21.0]


def test_storage_is_down_by_85_percent_without_pruning_and_97_with() -> None:
    assert study.storage_left(layers, 32, 4) == pytest.approx(0.1585, abs=5e-5)
    assert study.storage_left(layers, 16, 4) == pytest.approx(0.1394, abs=5e-5)
    assert study.storage_left(layers, 5, 5) == pytest.approx(0.1563, abs=5e-5)
    assert study.storage_left(layers, 4, 4) == pytest.approx(0.125, abs=5e-5)
    assert study.pruned_storage_left(layers) == pytest.approx(0.028, abs=2e-4)


def test_storage_of_layers_adds_up_to_the_shares() -> None:
    rows = {row[0]: row for row in study.storage_by_layer(layers).rows}
    assert rows["fc8"][1:7] == (4_096_000, 16_384_000, *[2_048_032] * 3, 1_024_000)
    assert rows["conv1"][2:6] == (139_392, 139_392, 69_696, 17_456)
    whole = rows["total"]
    assert whole[1:3] == (60_954_656, 4 * 60_954_656)
    shares = [study.storage_left(layers, bits, 4) for bits in (32, 16, 4)]
    for at, share in enumerate([*shares, study.pruned_storage_left(layers)], 3):
        assert whole[at] / whole[2] == pytest.approx(share)
        assert whole[at] == sum(row[at] for name, row in rows.items() if name != "total")
    assert whole[7:] == pytest.approx((13.94, 2.79), abs=0.005)


def test_tables_show_what_the_functions_find() -> None:
    rows = {row[0]: row for row in study.headline(layers).rows}
    assert rows[16][2] == pytest.approx(-65.96, abs=0.005)
    whole = study.by_layer(layers).rows[-1]
    assert whole[5:] == pytest.approx((34.04, 16.58), abs=0.005)
    hits = {row[0]: row[5] for row in study.form_table(layers).rows}
    assert hits["C"] > 99.999 and hits["D"] > 99 > hits["D, pruned"] > 97
    assert hits["A"] is None


def test_every_column_has_a_cell_in_every_row() -> None:
    for table in (study.headline(layers), study.storage(layers), study.by_layer(layers),
                  study.storage_by_layer(layers), study.form_table(layers),
                  study.hits_by_layer(layers), study.latency(layers)):
        assert table.markdown().count("\n") == len(table.rows) + 4 + 2 * bool(table.note)


def test_pixels_beat_maps_to_the_first_output_everywhere() -> None:
    for row in study.latency(layers).rows:
        assert row[4] > 11 and row[6] > 5 * row[5]
    _, conv2 = study.SHAPES["conv2"]
    assert pixel.first_output(conv2, "pixel") == (2 * 27 + 3) * 48


def test_torch_stands_beside_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "torch_times", lambda: ([30.0, 20.0, 10.0], [4.0, 4.0, 5.0]))
    modelled = study.Table("", ("PEs", "conv", "fc", "images"),
                           [(64, 9.0, 9.0, 1.0), (256, 2.5, 0.5, 1.0)])
    assert study.torch_latency(modelled).rows == [("convolutions", 20.0, 10.0, 2.5, 8.0),
                                                  ("fully connected", 4.0, 4.0, 0.5, 8.0)]


def test_clocks_of_a_small_network_are_those_of_its_layers() -> None:
    conv, fc = layers[2], layers[7]
    rng = np.random.default_rng(0)
    weights = {layer.name: (rng.random(layer.shape) < layer.density).astype(np.int8)
               for layer in (conv, fc)}
    found = study.cycles([conv, fc], weights, 64)
    assert found["conv3"] >= conv.nonzero * conv.nonzero_inputs / conv.shape[1] / 64 * 0.98
    assert found["conv3"] == pytest.approx(
        conv.nonzero * conv.nonzero_inputs / conv.shape[1] / 64, rel=0.1)
    assert found["fc8"] == pytest.approx(fc.matched / 64, rel=0.2)
