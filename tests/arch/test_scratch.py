"""Work in progress goes away: at the end, and when its process was killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kcnn.arch import scratch

HOLD = """
import sys, pathlib
from kcnn.arch import scratch
with scratch.folder(pathlib.Path(sys.argv[1])) as made:
    (made / "half").write_text("half")
    print(made, flush=True)
    sys.stdin.read()
"""


def holder(place: Path) -> tuple[subprocess.Popen, Path]:
    """Another process that is making something, and the folder it does so in."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, place], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_folders_lie_in_the_place_and_go(tmp_path):
    with scratch.folder(tmp_path) as one, scratch.folder(tmp_path) as two:
        assert one != two and {one.parent, two.parent} == {tmp_path}
        assert one.name.startswith(".kcnn-") and not list(one.iterdir())
        (one / "file").write_text("")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), scratch.folder(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_leaves_goes_with_the_next_and_nothing_else(tmp_path):
    (living, theirs), (killed, left) = holder(tmp_path), holder(tmp_path)
    (tmp_path / ".kcnn-file").write_text("of the user")
    (tmp_path / "other").mkdir()
    killed.kill()
    killed.communicate()
    assert left.exists()
    with scratch.folder(tmp_path) as made:
        assert made.exists() and not left.exists() and (theirs / "half").exists()
    assert living.communicate("")[0] == "" and living.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {".kcnn-file", "other"}


def test_many_at_once_do_not_disturb_one_another(tmp_path):
    wrong = []

    def work():
        for _ in range(30):
            with scratch.folder(tmp_path) as made:
                (made / "file").write_text("")
                if [path.name for path in made.iterdir()] != ["file"]:
                    wrong.append(made)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and not list(tmp_path.iterdir())


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    (tmp_path / ".kcnn-old").mkdir()

    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(scratch.fcntl, "flock", no_locks)
    with scratch.folder(tmp_path) as made:
        assert made.exists()
    assert [path.name for path in tmp_path.iterdir()] == [".kcnn-old"]


def test_errors_of_writing_name_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, scratch.named(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as caught, scratch.named(tmp_path / "a"):
        (tmp_path / "b").read_text()
    assert caught.value.filename == str(tmp_path / "b")


def test_a_place_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), scratch.folder(tmp_path / "missing"):
        pass
    assert not list(tmp_path.iterdir())
