"""The command `kcnn`: exit code 0, 1 where a difference was found, 2 for bad input."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import typer

from ..arch.errors import KcnnError
from .app import app

# typer keeps its own copy of click or uses the installed one: this is the base of usage errors
UsageError: Any = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command line; SIGTERM stops it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Every user error becomes one line on standard error."""
    wanted = list(arguments) or ["--help"]
    try:
        code = typer.main.get_command(app).main(wanted, "kcnn", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KcnnError as error:
        return _refuse(str(error))
    except UsageError as error:
        return _refuse(_usage(error))
    except (typer.Abort, KeyboardInterrupt):
        return _refuse("stopped")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{place}{error.strerror or error}")


def _usage(error: Exception) -> str:
    said = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kcnn"
    return f"{said.rstrip('.')}; `{command} --help` says what it takes"


def _refuse(sentence: str) -> int:
    print(f"kcnn: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
