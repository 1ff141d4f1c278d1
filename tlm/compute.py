"""Compute unit: FILL, and RUN: issue and drain of every channel and chunk."""

from __future__ import annotations

import numpy as np
from myhdl import now
from numpy.typing import NDArray

from ..arch import raster
from ..arch.clocks import RunClocks
from ..arch.config import Config
from ..arch.drain import Drain
from ..arch.isa import Fill, Run
from ..arch.parse import Parsed
from ..arch.timing import RUN_SETUP, Issue, drain_latency, issue_channel
from . import lanes
from .channel import Wait, until
from .memory import ActivationMemory, Tables
from .stream_fetch import CachedChannel, StreamFetch
from .unit import Ended, UnitPort

Ints = NDArray[np.int64]


class ComputeUnit:
    """Executes FILL and RUN; `runs` and `fill` tell where its clocks went."""

    def __init__(self, config: Config, unit: UnitPort, fetch: StreamFetch,
                 memory: ActivationMemory, tables: Tables, ended: Ended) -> None:
        self._config, self._unit, self._fetch = config, unit, fetch
        self._memory, self._tables, self._ended = memory, tables, ended
        self.runs: list[RunClocks] = []
        self.fill = 0

    def run(self) -> Wait:
        """The process."""
        while True:
            index, instruction = yield from self._unit.take()
            if isinstance(instruction, Fill):
                yield from self._fill(instruction)
            else:
                yield from self._compute(index, instruction)
            self._ended(self._unit, index, instruction)

    def _fill(self, fill: Fill) -> Wait:
        cycles = now() + 1 + np.arange(fill.rows)
        yield from until(now() + fill.rows)
        code = fill.code & (self._config.codes - 1)
        codes = np.full((fill.rows, self._config.row_codes), code)
        self._memory.write_rows(fill.row, codes, cycles)
        self.fill += fill.rows + 1

    def _compute(self, index: int, run: Run) -> Wait:
        config, taken = self._config, now()
        drain = Drain(run, config)
        state = Issue.taken(taken, config.total_banks)
        stream: Parsed | None = None
        taps = null = 0
        for channel in range(run.channels):
            cached, full = yield from self._fetch.cache.first()
            stream, found = cached.stream, cached.lengths
            presented = issue_channel(
                state, config, full, *_lengths(cached), drain.operations(channel))
            self._fetch.cache.take(presented + 1)
            if stream.channel_clusters[channel] == stream.channel_clusters[channel + 1]:
                null += drain.chunks
            else:
                taps += int(found.slots[channel]) * drain.chunks
        end = state.drained + drain_latency(config) + 1
        yield from until(end)
        assert stream is not None
        self._write(run, stream, drain, state)
        self.runs.append(RunClocks(
            index, taps, null, setup=RUN_SETUP + 1, stream=state.stream,
            multiplier=state.multiplier, gate=state.gate, tail=end - state.issued))

    def _write(self, run: Run, stream: Parsed, drain: Drain, state: Issue) -> None:
        """The RUN's effect on the memory."""
        total = lanes.totals(run, stream, raster.raster_of(run, drain.inner), self._memory,
                             self._tables)
        codes = lanes.drained(run, total, stream, self._tables, self._config)
        where = raster.bases(run)[:, :, None] + raster.destinations(run, drain.inner)
        cycles = None
        if self._memory.trace is not None:
            starts = np.array(state.drain_starts).reshape(run.channels, drain.chunks)
            cycles = drain.cycles(starts) + drain_latency(self._config)
        self._memory.write(where % self._config.memory_codes, codes, cycles)


def _lengths(cached: CachedChannel) -> tuple[int, int, int, int]:
    found, channel = cached.lengths, cached.channel
    return (int(found.slots[channel]), int(found.first[channel]), int(found.rest[channel]),
            int(found.tail[channel]))
