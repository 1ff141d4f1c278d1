"""What commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import progress as bars
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from ..arch import names, scratch
from ..arch.columns import cell
from ..arch.errors import KcnnWarning
from ..arch.show import Table
from ..arch.show import table as made

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


@contextmanager
def warnings_told() -> Iterator[None]:
    """Within the block every KcnnWarning is told by `warn`."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", KcnnWarning)
        other = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any
                 ) -> None:
            if issubclass(category, KcnnWarning):
                warn(str(message))
            else:
                other(message, category, *place, **more)

        warnings.showwarning = tell           # type: ignore[assignment]
        yield


def show(parts: Iterable[Table | str]) -> None:
    """Tables and sentences, one after the other."""
    for part in parts:
        if isinstance(part, Table):
            _table(part)
        else:
            say(part)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]],
          texts: Sequence[int] = (0,)) -> None:
    """A table that nobody keeps."""
    _table(made(title, columns, rows, texts))


def _table(shown: Table) -> None:
    """A title and a table. On a narrow screen columns move together before words are broken."""
    out = RichTable(box=SIMPLE_HEAD, show_header=any(shown.columns))
    for number, name in enumerate(shown.columns):
        out.add_column(name, justify="left" if number in shown.texts else "right",
                       overflow="fold")
    for row in shown.rows:
        out.add_row(*(escape(cell(value)) for value in row))
    screen = console()
    if console(WIDEST).measure(out).maximum > screen.width:
        out.padding = (0, 0)
    say(shown.title)
    with scratch.named(SCREEN):
        screen.print(out)


def _printable(text: str) -> str:
    """Lines without anything that changes a terminal: names and paths can come from anybody."""
    return "\n".join(map(names.printable, text.split("\n")))


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error, if that is a terminal, what is going on; yields a function that
    names the step, and of compiler.stages.Work shows how much is done."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda step: None
        return
    what = names.printable(what)
    columns = (bars.SpinnerColumn(), bars.TextColumn("{task.description}", markup=False),
               bars.BarColumn(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=screen, transient=True) as shown:
        task = shown.add_task(what, total=None)

        def tell(step: str) -> None:
            shown.update(task, description=f"{what}: {names.printable(step)}",
                         completed=getattr(step, "done", 0), total=getattr(step, "of", None))
        yield tell
