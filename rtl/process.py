"""Programs that we start: their output, and their end when ours comes first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def call(command: Sequence[str], folder: Path | None = None,
         environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is.

    It has nothing to read, and its output is kept. Where an exception ends us, it ends too, with
    all that it has started.
    """
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        started.append(subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", process_group=0))

    # signals are handled in the main thread: what starts in another is always known here
    with ThreadPoolExecutor(1) as starter:
        try:
            starter.submit(start).result()
            out, err = started[0].communicate()
        except BaseException:
            starter.shutdown()
            for process in started:
                _kill(process)
            raise
    return subprocess.CompletedProcess(command, started[0].returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    with process, contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of its output that are not empty, errors first; what ended it if there are none."""
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if lines:
        return lines
    ended = signal.strsignal(-done.returncode) if done.returncode < 0 else None
    return [ended or "nothing was said"]
