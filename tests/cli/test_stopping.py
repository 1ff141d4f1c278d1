"""Signals: one line, death by the signal, nothing left, in every phase."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import pytest

# the whole command in a process that stops itself at a place that the test names
STOPS = """
import os, signal, sys
from kcnn.cli import __main__ as command

def stop(*_, **__):
    os.kill(os.getpid(), signal.{signal})
    {then}

{place}
sys.argv = ["kcnn", *sys.argv[1:]]
command.main()
"""
PLACES = {
    "start": "command.run = stop",
    "imports": "class Finder:\n    find_spec = stop\nsys.meta_path.insert(0, Finder())",
    "reading": "from kcnn.arch import kbin\nkbin.read = stop",
    "engine": "from kcnn.engines import execute\nexecute.machine = stop",
    "writing": "from kcnn.cli import io\nio.write_arrays = stop",
}


def command(net, images, number, place, then="return 0"):
    code = STOPS.format(signal=signal.Signals(number).name, place=place, then=then)
    return [sys.executable, "-c", textwrap.dedent(code), "run", net, "--input", images,
            "--engine", "tlm", "-o", "y.npy"]


@pytest.mark.parametrize("place, number", [
    (place, signal.SIGTERM) for place in PLACES] + [("engine", signal.SIGINT)])
def test_a_signal_is_told_in_one_line(net, images, tmp_path, number, place):
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        command(net, images, number, PLACES[place]), cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    assert (done.returncode, done.stderr) == (-number, "kcnn: stopped\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_shell_sees_128_and_the_signal(net, images, tmp_path):
    argv = command(net, images, signal.SIGTERM, PLACES["reading"])
    done = subprocess.run(["sh", "-c", '"$@"; echo $?', "sh", *map(str, argv)], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.stdout == "143\n"


def test_a_signal_in_a_destructor_is_not_lost(net, images, tmp_path):
    place = """
    from kcnn.arch import kbin
    class Doomed:
        __del__ = stop
    def read(path):
        Doomed()
        import time
        time.sleep(20)
    kbin.read = read
    """
    began = time.monotonic()
    done = subprocess.run(command(net, images, signal.SIGTERM, textwrap.dedent(place)),
                          cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "kcnn: stopped\n")
    assert time.monotonic() - began < 15


def test_a_signal_that_we_were_started_to_ignore_stays_ignored(net, images, tmp_path):
    done = subprocess.run(
        command(net, images, signal.SIGHUP, PLACES["writing"]), cwd=tmp_path, capture_output=True,
        text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_killed_command_leaves_nothing_that_stays(kcnn, net, images, tmp_path):
    done = subprocess.run(command(net, images, signal.SIGKILL, PLACES["writing"]), cwd=tmp_path,
                          capture_output=True)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "y.npy").exists()
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(left) == 1
    ran = kcnn("run", net, "--input", images, "--engine", "tlm", "-o", tmp_path / "y.npy")
    assert ran.code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"net.kbin", "x.npy", "y.npy"}
