"""The files that a command writes: all of them at its end, or none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ..arch import scratch
from ..arch.errors import KcnnError
from . import report
from .stopping import SIGNALS


class Outputs:
    """Files and folders to be; they appear when the `with` block ends without an error. What an
    error shall leave appears then too.

    Until then everything lies in hidden folders (arch.scratch) of the nearest folder that exists;
    missing parents are made at the end. reads: what the command reads, files or models as the user
    names them; nothing takes the place of one of these.
    """

    def __init__(self, *reads: Path | str | None) -> None:
        self._stack = contextlib.ExitStack()
        self._reads = [path for read in reads if read is not None for path in _sources(str(read))]
        self._made: dict[Path, Path] = {}
        self._kept: dict[Path, Path] = {}        # of them, and how the user names them
        self._former: dict[Path, list[Path]] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._stack:
            if kind is None:
                self._place(self._made)
            elif isinstance(error, OSError):
                self._explain(error)
            elif isinstance(error, Exception):
                self._keep()

    def file(self, path: Path) -> Path:
        """Where to write what shall become file `path`; KcnnError if it cannot be written."""
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no plain file"
            raise KcnnError(f"{path}: is {what}; name a file to write")
        self._refuse_input(path)
        return self._claim(path, path.resolve().parent)

    def folder(self, path: Path, keep: bool = False, former: Iterable[str] = ()) -> Path:
        """An empty folder whose files shall come into folder `path`.

        keep: after an error (but not a signal) too, which a line on standard error tells. former:
        files of an earlier command that disappear, unless they are made again.
        """
        if path.exists() and not path.is_dir():
            raise KcnnError(f"{path}: is a file; name a folder to write into")
        made = self._claim(path, path.resolve())
        made.mkdir()
        if keep:
            self._kept[path.resolve()] = path
        self._former[path.resolve()] = [path.resolve() / name for name in former]
        return made

    def _claim(self, path: Path, place: Path) -> Path:
        wanted = path.resolve()
        if any(wanted == other or wanted in other.parents or other in wanted.parents
               for other in self._made):
            raise KcnnError(f"{path}: is asked for twice; give every output a name of its own")
        try:
            beside = self._stack.enter_context(scratch.folder(_nearest(place)))
        except OSError as error:
            raise _refused(path, error, "choose a place that is yours") from None
        self._made[wanted] = beside / wanted.name
        return self._made[wanted]

    def _keep(self) -> None:
        """Place what shall stay after an error, and say so; a failure to is told alone."""
        for wanted, path in self._kept.items():
            try:
                if self._place([wanted]):
                    report.warn(f"{path}: holds what was made before the error")
            except KcnnError as error:
                report.warn(str(error))

    def _place(self, wanted: Collection[Path]) -> int:
        """Put what was made for these places there, once nothing is in the way; how many files."""
        moves = [move for place in wanted for move in _moves(self._made[place], place)]
        for _, place in moves:
            self._refuse_input(place)
        targets = {target for _, target in moves}
        former = [file for place in wanted for file in self._former.get(place, ())
                  if targets and file not in targets]
        with _undisturbed():
            for made, target in moves:
                _move(made, target)
            for file in former:
                file.unlink(missing_ok=True)
        return len(moves)

    def _refuse_input(self, path: Path) -> None:
        """Raise KcnnError if the file is one that the command reads, by whatever name."""
        for read in [*self._reads, *(_modules() if path.suffix == ".py" else ())]:
            if path.exists() and read.exists() and path.samefile(read):
                raise KcnnError(f"{path}: is an input of this command ({read}) and would be lost; "
                                "name another output")

    def _explain(self, error: OSError) -> None:
        """Raise what a failure to write an output means to the user."""
        for wanted, made in self._made.items():
            if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(made.parent):
                raise _refused(wanted, error, "make room, or choose another place") from error


def _move(made: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, target)
    except OSError as error:
        raise _refused(target, error, "choose another place") from None


def _refused(path: Path, error: OSError, advice: str) -> KcnnError:
    return KcnnError(f"{path}: cannot be written ({error.strerror or error}); {advice}")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(found for found in (folder, *folder.parents) if found.exists())


def _moves(made: Path, wanted: Path) -> list[tuple[Path, Path]]:
    """A file or the files of a folder, if they were made, and where they go."""
    if not made.is_dir():
        return [(made, wanted)] if made.exists() else []
    return [(path, wanted / path.relative_to(made))
            for path in sorted(made.rglob("*")) if path.is_file()]


def _sources(read: str) -> Iterator[Path]:
    """The files that a name can mean: itself, and what is before the colon of a model."""
    yield Path(read)
    source = read.rpartition(":")[0]
    if source:
        yield Path(source)
        yield Path(f"{source.replace('.', os.sep)}.py")


def _modules() -> list[Path]:
    """The Python files that were imported, a model's among them."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [Path(file) for file in files if isinstance(file, str)]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would stop us wait until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file."""
    with scratch.named(path):
        path.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write figures as JSON."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
