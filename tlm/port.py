"""The memory port and its arbiter: one burst at a time, the first master that wants it wins."""

from __future__ import annotations

import numpy as np
from myhdl import delay, now
from numpy.typing import NDArray

from ..arch.engine import MemoryModel
from ..arch.timing import Master, beat_times
from .channel import Event, Wait, until

Ints = NDArray[np.int64]


class Port:
    """Grants bursts by priority; beats come as the memory model says."""

    def __init__(self, model: MemoryModel) -> None:
        self._model = model
        self._wanted: dict[Master, tuple[int, int]] = {}    # request visible, beats
        self._beats: dict[Master, Ints] = {}
        self._asked = Event()
        self._granted = {master: Event() for master in Master}
        self._count = 0

    def access(self, master: Master, visible: int, beats: int) -> Wait:
        """Request a burst in cycle `visible` (ahead); returns the cycles of its beats on grant."""
        assert visible > now(), (master, visible)
        self._wanted[master] = visible, beats
        self._asked.tell()
        yield from self._granted[master].wait()
        return self._beats.pop(master)

    def arbiter(self) -> Wait:
        """The process."""
        idle = 0
        while True:
            while not self._wanted:
                yield from self._asked.wait()
            cycle = max(idle, min(visible for visible, _ in self._wanted.values()))
            if cycle > now():
                yield self._asked.flag, delay(cycle - now())
                continue
            master = min(m for m, (visible, _) in self._wanted.items() if visible <= cycle)
            _, beats = self._wanted.pop(master)
            times = beat_times(self._model, self._count, cycle + 1, beats)
            self._count += beats
            self._beats[master] = times
            self._granted[master].tell()
            idle = int(times[-1]) + 1
            yield from until(idle)
