"""What commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..arch import names, scratch
from ..arch.columns import cell

WIDTH = 140      # of tables that go to a file or a pipe
WIDEST = 10_000  # to measure a table that may be as wide as it wants
SCREEN = Path("standard output")


def console(width: int | None = None) -> Console:
    """Standard output, as wide as the terminal if no width is given."""
    wide = None if sys.stdout.isatty() else WIDTH
    return Console(width=width or wide, highlight=False)


def say(text: str) -> None:
    """One line on standard output."""
    with scratch.named(SCREEN):
        console().print(_printable(text), markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line on standard error."""
    print(f"kcnn: warning: {names.printable(' '.join(text.split()))}", file=sys.stderr)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]],
          text_columns: Sequence[int] = (0,)) -> None:
    """A title and a table; cells are shown as `cell` says, columns not in text_columns flush
    right. Without names of columns there is no head. On a narrow screen columns move together
    before words are broken."""
    out = Table(box=SIMPLE_HEAD, show_header=any(columns))
    for number, name in enumerate(columns):
        out.add_column(name, justify="left" if number in text_columns else "right",
                       overflow="fold")
    for row in rows:
        out.add_row(*(escape(cell(value)) for value in row))
    screen = console()
    if console(WIDEST).measure(out).maximum > screen.width:
        out.padding = (0, 0)
    say(title)
    with scratch.named(SCREEN):
        screen.print(out)


def _printable(text: str) -> str:
    """Lines without anything that changes a terminal: names and paths can come from anybody."""
    return "\n".join(map(names.printable, text.split("\n")))


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
    what = names.printable(what)
    with screen.status(escape(what)) as status:
        yield lambda step: status.update(escape(f"{what}: {step}"))
