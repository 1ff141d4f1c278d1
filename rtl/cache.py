"""What kcnn can build again: converted machines and compiled simulators.

Each is a folder below the user's cache folder, named by the hash of everything it was made from. A
folder appears whole, by renaming. All together take at most LIMIT bytes: what was not used for
longest goes first, and what a living process uses stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from ..arch import scratch
from ..arch.errors import KcnnError

LIMIT = 1 << 29
# a lock, shared with other users, on every folder that this process has been given
_used: dict[Path, int] = {}


def place() -> Path:
    """The cache folder."""
    return Path(platformdirs.user_cache_dir("kcnn"))


def digest(parts: Sequence[bytes]) -> str:
    """A name for something made from these parts, in this order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()[:32]


def folder(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, until this process ends; if there is none, `fill` makes its
    contents in an empty folder.

    Of several processes that fill at once, one's folder stays. Raises KcnnError if the cache cannot
    be written.
    """
    home = place()
    while not _use(home / name):
        with _workplace(home) as work:
            (work / name).mkdir()
            with scratch.named(home):
                fill(work / name)
            _appear(work / name, home / name)
            if _use(home / name):
                with contextlib.suppress(OSError):
                    _bound(home, work)
    return home / name


@contextlib.contextmanager
def _workplace(home: Path) -> Iterator[Path]:
    """A folder in the cache that is gone at the end of the block."""
    with contextlib.ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            work = stack.enter_context(scratch.folder(home))
        except OSError as error:
            raise KcnnError(f"the cache folder {home} cannot be written ({error.strerror}): "
                            "set XDG_CACHE_HOME to a folder of yours") from None
        yield work


def _appear(made: Path, final: Path) -> None:
    """Rename a folder, unless another process was faster."""
    try:
        os.replace(made, final)
    except OSError:
        if not final.is_dir():
            raise


def _use(path: Path) -> bool:
    """Let nobody remove the folder as long as we live; False if there is none."""
    if path in _used:
        if path.exists():
            return True
        os.close(_used.pop(path))
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    with contextlib.suppress(OSError):              # no locks here, or the folder of another user
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(path)
    if not path.exists() or not os.path.samestat(os.stat(path), os.fstat(lock)):
        os.close(lock)
        return False
    _used[path] = lock
    return True


def _bound(home: Path, work: Path) -> None:
    """Move what is too much, and what nobody uses, to a folder that is removed."""
    found = sorted((path for path in home.iterdir() if path.is_dir() and path.name[0] != "."),
                   key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in found:
        total += sum(file.lstat().st_size for file in path.rglob("*"))
        if total <= LIMIT:
            continue
        lock = scratch.hold(path)
        if lock is not None:
            os.replace(path, work / path.name)
            os.close(lock)
