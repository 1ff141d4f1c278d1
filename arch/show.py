"""What is shown to people, as data: sentences and tables. As text, or as HTML for a notebook.

The command line prints the same parts (cli/report.py).
"""

from __future__ import annotations

import dataclasses
import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from .columns import aligned, cell


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, the names of columns (all empty: no head) and rows of values.

    texts: columns that are flush left, of words; the others are flush right, of numbers. A row that
    is shorter than the others ends with nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    texts: tuple[int, ...] = (0,)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]],
          texts: Iterable[int] = (0,)) -> Table:
    """A table of rows of any kind."""
    return Table(title, tuple(columns), tuple(map(tuple, rows)), tuple(texts))


class Shown(ABC):
    """What shows itself: its parts in a text, and in a notebook as HTML."""

    @abstractmethod
    def parts(self) -> Iterator[Table | str]:
        """Tables and sentences, in the order in which they are read."""

    def __str__(self) -> str:
        return as_text(self.parts())

    def _repr_html_(self) -> str:
        return as_html(self.parts())


# ---- values ----------------------------------------------------------------------------------
def percent(share: float | None) -> str | None:
    """A share in percent."""
    return None if share is None else f"{100 * share:.1f} %"


def decibel(value: float | None) -> str | None:
    """A ratio in dB."""
    return None if value is None else f"{value:.1f} dB"


# ---- all of it -------------------------------------------------------------------------------
def as_text(parts: Iterable[Table | str]) -> str:
    """Lines of plain text, an empty one before a further table.

    >>> print(as_text([Table("layers", ("name", "taps"), (("stem", 1200), ("fc", 7))), "done"]))
    layers
    name   taps
    stem  1,200
    fc        7
    done
    """
    return "\n".join(f"\n{_text(part)}" if isinstance(part, Table) else part
                     for part in parts).removeprefix("\n")


def _text(shown: Table) -> str:
    head = [shown.columns] * any(shown.columns)
    lines = [*head, *([cell(value) for value in row] for row in shown.rows)]
    return f"{shown.title}\n" + aligned(lines, [
        at not in shown.texts for at in range(len(shown.columns))])


def as_html(parts: Iterable[Table | str]) -> str:
    """One HTML element; everything that a name could smuggle in is escaped."""
    inside = (_element(part) if isinstance(part, Table) else f"<p>{html.escape(part)}</p>"
              for part in parts)
    return f"<div>{''.join(inside)}</div>"


def _element(shown: Table) -> str:
    head = "".join(_cell("th", name, at, shown) for at, name in enumerate(shown.columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', cell(value), at, shown) for at, value in enumerate(row))}</tr>"
        for row in shown.rows)
    return (f"<table><caption>{html.escape(shown.title)}</caption>"
            + (f"<thead><tr>{head}</tr></thead>" if any(shown.columns) else "")
            + f"<tbody>{body}</tbody></table>")


def _cell(tag: str, text: str, at: int, shown: Table) -> str:
    side = "left" if at in shown.texts else "right"
    return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'
