"""What holds for tensors with layouts, and for those that have their memory; it only reads."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InternalError
from .homes import Home
from .layouts import Placed
from .lives import Life


def verify_layouts(placed: Placed) -> None:
    """Raise InternalError where elements of a tensor lie outside what it takes of the memory."""
    codes = placed.config.row_codes
    for value, kind, layout, home in zip(placed.split.net.values, placed.kinds, placed.layouts,
                                         placed.homes, strict=True):
        if home == Home.PACKED:            # it has windows alone
            continue
        first = layout.first_row * codes
        low, high = layout.ends(kind.codes)
        if low < first or high >= first + layout.rows * codes:
            raise InternalError(f"{value.name} has elements outside its {layout.rows} rows")


def verify_tiled(placed: Placed) -> None:
    """The same; and values that are read together are in one form, but those on chip."""
    verify_layouts(placed)
    for layer in placed.split.net.layers:
        homes = {placed.homes[source.tensor] for source in layer.sources}
        if Home.LINES in homes and len(homes) > 1:
            raise InternalError(f"{layer.name} reads lines and planes")


def verify_memory(placed: Placed) -> None:
    """The same, and where tensors that live together share a row, windows among them."""
    verify_tiled(placed)
    for name, first, end, life in (parts := list(_taken(placed))):
        if end > placed.config.rows:
            raise InternalError(f"{name} lies beyond the end of the memory")
        for other, low, high, others in parts:
            if other != name and life.meets(others) and first < high and low < end:
                raise InternalError(f"{name} and {other} share memory while both live")


def _taken(placed: Placed) -> Iterator[tuple[str, int, int, Life]]:
    """Names, first rows, ends and lives of tensors on chip, and of windows."""
    names = [value.name for value in placed.split.net.values]
    for name, home, layout, life in zip(names, placed.homes, placed.layouts, placed.lives,
                                        strict=True):
        if home == Home.CHIP:
            yield name, layout.first_row, layout.first_row + layout.rows, life
    for number, windows in enumerate(placed.windows):
        for value, window in windows.items():
            life = Life(number, number, window.rows)
            yield f"the window of {names[value]}", window.first_row, window.end, life
