"""Pages and JSON files of results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from scripts import script

tables = script("bench/compression/tables")
TABLE = tables.Table("Sizes", ("layer", "bytes", "share"),
                     [("conv", 1234, 0.125), ("fc", None, 7.0)], {"share": ".1f"}, note="A note.")


def test_a_table_is_shown_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables.save("sizes", "make sizes", "About.", [TABLE], tmp_path / "results")
    page = (tmp_path / "results" / "sizes.md").read_text()
    assert capsys.readouterr().out == page + "\n"
    assert page.splitlines() == [
        "# sizes", "", "About.", "", "Made by `make sizes`.", "", "## Sizes", "",
        "| layer | bytes | share |", "| --- | ---: | ---: |", "| conv | 1,234 | 0.1 |",
        "| fc | - | 7.0 |", "", "A note."]
    data = json.loads((tmp_path / "results" / "sizes.json").read_text())
    assert data == {"command": "make sizes", "tables": {"Sizes": [
        {"layer": "conv", "bytes": 1234, "share": 0.125},
        {"layer": "fc", "bytes": None, "share": 7.0}]}}
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["sizes.json", "sizes.md"]


def test_a_plot_is_kept_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure = Figure((2, 2))
        figure.subplots().plot([1, 2], [3, 4])
        tables.save("sizes", "make sizes", "About.", [TABLE], tmp_path / name, figure)
    first, second = ((tmp_path / name / "sizes.png").read_bytes() for name in ("a", "b"))
    assert first == second and first[1:4] == b"PNG"
    assert "![plot](sizes.png)" in (tmp_path / "a" / "sizes.md").read_text()
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="zip"):
        tables.Table("t", ("a", "b"), [(1,)]).markdown()


def test_parts_are_made_once_and_survive_an_interrupt(tmp_path: Path) -> None:
    parts = tables.Parts("study", fresh=False, folder=tmp_path / "kept")
    assert parts("a", lambda: {"x": (1, 2.5)}) == {"x": [1, 2.5]}

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts("b", interrupted)
    again = tables.Parts("study", fresh=False, folder=tmp_path / "kept")
    assert again("a", interrupted) == {"x": [1, 2.5]}
    fresh = tables.Parts("study", fresh=True, folder=tmp_path / "kept")
    assert fresh("a", lambda: 3) == 3
