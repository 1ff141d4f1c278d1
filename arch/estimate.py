"""What a whole program costs in clocks, without data and without a simulation of every clock.

The blocks of docs/machine.md as `processes`; RUNs issue and drain as `cost` says. A burst of a
stream is taken to bring as many items of each channel as it has bytes of it, and the clocks of a
chunk's drain to be the same for all chunks of a channel: so it is within 2 % of the TLM even for
programs of 1,000 clocks, and most often equal.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from . import cost, isa, timing
from .clocks import RunClocks
from .config import Config
from .drain import Drain
from .isa import (
    ENTRY_BYTES,
    UNIT_BYTES,
    End,
    Fill,
    Instruction,
    Load,
    Run,
    Store,
    Table,
    TableLoad,
    Unit,
)
from .order import POPS, PUSHES, Link, links
from .parse import parse
from .processes import Burst, Process, Queue, simulate
from .program import Program
from .timing import Master

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
    """The clocks of a program with the configuration's memory latency. FormatError where a stream
    is none."""
    machine = _Machine(program)
    simulate([machine.sequencer(), machine.fetcher(), *map(machine.unit, Unit)], program.config)
    return Estimate(machine.idle + 1, machine.starts, machine.ends, tuple(machine.runs))


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


class _Machine:
    """The processes and what lies between them: mailboxes and their places, tokens, the buffers of
    the tap cache. idle: cycle from which on everything is."""

    def __init__(self, program: Program) -> None:
        self.program, self.config = program, program.config
        self.mail: dict[Unit, Queue] = {unit: deque() for unit in Unit}
        self.place: dict[Unit, Queue] = {unit: deque([0]) for unit in Unit}
        self.tokens: dict[Link, Queue] = {}
        self.stream_mail: Queue = deque()
        self.stream_place: Queue = deque([0])
        self.full: Queue = deque()
        self.free: Queue = deque([0, 0])
        self.streams: dict[tuple[int, int, int], cost.Stream] = {}
        self.idle = 0
        self.starts, self.ends = (np.full(len(program.instructions), -1) for _ in range(2))
        self.runs: list[RunClocks] = []

    def _ended(self, end: int) -> int:
        """Something has its last busy cycle; the cycle after it."""
        self.idle = max(self.idle, end + 1)
        return end + 1

    # ---- sequencer --------------------------------------------------------------------------
    def sequencer(self) -> Process:
        """Fetches instructions and puts them into mailboxes."""
        at, visible = 0, 1
        for index, instruction in enumerate(self.program.instructions):
            for beats in self._fetches(at, instruction):
                last = yield Burst(Master.SEQUENCER, visible, beats)
                visible = last + 2
            if isinstance(instruction, End):
                break
            visible = (yield from self._dispatch(index, instruction, last + 1)) + 1
            at += instruction.BYTES
        return self._ended(last)

    def _fetches(self, at: int, instruction: Instruction) -> Iterator[int]:
        """Beats of the bursts that fetch an instruction at byte `at`: its first bytes, the rest."""
        width = self.config.port_bytes
        short, end = at + isa.SHORT_BYTES, at + instruction.BYTES
        for first, last in ((at, short), (short, end))[:1 + (end > short)]:
            yield (last - 1) // width - first // width + 1

    def _dispatch(self, index: int, instruction: Instruction, cycle: int) -> Process:
        """When it is put into its mailbox; a RUN's stream goes to the fetcher's."""
        assert instruction.UNIT is not None
        cycle = max(cycle, (yield self.place[instruction.UNIT]))
        if isinstance(instruction, Run):
            cycle = max(cycle, (yield self.stream_place))
            self.stream_mail.append((instruction, cycle + 1))
        self.mail[instruction.UNIT].append((index, cycle + 1))
        return cycle

    # ---- units ------------------------------------------------------------------------------
    def unit(self, unit: Unit) -> Process:
        """Takes its instructions when their tokens are there, and pushes theirs."""
        idle = 0
        while True:
            index, cycle = yield self.mail[unit]
            instruction = self.program.instructions[index]
            cycle = max(cycle, idle)
            for link in links(instruction, POPS):
                cycle = max(cycle, (yield self._between(link)))
            self.place[unit].append(cycle + 1)
            end = yield from self._work(index, instruction, cycle)
            self.starts[index], self.ends[index] = cycle, end
            idle = self._ended(end)
            for link in links(instruction, PUSHES):
                self._between(link).append(idle)

    def _between(self, link: Link) -> Queue:
        return self.tokens.setdefault(link, deque())

    def _work(self, index: int, instruction: Instruction, cycle: int) -> Process:
        """The end stamp of an instruction that is taken in `cycle`."""
        if isinstance(instruction, Run):
            return (yield from self._run(index, instruction, cycle))
        if isinstance(instruction, Load):
            return (yield from self._load(instruction, cycle))
        if isinstance(instruction, Store):
            return (yield from self._store(instruction, cycle))
        if isinstance(instruction, TableLoad) and instruction.kind != Table.RAMP:
            return (yield from self._table(instruction, cycle))
        assert isinstance(instruction, Fill | TableLoad)
        return cycle - 1 + cost.simple_cycles(self.config, instruction)

    def _load(self, load: Load, cycle: int) -> Process:
        for beats in cost.bursts(self.config, load.rows * self.config.beats_per_row):
            cycle = yield Burst(Master.LOAD, cycle + 1, beats)
        return cycle + 1

    def _table(self, table: TableLoad, cycle: int) -> Process:
        width, rest = self.config.port_bytes, table.count
        for beats in cost.bursts(self.config, -(-ENTRY_BYTES * rest // width)):
            entries = min(rest, beats * width // ENTRY_BYTES)
            cycle = (yield Burst(Master.LOAD, cycle + 1, beats)) + entries
            rest -= entries
        return cycle

    def _store(self, store: Store, cycle: int) -> Process:
        for beats in cost.bursts(self.config, store.rows * self.config.beats_per_row):
            rows = beats // self.config.beats_per_row
            cycle = yield Burst(Master.STORE, cycle + rows + timing.STORE_REQUEST, beats)
        return cycle + 1

    def _run(self, index: int, run: Run, cycle: int) -> Process:
        chunks = cost.Shape.of(run).chunks(self.config.lanes)
        issuing = cost.Issuing(self.config, chunks, drain_clocks(self.config, run),
                               self._stream(run), cycle)
        for _ in range(run.channels):
            self.free.append(issuing.channel((yield self.full)) + 1)
        clocks = issuing.clocks(index)
        self.runs.append(clocks)
        return cycle - 1 + clocks.cycles

    # ---- streams ----------------------------------------------------------------------------
    def _stream(self, run: Run) -> cost.Stream:
        """That of a RUN; those that RUNs share are read once."""
        key = run.stream, run.stream_units, run.channels
        if key not in self.streams:
            self.streams[key] = stream_of(self.program, run)
        return self.streams[key]

    def fetcher(self) -> Process:
        """Asks for the bursts of streams, two ahead of what is parsed, and fills the tap cache."""
        idle = 0
        while True:
            run, since = yield self.stream_mail
            start = max(since, idle)
            self.stream_place.append(start + 1)
            beats = -(-run.stream_units * UNIT_BYTES // self.config.port_bytes)
            idle = self._ended((yield from self._fetch(
                self._stream(run), cost.bursts(self.config, beats), start)))

    def _fetch(self, stream: cost.Stream, bursts: list[int], start: int) -> Process:
        """The last busy cycle of a stream that is begun in `start`."""
        brought = [[], [], *cost.items_of_bursts(stream, bursts, self.config.port_bytes)]
        parsed, last, lasts = start, start, [0, 0]
        for number, items in enumerate(brought):
            arrived = lasts[number]
            if number > 1:
                first = arrived - bursts[number - 2] + 1 + timing.ITEM
                parsed = max((yield from self._parse(items, max(parsed, first))),
                             arrived + timing.ITEM)
            if number < len(bursts):
                room = parsed - timing.WINDOW_LOW + 1 if number > 1 else start
                last = yield Burst(Master.STREAM, max(last, room) + timing.STREAM_REQUEST,
                                   bursts[number])
                lasts.append(last)
        return max(parsed, last + 1)

    def _parse(self, items: list[tuple[int, bool, bool]], cycle: int) -> Process:
        """When what a burst brings is parsed, from `cycle` on at the earliest."""
        for count, begins, ends in items:
            if begins:
                cycle = max(cycle, (yield self.free))
            cycle += count
            if ends:
                self.full.append(cycle)
        return cycle
