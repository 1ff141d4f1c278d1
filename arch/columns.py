"""Tables as plain text: how a value is shown, and columns that line up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A line of heads, then a line a row; numbers flush right, no space at the end of a line."""
    body = [list(row) for row in rows]
    lines = [list(head), *([cell(value) for value in row] for row in body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(value is None or isinstance(value, int | float) for value in column)
             for column in zip(*body, strict=True)] or [False] * len(widths)
    return "\n".join(GAP.join(text.rjust(width) if number else text.ljust(width)
                              for text, width, number in zip(line, widths, right, strict=True)
                              ).rstrip() for line in lines)
