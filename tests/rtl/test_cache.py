"""The cache: whole folders, filled once, bounded, and safe with others at work in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from kcnn.arch.errors import KcnnError
from kcnn.rtl import cache

BUILD = """
import pathlib, sys
from kcnn.rtl import cache
cache.place = lambda: pathlib.Path(sys.argv[1])
def fill(folder):
    (folder / "bench").write_text("half")
    print("filling", flush=True)
    sys.stdin.readline()
    (folder / "bench").write_text("whole")
found = cache.folder(sys.argv[2], fill)
print((found / "bench").read_text(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache; nothing in it is in use."""
    home = tmp_path / "cache"
    monkeypatch.setattr(cache, "place", lambda: home)
    monkeypatch.setattr(cache, "_used", {})
    return home


def release():
    """As if this process had ended."""
    for lock in cache._used.values():
        os.close(lock)
    cache._used.clear()


def filled(name, size=1000):
    return cache.folder(name, lambda folder: (folder / "bench").write_bytes(bytes(size)))


def other(place, name):
    return subprocess.Popen([sys.executable, "-c", BUILD, place, name], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def test_a_folder_is_filled_once_by_many(place):
    found = []

    def fill(folder):
        time.sleep(0.05)
        (folder / "a").write_text("whole")

    threads = [threading.Thread(target=lambda: found.append(
        (cache.folder("x", fill) / "a").read_text())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["whole"] * 4
    assert [path.name for path in place.iterdir()] == ["x"]


def test_what_was_not_used_for_longest_goes_first(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 3500)
    for age, name in ((30, "a"), (20, "b"), (10, "c")):
        then = time.time() - age
        os.utime(filled(name), (then, then))
    release()
    filled("a")                                       # used again, so now the youngest
    release()
    filled("d")
    assert {path.name for path in place.iterdir()} == {"a", "c", "d"}


def test_what_a_living_process_uses_stays(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 1500)
    filled("mine")
    theirs = other(place, "theirs")
    theirs.stdin.write("go on\n")
    theirs.stdin.flush()
    assert [theirs.stdout.readline() for _ in range(2)] == ["filling\n", "whole\n"]
    filled("large", 5000)
    assert {path.name for path in place.iterdir()} == {"mine", "theirs", "large"}
    release()
    theirs.communicate()
    filled("last")
    assert [path.name for path in place.iterdir()] == ["last"]


def test_a_build_killed_half_way_is_never_used(place):
    killed = other(place, "x")
    assert killed.stdout.readline() == "filling\n"
    killed.kill()
    killed.communicate()
    assert not (place / "x").exists() and len(list(place.iterdir())) == 1
    assert (filled("x") / "bench").read_bytes() == bytes(1000)
    assert [path.name for path in place.iterdir()] == ["x"]


def test_a_failing_build_leaves_nothing(place):
    with pytest.raises(ZeroDivisionError):
        cache.folder("x", lambda folder: 1 / 0)
    assert not list(place.iterdir())


def test_a_folder_that_was_removed_is_filled_again(place):
    (filled("x") / "bench").unlink()
    (place / "x").rmdir()
    assert (filled("x") / "bench").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "place", lambda: tmp_path / "file" / "kcnn")
    with pytest.raises(KcnnError, match="set XDG_CACHE_HOME"):
        cache.folder("x", lambda folder: None)
