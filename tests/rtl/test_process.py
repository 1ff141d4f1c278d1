"""Programs end with us, and what they say is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from kcnn.rtl import process

TREE = "sleep 60 & echo $! > child; echo $$ > parent; wait"
CALLER = f"""
import signal
from pathlib import Path
from kcnn.cli import stopping
from kcnn.rtl import process
stopping.install()
try:
    process.call(["sh", "-c", "{TREE}"])
except stopping.Stopped as stopped:
    stopping.die(stopped.number)
"""


def test_output_and_status_are_kept(tmp_path):
    done = process.call(["sh", "-c", "pwd; echo bad >&2; cat; exit 3"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "bad\n")
    assert process.said(done) == ["bad", str(tmp_path)]
    assert process.said(process.call(["sh", "-c", "kill -25 $$"])) == ["File size limit exceeded"]
    assert process.said(process.call(["true"])) == ["nothing was said"]


def alive(pid):
    """It runs: it is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_that_was_started_outlives_us(tmp_path, number):
    if not os.path.exists("/proc/self/stat"):
        pytest.skip("no /proc")
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    parent, child = tmp_path / "parent", tmp_path / "child"
    while not (parent.exists() and parent.read_text() and child.read_text()):
        time.sleep(0.02)
    caller.send_signal(number)
    assert caller.communicate(timeout=20)[1] == "" and caller.returncode == -number
    deadline = time.monotonic() + 10
    while any(alive(int(path.read_text())) for path in (parent, child)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_signal_while_it_starts_leaves_nothing(tmp_path, monkeypatch):
    def start(*arguments, **options):
        found = popen(*arguments, **options)
        signal.raise_signal(signal.SIGINT)      # before the caller knows of the process
        started.append(found)
        return found

    popen, started = subprocess.Popen, []
    monkeypatch.setattr(process.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        process.call(["sleep", "60"], tmp_path)
    assert started[0].returncode == -signal.SIGKILL
