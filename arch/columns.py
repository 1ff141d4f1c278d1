"""Tables as plain text: how a value is shown, and columns that line up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from . import names

GAP = "  "


def cell(value: object) -> str:
    """How a value is shown: None as a dash, thousands apart."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return names.printable(str(value))


def dims(numbers: Iterable[int]) -> str:
    """Sizes: 16x3x3."""
    return "x".join(map(str, numbers))


def span(numbers: ArrayLike) -> str:
    """The smallest and the largest of some numbers, a dash for none; four digits of real ones."""
    array = np.asarray(numbers)
    if not array.size:
        return "-"
    whole = np.issubdtype(array.dtype, np.integer)
    low, high = (f"{end:,}" if whole else f"{end:.4g}" for end in (array.min(), array.max()))
    return low if low == high else f"{low}..{high}"


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A line of heads, then a line a row; numbers flush right, no space at the end of a line."""
    body = [list(row) for row in rows]
    lines = [list(head), *([cell(value) for value in row] for row in body)]
    right = [all(value is None or isinstance(value, int | float) for value in column)
             for column in zip(*body, strict=True)] or [False] * len(head)
    return aligned(lines, right)


def aligned(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Lines of cells, one below the other; right: which columns are flush right. A line may be
    shorter than the others."""
    widths = [max((len(line[at]) for line in lines if at < len(line)), default=0)
              for at in range(len(right))]
    return "\n".join(GAP.join(text.rjust(width) if number else text.ljust(width)
                              for text, width, number in zip(line, widths, right, strict=False)
                              ).rstrip() for line in lines)
