"""What a whole program costs in clocks, without data and without a simulation.

Instructions are put in order by mailboxes and tokens, RUNs cost what `cost` says. The memory port
is taken to be free for whoever asks, and the clocks of a chunk's drain to be the same for all
chunks of a channel: within 2 % of the TLM for compiled networks.
"""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np
from numpy.typing import NDArray

from . import cost, isa, timing
from .clocks import RunClocks
from .config import Config
from .drain import Drain
from .isa import UNIT_BYTES, End, Instruction, Run, Unit
from .order import POPS, PUSHES, Link, links
from .parse import parse
from .program import Program

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A `clocks.Explained` that nobody has run.

    cycles: from `start` to `done`. starts, ends: of every instruction, -1 for END.
    """

    cycles: int
    starts: Ints
    ends: Ints
    runs: tuple[RunClocks, ...]


def estimate(program: Program) -> Estimate:
    """The clocks of a program with the configuration's memory latency.

    Within 2 % of `tlm.machine.simulate` for compiled networks, and below it: here the bursts of
    several units do not wait for one another, which programs of 2,000 clocks do for a tenth of
    them. FormatError where a stream is none.
    """
    return _Walk(program).run()


def drain_clocks(config: Config, run: Run) -> int | NDArray[np.float64]:
    """Drain clocks of a chunk: by the addresses where neighbours do not lie side by side. Means are
    rounded to sixteenths of a clock, which floating point adds without error."""
    if config.drain == 1 or run.split == 1 and run.x_step in (1, config.memory_codes - 1):
        return cost.operations(config, run.digits)
    return np.round(16 * Drain(run, config).means()) / 16


def stream_of(program: Program, run: Run) -> cost.Stream:
    """What the RUN's stream says of its taps."""
    first = run.stream * UNIT_BYTES - program.stream_base
    data = np.frombuffer(program.streams, np.uint8)[first:first + run.stream_units * UNIT_BYTES]
    found = parse(data, run.channels, f"stream at unit {run.stream}")
    return cost.Stream.parsed(found, program.config.share)


class _Walk:
    """A program on its way: units, mailboxes, tokens and the stream fetcher."""

    def __init__(self, program: Program) -> None:
        self.program, self.config = program, program.config
        self.idle = dict.fromkeys(Unit, 0)
        self.place = dict.fromkeys(Unit, 0)                  # from when on a mailbox is empty
        self.waiting: dict[Unit, tuple[int, int]] = {}       # instruction, since when
        self.tokens: dict[Link, deque[int]] = {}
        self.fetch = cost.Fetch(0, (0, 0))
        self.fetch_place = self.fetch_idle = 0
        self.streams: dict[tuple[int, int, int], cost.Stream] = {}
        self.starts, self.ends = (np.full(len(program.instructions), -1) for _ in range(2))
        self.runs: list[RunClocks] = []

    def run(self) -> Estimate:
        """To END."""
        at, visible = 0, 1
        for index, instruction in enumerate(self.program.instructions):
            cycle = self._arrival(at, instruction.BYTES, visible)
            if isinstance(instruction, End):
                cycles = max(cycle, *self.idle.values(), self.fetch_idle) + 1
                return Estimate(cycles, self.starts, self.ends, tuple(self.runs))
            visible = self._dispatch(index, instruction, cycle) + 1
            at += instruction.BYTES
        raise AssertionError("a program ends with END")

    def _arrival(self, at: int, size: int, visible: int) -> int:
        """The first cycle in which a fetched instruction can be given away."""
        parts = [(at, isa.SHORT_BYTES)]
        if size > isa.SHORT_BYTES:
            parts.append((at + isa.SHORT_BYTES, size - isa.SHORT_BYTES))
        for start, length in parts:
            width = self.config.port_bytes
            beats = (start + length - 1) // width - start // width + 1
            visible += timing.burst_clocks(self.config, beats) + 1
        return visible - 1

    def _dispatch(self, index: int, instruction: Instruction, cycle: int) -> int:
        """Put it into its mailbox and let the units take what they can; when it was put there."""
        unit = instruction.UNIT
        assert unit is not None and unit not in self.waiting
        cycle = max(cycle, self.place[unit])
        if isinstance(instruction, Run):
            cycle = max(cycle, self.fetch_place)
            self._begin_stream(cycle + 1)
        self.waiting[unit] = index, cycle + 1
        while any(self._take(unit) for unit in Unit):
            pass
        return cycle

    def _begin_stream(self, since: int) -> None:
        """The fetcher asks for the stream of the RUN that is put into its mailbox."""
        start = max(since, self.fetch_idle)
        self.fetch_place = start + 1
        beat = start + timing.STREAM_REQUEST + timing.burst_clocks(self.config, 1) - 1
        self.fetch.ready = beat + timing.ITEM

    def _take(self, unit: Unit) -> bool:
        """Let a unit take the instruction that waits for it, if its tokens are on their way."""
        if unit not in self.waiting:
            return False
        index, since = self.waiting[unit]
        instruction = self.program.instructions[index]
        wanted = [self.tokens.setdefault(link, deque()) for link in links(instruction, POPS)]
        if not all(wanted):
            return False
        cycle = max(since, self.idle[unit], *(tokens.popleft() for tokens in wanted))
        del self.waiting[unit]
        self.place[unit] = cycle + 1
        end = self._end(index, instruction, cycle)
        self.starts[index], self.ends[index] = cycle, end
        self.idle[unit] = end + 1
        for link in links(instruction, PUSHES):
            self.tokens.setdefault(link, deque()).append(end + 1)
        return True

    def _end(self, index: int, instruction: Instruction, cycle: int) -> int:
        """The end stamp of an instruction that is taken in `cycle`."""
        if not isinstance(instruction, Run):
            return cycle - 1 + cost.simple_cycles(self.config, instruction)
        chunks = cost.Shape.of(instruction).chunks(self.config.lanes)
        clocks = cost.run_clocks(self.config, chunks, drain_clocks(self.config, instruction),
                                 self._stream(instruction), cycle, self.fetch, index)
        self.fetch_idle = self.fetch.ready + 1
        self.runs.append(clocks)
        return cycle - 1 + clocks.cycles

    def _stream(self, run: Run) -> cost.Stream:
        """That of a RUN; those that RUNs share are read once."""
        key = run.stream, run.stream_units, run.channels
        if key not in self.streams:
            self.streams[key] = stream_of(self.program, run)
        return self.streams[key]
