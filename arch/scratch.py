"""Hidden folders for what is being made, which nobody has to clean up.

A folder `.kcnn-...` lies in the place, so on the file system, where what is made in it will be. Its
owner holds a lock on it, which ends with the process in whatever way that ends. Who makes the next
folder in the place removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".kcnn-"


@contextlib.contextmanager
def folder(place: Path) -> Iterator[Path]:
    """A new empty folder in the place, gone when the block ends.

    Raises OSError if nothing can be written in the place.
    """
    made, lock = _make(place)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """An OSError of the block that names no file, as those of writing do, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def hold(path: Path) -> int | None:
    """Open a folder and lock it for us alone; None if another one holds it or has removed it.

    Raises OSError for what is no folder, and where the file system has no locks.
    """
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.stat(path), os.fstat(lock))
    except (BlockingIOError, FileNotFoundError):
        ours = False
    except OSError:
        os.close(lock)
        raise
    if ours:
        return lock
    os.close(lock)
    return None


def _make(place: Path) -> tuple[Path, int]:
    """A folder and the lock on it. Where there are no locks, nobody sweeps either."""
    _sweep(place)
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        try:
            lock = hold(made)
        except OSError:
            lock = os.open(made, os.O_RDONLY)
        if lock is not None:
            return made, lock


def _sweep(place: Path) -> None:
    """Remove the folders that no living process holds, those of other users excepted."""
    for path in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = hold(path)
            if lock is not None:
                if os.fstat(lock).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
