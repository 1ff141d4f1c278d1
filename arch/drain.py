"""The drain of a RUN: when each position of each chunk is written, from the addresses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import raster
from .config import Config
from .isa import Run
from .timing import chunk_starts, drain_slots

Ints = NDArray[np.int64]


class Drain:
    """The chunks of a RUN and the clocks that the drain needs for them."""

    def __init__(self, run: Run, config: Config) -> None:
        self._run, self._config = run, config
        starts = chunk_starts(run)
        self.chunks = len(starts)
        self._position, self._inside = raster.positions(run, starts, config.lanes)
        self.inner = self._position[:, self._inside]
        if config.drain == 1:
            self._plain = [config.lanes * run.digits] * self.chunks
        else:
            self._find_kinds()

    def _find_kinds(self) -> None:
        """Clocks for every place of the chunks relative to the memory's rows that occurs."""
        config, run = self._config, self._run
        steps = (self.chunks, config.drain_steps, config.drain)
        first = raster.destinations(run, self._position).reshape(steps)
        kinds, kind = np.unique(raster.bases(run) % config.row_codes, return_inverse=True)
        self._kind = kind.reshape(run.digits, run.channels)
        self._slots, self._clocks = drain_slots(
            (first + kinds[:, None, None, None]) % config.memory_codes,
            np.broadcast_to(self._inside.reshape(steps), (len(kinds), *steps)), config.lanes)
        whole = self._clocks.sum(axis=2)
        self._sums = whole[self._kind].sum(axis=0)

    def means(self) -> NDArray[np.float64]:
        """Mean drain clocks of a chunk, (K,) by channel."""
        if self._config.drain == 1:
            return np.full(self._run.channels, float(self._plain[0]))
        return self._sums.mean(axis=1)

    def operations(self, channel: int) -> list[int]:
        """Drain clocks of each chunk of a channel."""
        if self._config.drain == 1:
            return self._plain
        return self._sums[channel].tolist()

    def cycles(self, starts: Ints) -> Ints:
        """Operation cycle of every write, (digits, K, X); starts: of each drain, (K, chunks)."""
        config, run = self._config, self._run
        shape = (run.digits, run.channels, self.chunks, config.drain_steps)
        if config.drain == 1:
            clocks = np.ones(shape, np.int64)
            slots = np.zeros((*shape, 1), np.int64)
        else:
            clocks, slots = self._clocks[self._kind], self._slots[self._kind]
        order = clocks.transpose(1, 2, 3, 0).reshape(run.channels, self.chunks, -1)
        before = (np.cumsum(order, axis=2) - order).reshape(
            run.channels, self.chunks, config.drain_steps, run.digits).transpose(3, 0, 1, 2)
        cycles = (starts[:, :, None] + before)[..., None] + slots
        return cycles.reshape(*shape[:3], config.lanes)[:, :, self._inside]
