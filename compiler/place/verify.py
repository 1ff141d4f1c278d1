"""What holds for tensors with layouts, and for those that have their memory; it only reads."""

from __future__ import annotations

import itertools

from ...arch.kind import Kind
from ...arch.layout import Layout
from ..errors import InternalError
from .layouts import Placed


def verify_layouts(placed: Placed) -> None:
    """Raise InternalError where elements of a tensor lie outside what it takes of the memory."""
    codes = placed.config.row_codes
    for value, kind, layout in zip(placed.split.net.values, placed.kinds, placed.layouts,
                                   strict=True):
        first = layout.first_row * codes
        low, high = _reach(kind, layout)
        if low < first or high >= first + layout.rows * codes:
            raise InternalError(f"{value.name} has elements outside its {layout.rows} rows")


def verify_memory(placed: Placed) -> None:
    """The same, and where tensors that live together share a row."""
    verify_layouts(placed)
    names = [value.name for value in placed.split.net.values]
    parts = list(zip(names, placed.layouts, placed.lives, strict=True))
    for (name, a, mine), (other, b, others) in itertools.combinations(parts, 2):
        if (mine.meets(others) and a.first_row < b.first_row + b.rows
                and b.first_row < a.first_row + a.rows):
            raise InternalError(f"{name} and {other} share memory while both live")
    if max(layout.first_row + layout.rows for layout in placed.layouts) > placed.config.rows:
        raise InternalError("tensors lie beyond the end of the memory")


def _reach(kind: Kind, layout: Layout) -> tuple[int, int]:
    """Lowest and highest address of an element."""
    at = layout.addresses(kind.codes)
    return int(at.min()), int(at.max())
