"""A narrow AlexNet in a small memory: what the page tells of it."""

from __future__ import annotations

import dataclasses

import pytest
from scripts import script

bench = script("bench/compression/large")
TIGHT = dataclasses.replace(bench.SMALL, memory_codes=1 << 13)


@pytest.fixture(scope="module")
def row():
    built, images = bench.imagenet.build, bench.images
    bench.imagenet.build = lambda name: built(name, 64, narrow=32, classes=10)
    bench.images = lambda name, count: bench.imagenet.noise(64, count, 1)
    try:
        made = bench.quantised("alexnet", 4)
        yield bench.row("alexnet", lambda: made, TIGHT)
    finally:
        bench.imagenet.build, bench.images = built, images


def test_layers_add_up(row) -> None:
    assert row["homes"] > 0 and row["peak"] > 0
    sums = {key: sum(layer[key] for layer in row["layers"]) for key in bench.MEASURES}
    assert sums["taps"] < sums["cycles"] <= row["cycles"]
    assert sums["loaded"] > 0 and sums["stored"] > 0 and sums["streamed"] > 0


def test_the_page_has_a_row_a_machine_and_a_line_a_layer(row) -> None:
    found = {bench.title("alexnet", config): row for config in bench.MACHINES}
    whole, layers = bench.tables(found)
    assert [line[:3] for line in whole.rows] == [["alexnet", 16, "small"], ["alexnet", 16, "wide"]]
    assert len(layers.rows) == len(row["layers"])
    assert "features.0" in layers.markdown() and whole.markdown()


def test_rows_are_made_once(tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(bench, "row", lambda name, once, config: asked.append(config.name) or {})
    for _ in range(2):
        bench.rows("alexnet", 16, bench.Parts("large", fresh=False, folder=tmp_path))
    assert asked == ["small", "wide"]
