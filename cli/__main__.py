"""The command `kcnn`: exit code 0, 1 where a difference was found, 2 for bad input, 130 or the like
where a signal stopped it.

What it needs is imported once signals are told in a line, since that takes a while.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from ..arch import names, scratch
from ..arch.errors import KcnnError
from . import stopping

SIGNALLED = 128


def main() -> None:
    """Run the command line."""
    try:
        stopping.install()
        code = run(sys.argv[1:])
        stopping.ignore()
    except stopping.Stopped as stopped:
        code = _refuse(str(stopped), SIGNALLED + stopped.number)
    if code > SIGNALLED:
        stopping.die(code - SIGNALLED)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Every user error becomes one line on standard error."""
    try:
        return _command(list(arguments) or ["--help"])
    except KcnnError as error:
        return _refuse(str(error))
    except stopping.Stopped as stopped:
        return _refuse(str(stopped), SIGNALLED + stopped.number)
    except OSError as error:
        return _failed(error)


def _command(arguments: list[str]) -> int:
    import typer

    from . import report
    from .app import app
    # typer keeps its own copy of click or uses the installed one: this is the base of usage errors
    usage: Any = typer.BadParameter.__mro__[2]
    try:
        with report.warnings_told():
            code = typer.main.get_command(app).main(arguments, "kcnn", standalone_mode=False)
    except usage as error:
        return _refuse(_usage(error))
    with scratch.named(report.SCREEN):
        sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _failed(error: OSError) -> int:
    """A file or standard output that cannot be used. Who reads ours may have enough early."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    place = f"{error.filename}: " if error.filename else ""
    return _refuse(f"{place}{error.strerror or error}")


def _usage(error: Exception) -> str:
    said = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]
    said = said.replace(": Value error, ", ": ", 1)        # what typer puts before a choice's words
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kcnn"
    return f"{said.rstrip('.')}; `{command} --help` says what it takes"


def _refuse(sentence: str, code: int = 2) -> int:
    print(f"kcnn: {names.printable(' '.join(sentence.split()))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
