"""What commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 140      # of tables that go to a file or a pipe


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def say(text: str) -> None:
    """One line on standard output."""
    console().print(text, markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]],
          text_columns: Sequence[int] = (0,)) -> None:
    """A title and a table; cells are shown as `cell` says, columns not in text_columns flush
    right. Without names of columns there is no head."""
    out = Table(box=SIMPLE_HEAD, show_header=any(columns))
    for number, name in enumerate(columns):
        out.add_column(name, justify="left" if number in text_columns else "right",
                       overflow="fold")
    for row in rows:
        out.add_row(*(escape(cell(value)) for value in row))
    say(title)
    console().print(out)


def cell(value: object) -> str:
    """How a value is shown: None as a dash, thousands apart."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def percent(share: float | None) -> str | None:
    """A share in percent."""
    return None if share is None else f"{100 * share:.1f} %"


def decibel(value: float | None) -> str | None:
    """A ratio in dB."""
    return None if value is None else f"{value:.1f} dB"


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error, if that is a terminal, what is going on; yields a function that
    names the step."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda step: None
        return
    with screen.status(escape(what)) as status:
        yield lambda step: status.update(escape(f"{what}: {step}"))
