"""The files that a command writes: all of them at its end, or none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ..arch.errors import KcnnError


class Outputs:
    """Files and folders to be; they appear when the `with` block ends without an error.

    Until then everything lies in hidden folders beside the places asked for.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._made: dict[Path, Path] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._stack:
            if kind is None:
                for wanted, made in self._made.items():
                    _move(made, wanted)

    def file(self, path: Path) -> Path:
        """Where to write what shall become file `path`; KcnnError if it cannot be written."""
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no plain file"
            raise KcnnError(f"{path}: is {what}; name a file to write")
        return self._claim(path)

    def folder(self, path: Path) -> Path:
        """An empty folder whose files shall come into folder `path`."""
        if path.exists() and not path.is_dir():
            raise KcnnError(f"{path}: is a file; name a folder to write into")
        made = self._claim(path)
        made.mkdir()
        return made

    def _claim(self, path: Path) -> Path:
        wanted = path.resolve()
        if wanted in self._made:
            raise KcnnError(f"{path}: is asked for twice; give every output a name of its own")
        try:
            beside = tempfile.mkdtemp(prefix=".kcnn-", dir=wanted.parent)
        except OSError as error:
            raise KcnnError(f"{path}: cannot be written ({error.strerror}); "
                            "choose a place in a folder that exists and is yours") from None
        self._stack.callback(shutil.rmtree, beside, ignore_errors=True)
        self._made[wanted] = Path(beside) / wanted.name
        return self._made[wanted]


def _move(made: Path, wanted: Path) -> None:
    """Put a file or the files of a folder in place, if they were made."""
    if not made.is_dir():
        if made.exists():
            os.replace(made, wanted)
        return
    for name in _files(made):
        (wanted / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, wanted / name)


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()))


def write_json(path: Path, value: Any) -> None:
    """Write figures as JSON."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
