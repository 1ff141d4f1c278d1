"""Processes that wait for one another and for the memory port, without a clock.

What one tells another lies in a queue together with the cycle from which it is visible, so that a
process can run ahead of the others. Only the port's bursts are put in the order of time: it serves
them when all that could ask before has asked.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from . import timing
from .config import Config
from .timing import Master

Queue = deque[Any]


@dataclasses.dataclass(frozen=True)
class Burst:
    """A process's wish for the port. visible: cycle from which on it is."""

    master: Master
    visible: int
    beats: int


# yields a queue, and gets the first thing in it once there is one; or a burst, and gets the cycle
# of its last beat
Process = Generator[Queue | Burst, Any, int]


def simulate(processes: Iterable[Process], config: Config) -> None:
    """Run until nobody can go on, with the configuration's memory latency."""
    _Simulation(config).run(processes)


class _Simulation:
    """Who waits for what."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.idle = 0                        # cycle from which on the port is
        self.waiting: dict[Process, Queue] = {}
        self.asked: dict[Master, tuple[Burst, Process]] = {}

    def run(self, processes: Iterable[Process]) -> None:
        """To the end."""
        for process in processes:
            self._resume(process, None)
        while self._tell() or self._grant():
            pass

    def _resume(self, process: Process, value: Any) -> None:
        """Let it go on to what it has to wait for."""
        try:
            want = process.send(value)
            while isinstance(want, deque) and want:
                want = process.send(want.popleft())
        except StopIteration:
            return
        if isinstance(want, Burst):
            self.asked[want.master] = want, process
        else:
            self.waiting[process] = want

    def _tell(self) -> bool:
        """Resume those whose queues have filled; were there any?"""
        told = [process for process, queue in self.waiting.items() if queue]
        for process in told:
            self._resume(process, self.waiting.pop(process).popleft())
        return bool(told)

    def _grant(self) -> bool:
        """Serve a burst: of those visible when the port is idle that of the first master."""
        if not self.asked:
            return False
        cycle = max(self.idle, min(burst.visible for burst, _ in self.asked.values()))
        burst, process = self.asked.pop(min(
            master for master, (burst, _) in self.asked.items() if burst.visible <= cycle))
        last = cycle + timing.burst_clocks(self.config, burst.beats) - 1
        self.idle = last + 1
        self._resume(process, last)
        return True
