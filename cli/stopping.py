"""Signals that stop a command: one line, nothing left behind, and death by that signal.

A shell shows death by a signal as 128 + its number (130 for Ctrl-C, 143 for SIGTERM), and a script
that is stopped so does not go on with its next command.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = 0.05             # seconds


class Stopped(BaseException):
    """A signal asked the command to stop. Its text is the sentence that the user reads."""

    def __init__(self, number: int, sentence: str = "stopped") -> None:
        super().__init__(sentence)
        self.number = number


def install() -> None:
    """Let the signals raise Stopped, those excepted that we were started to ignore."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _lost


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def _lost(unraisable: Any) -> None:
    """A destructor cannot be stopped: the signal comes again when it is done."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(AGAIN, signal.pthread_kill, [
        threading.main_thread().ident, unraisable.exc_value.number])
    again.daemon = True
    again.start()


def ignore() -> None:
    """Whoever is ending cannot be stopped any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def die(number: int) -> None:
    """End by a signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
