"""Results of the studies: one page and one JSON file each, written at once, and a plot if any.

    save("alexnet", "python bench/compression/alexnet.py", "What it is about.", tables)

A study that takes long keeps its parts as it goes, in out/compression/<study>.json:

    parts = Parts("formats", fresh=False)
    found = parts("conv1, 8 bits", lambda: ...)     # computed once; plain JSON values
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
KEPT = Path(__file__).resolve().parents[2] / "out" / "compression"
Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under column names. formats: how numbers of a column are shown, by its name; the JSON
    file has them in full."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    formats: dict[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""

    def markdown(self) -> str:
        """The table with its title and note."""
        lines = [f"## {self.title}", ""]
        lines += [_line(self.columns), _line(["---", *["---:"] * (len(self.columns) - 1)])]
        lines += [_line([self._shown(name, value) for name, value
                         in zip(self.columns, row, strict=True)]) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else []), ""])

    def _shown(self, column: str, value: Cell) -> str:
        if value is None:
            return "-"
        if isinstance(value, str):
            return value
        return format(value, self.formats.get(column, ",.2f" if isinstance(value, float) else ","))


def save(name: str, command: str, about: str, tables: Sequence[Table],
         folder: Path = RESULTS, plot: Figure | None = None) -> None:
    """Write <name>.md, <name>.json and, if there is a plot, <name>.png, and show the page."""
    shown = [f"![plot]({name}.png)", ""] if plot else []
    page = "\n".join([f"# {name}", "", about, "", f"Made by `{command}`.", "", *shown,
                      *(table.markdown() for table in tables)])
    data = {"command": command, "tables": {
        table.title: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for table in tables}}
    folder.mkdir(exist_ok=True)
    if plot:
        _draw(folder / f"{name}.png", plot)
    _write(folder / f"{name}.json", json.dumps(data, indent=1) + "\n")
    _write(folder / f"{name}.md", page)
    print(page)


class Parts:
    """Finished parts of a study by name; an interrupted study goes on where it was."""

    def __init__(self, study: str, fresh: bool, folder: Path = KEPT) -> None:
        self.path = folder / f"{study}.json"
        known = self.path.exists() and not fresh
        self._parts: dict[str, Any] = json.loads(self.path.read_text()) if known else {}

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """The part of that name, made if it is not known; equal to what JSON gives back."""
        if name not in self._parts:
            self._parts[name] = json.loads(json.dumps(make()))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write(self.path, json.dumps(self._parts))
        return self._parts[name]

    def known(self) -> dict[str, Any]:
        """All finished parts."""
        return dict(self._parts)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)


def _draw(path: Path, plot: Figure) -> None:
    """The same bytes for the same figure: no name of a program, no date."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    plot.savefig(partial, format="png", dpi=100, metadata={"Software": None})
    partial.replace(path)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
