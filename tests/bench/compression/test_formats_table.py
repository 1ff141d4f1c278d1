"""The table of formats on small layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kcnn.compiler.compress import sizes
from kcnn.compiler.compress.formats import FORMATS
from scripts import script

study = script("bench/compression/formats_table")


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: (rng.normal(size=shape) * (rng.random(shape) < 0.2)).astype(np.float32)
            for name, shape in (("conv1", (8, 4, 3, 3)), ("fc6", (40, 60, 1, 1)))}


@pytest.mark.parametrize("code, bits", [("integers", (8, 8)), ("deep", (6, 5)), ("few", (4, 4))])
def test_codings_have_the_bits_of_their_names(code: str, bits: tuple[int, int]) -> None:
    found = {name: getattr(study, code)(name, weight) for name, weight in weights().items()}
    assert tuple(coded.bits for coded in found.values()) == bits
    assert all(np.abs(coded.dense() - weights()[name]).max() < 0.5
               for name, coded in found.items())


def test_rows_survive_as_parts(tmp_path: Path) -> None:
    parts = study.Parts("formats", fresh=False, folder=tmp_path)
    rows = study.rows_of(weights(), study.integers, "small", ("none",), parts)
    direct = sizes.table({name: study.integers(name, weight)
                          for name, weight in weights().items()}, ["none"])
    again = study.Parts("formats", fresh=False, folder=tmp_path)
    assert rows == direct == study.rows_of(weights(), None, "small", ("none",), again)


def test_the_total_has_a_row_a_format_and_the_best_of_each_layer(tmp_path: Path) -> None:
    parts = study.Parts("formats", fresh=False, folder=tmp_path)
    rows = study.rows_of(weights(), study.integers, "small", ("none",), parts)
    table = study.in_total("Small", rows, ("none",))
    assert [row[0] for row in table.rows] == [*FORMATS, "smallest of each layer"]
    assert table.rows[-1][1] <= min(row[1] for row in table.rows)
    floats = 4 * (8 * 36 + 2400)
    assert table.rows[0][2] == pytest.approx(floats / table.rows[0][1])
    layers = study.by_layer("Small", rows, "none")
    assert [row[0] for row in layers.rows] == ["conv1", "fc6"]
    assert layers.markdown() and table.markdown()
