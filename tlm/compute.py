"""Compute unit: FILL, and RUN: issue and drain of every channel and chunk."""

from __future__ import annotations

import numpy as np
from myhdl import now
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.isa import Fill, Run
from ..arch.parse import Parsed
from ..arch.timing import (
    RUN_SETUP,
    Issue,
    chunk_starts,
    drain_latency,
    drain_slots,
    issue_channel,
)
from . import lanes
from .channel import Wait, until
from .memory import ActivationMemory, Tables
from .statistics import RunClocks
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
            if stream.channel_runs[channel] == stream.channel_runs[channel + 1]:
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
        total = lanes.totals(run, stream, lanes.raster_of(run, drain.inner), self._memory,
                             self._tables)
        codes = lanes.drained(run, total, stream, self._tables, self._config)
        where = lanes.bases(run)[:, :, None] + lanes.destinations(run, drain.inner)
        cycles = None
        if self._memory.trace is not None:
            starts = np.array(state.drain_starts).reshape(run.channels, drain.chunks)
            cycles = drain.cycles(starts) + drain_latency(self._config)
        self._memory.write(where % self._config.memory_codes, codes, cycles)


def _lengths(cached: CachedChannel) -> tuple[int, int, int, int]:
    found, channel = cached.lengths, cached.channel
    return (int(found.slots[channel]), int(found.first[channel]), int(found.rest[channel]),
            int(found.tail[channel]))


class Drain:
    """The chunks of a RUN and the clocks that the drain needs for them."""

    def __init__(self, run: Run, config: Config) -> None:
        self._run, self._config = run, config
        starts = chunk_starts(run)
        self.chunks = len(starts)
        self._position, self._inside = lanes.positions(run, starts, config.lanes)
        self.inner = self._position[:, self._inside]
        if config.drain == 1:
            self._plain = [config.lanes * run.digits] * self.chunks
        else:
            self._find_kinds()

    def _find_kinds(self) -> None:
        """Clocks for every place of the chunks relative to the memory's rows that occurs."""
        config, run = self._config, self._run
        steps = (self.chunks, config.drain_steps, config.drain)
        first = lanes.destinations(run, self._position).reshape(steps)
        kinds, kind = np.unique(lanes.bases(run) % config.row_codes, return_inverse=True)
        self._kind = kind.reshape(run.digits, run.channels)
        self._slots, self._clocks = drain_slots(
            (first + kinds[:, None, None, None]) % config.memory_codes,
            np.broadcast_to(self._inside.reshape(steps), (len(kinds), *steps)), config.lanes)
        whole = self._clocks.sum(axis=2)
        self._sums = whole[self._kind].sum(axis=0)

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
