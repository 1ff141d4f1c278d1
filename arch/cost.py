"""What a RUN and a whole program cost in clocks, without data and without a simulation.

A RUN's clocks follow from its geometry (chunks of P positions, clocks of the drain for each) and
from the lengths of its stream's clusters. Issue and drain are a line of two workers with TB places
between them: if the same one of them is always busy, the clocks are a sum; if not, the recurrence
of `timing.issue_channel` is followed until it repeats itself, which takes 2 or 3 TB chunks of each
channel, however many there are.

    shape = Shape(images=1, image_rows=32, pitch=33, height=32, width=32)
    run_cycles(config, shape.chunks(config.lanes), operations(config), stream)

No address is needed. Equal to the TLM for every RUN whose taps come in time and whose drain finds
all banks free. For a whole program the memory port is taken to be free for whoever asks, and the
clocks of a chunk's drain to be the same for all chunks of a channel: within 2 % of the TLM.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import deque

import numpy as np
from numpy.typing import NDArray

from . import isa, timing
from .config import Config
from .drain import Drain
from .isa import UNIT_BYTES, End, Fill, Instruction, Load, Run, Store, Table, TableLoad, Unit
from .order import POPS, PUSHES, Link, links
from .parse import Parsed, parse
from .program import Program
from .stream import CHANNEL_HEAD
from .timing import Issue, Lengths

Ints = NDArray[np.int64]
Clocks = int | NDArray[np.int64] | NDArray[np.float64]

HEADS, ENDS = 2, 1           # items of a channel beside those of its taps; its END has one byte
HEADER_BYTES = 2             # of a cluster


# ---- what costs --------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Shape:
    """The positions of a RUN: fields of `isa.Run`, all at least 1."""

    images: int
    image_rows: int
    pitch: int
    height: int
    width: int

    @classmethod
    def of(cls, run: Run) -> Shape:
        """That of an instruction."""
        return cls(run.images, run.image_rows, run.pitch, run.height, run.width)

    def chunks(self, lanes: int) -> int:
        """Chunks of P = `lanes` positions that cover the rectangle (as `timing.chunk_starts`)."""
        return _chunks(self, lanes)


@functools.lru_cache(maxsize=1 << 12)
def _chunks(shape: Shape, lanes: int) -> int:
    image = row = column = count = 0
    while image < shape.images:
        here = -(-(shape.width - column) // lanes)           # those that start in this row
        count += here
        down, column = divmod(column + here * lanes, shape.pitch)
        over, row = divmod(row + down, shape.image_rows)
        image += over
        if column >= shape.width:
            row, column = row + 1, 0
        if row >= shape.height:
            image, row, column = image + 1, 0, 0
    return count


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """The taps of a RUN: int64 (K,) each for its channels. items: that the parser fires; bytes."""

    lengths: Lengths
    items: Ints
    bytes: Ints

    @classmethod
    def of(cls, channel_clusters: Ints, cluster_taps: Ints, share: int) -> Stream:
        """From lengths of clusters alone: offsets, (K + 1,) and (R + 1,); no gap needs a LONG."""
        taps = cluster_taps[channel_clusters[1:]] - cluster_taps[channel_clusters[:-1]]
        clusters = np.diff(channel_clusters)
        return cls(timing.lengths(channel_clusters, cluster_taps, share), taps + HEADS + ENDS,
                   taps + HEADER_BYTES * clusters + CHANNEL_HEAD + ENDS)

    @classmethod
    def parsed(cls, found: Parsed, share: int) -> Stream:
        """From its bytes."""
        starts = np.append(found.offsets, found.ends[-1])[found.channel_items]
        return cls(timing.lengths(found.channel_clusters, found.cluster_taps, share),
                   np.diff(found.channel_items), np.diff(starts))


def operations(config: Config, digits: int = 1) -> int:
    """Drain clocks of a chunk, where no two positions of an operation want the same bank."""
    return config.drain_steps * digits


# ---- a RUN -------------------------------------------------------------------------------------
def run_cycles(config: Config, chunks: int, operations: Clocks, stream: Stream) -> int:
    """Clocks of a RUN from its start to its end stamp, both included.

    chunks: `Shape.chunks`; operations: drain clocks of a chunk, of all channels or (K,) of each.
    The taps are taken to be in the tap cache when they are wanted.
    """
    work = _Work.of(config, chunks, operations, stream)
    return round(work.follow(0, None)) + 1


def _operations(config: Config, run: Run) -> Clocks:
    """Drain clocks of a chunk: by the addresses where neighbours do not lie side by side. Means are
    rounded to sixteenths of a clock, which floating point adds without error."""
    if config.drain == 1 or run.split == 1 and run.x_step in (1, config.memory_codes - 1):
        return operations(config, run.digits)
    return np.round(16 * Drain(run, config).means()) / 16


@dataclasses.dataclass
class _Fetch:
    """When taps are there. ready: cycle in which the next channel's head can be parsed; free: from
    when on the two buffers of the tap cache are, the next one first."""

    ready: int
    free: tuple[int, int]

    def fill(self, clocks: int) -> int:
        """Parse a channel; the first cycle in which its buffer is full."""
        self.ready = max(self.ready, self.free[0]) + clocks
        return self.ready


@dataclasses.dataclass(frozen=True, eq=False)
class _Work:
    """A RUN: int64 (K,) each. busy: clocks of the issue for a chunk; drain: of the drain; fill: of
    the parser for a channel."""

    config: Config
    chunks: int
    lengths: Lengths
    busy: Ints
    drain: NDArray
    fill: Ints

    @classmethod
    def of(cls, config: Config, chunks: int, operations: Clocks, stream: Stream) -> _Work:
        lengths = stream.lengths
        supply = config.burst + config.latency + 3               # clocks from burst to burst
        bytes_clocks = -(-stream.bytes * supply // (config.burst * config.port_bytes))
        return cls(config, chunks, lengths, np.maximum(lengths.first, config.share) + lengths.rest,
                   np.broadcast_to(operations, lengths.slots.shape),
                   np.maximum(stream.items, bytes_clocks))

    def follow(self, taken: int, fetch: _Fetch | None) -> float:
        """The end stamp of the RUN that is taken in `taken`; advances `fetch` (None: taps are
        always there)."""
        start = taken + timing.RUN_SETUP
        if fetch is not None:
            start = max(start, max(fetch.ready, fetch.free[0]) + int(self.fill[0]))
        whole = self.busy * self.chunks
        whole[0] -= max(0, self.config.share - int(self.lengths.first[0]))
        end = self._even(start, whole, fetch)
        return self._step(taken, fetch) if end is None else end

    def _even(self, start: int, whole: Ints, fetch: _Fetch | None) -> float | None:
        """`follow` where either the issue or the drain is always busy; None where that is unsure.

        start: cycle before the first issue at the earliest; whole: issue of each channel.
        """
        config, count = self.config, len(whole)
        delay = config.share + timing.total_latency(config) - 1
        banks = config.total_banks
        others = banks - 1
        slow, quick = (int(found) for found in (self.busy.max(), self.busy.min()))
        most, least = float(self.drain.max()), float(self.drain.min())
        by_issue = quick >= max(most, (delay + most) / others)
        if not by_issue and least < max(slow, (delay + slow) / others):
            return None
        if fetch is not None and count > 1:
            second = max(start, fetch.free[1]) + int(self.fill[1])
            if second > start + whole[0] or (self.fill[2:] >= whole[1:-1]).any():
                return None
        if by_issue:
            issued, spans = start + int(whole.sum()), whole
            drained = issued + delay + self.drain[-1]
        else:
            spans = self.drain * self.chunks
            first, last = (int(self.lengths.first[k] + self.lengths.rest[k]) for k in (0, -1))
            drained = start + first + delay + spans.sum()
            issued = start + int(whole.sum())
            if count * self.chunks > banks:
                ahead = np.repeat(self.drain[-banks:], min(self.chunks, banks))[-banks:]
                issued = max(issued, round(drained - ahead.sum()) + last)
        if fetch is not None:
            self._leave(fetch, issued, spans)
        return float(drained + timing.drain_latency(config) + 1)

    def _leave(self, fetch: _Fetch, issued: int, spans: NDArray) -> None:
        """`fetch` behind a RUN that never waited for it. spans: clocks of each channel."""
        count = len(spans)
        left = [issued - int(spans[k + 1:].sum()) for k in range(max(0, count - 3), count)]
        if len(left) == 3:
            fetch.ready, fetch.free = 0, (left[0], left[1])
            fetch.fill(int(self.fill[-1]))
            fetch.free = left[1], left[2]
            return
        for at, fill in zip(left, self.fill.tolist(), strict=True):
            fetch.fill(fill)
            fetch.free = fetch.free[1], at

    def _step(self, taken: int, fetch: _Fetch | None) -> float:
        """`follow`, channel after channel."""
        config = self.config
        state = Issue.taken(taken, config.total_banks)
        found = self.lengths
        for slots, first, rest, tail, drain, fill in zip(
                found.slots.tolist(), found.first.tolist(), found.rest.tolist(),
                found.tail.tolist(), self.drain.tolist(), self.fill.tolist(), strict=True):
            full = fetch.fill(fill) if fetch is not None else 0
            presented = _issue(state, config, (full, slots, first, rest, tail), drain, self.chunks)
            if fetch is not None:
                fetch.free = fetch.free[1], round(presented) + 1
        return state.drained + timing.drain_latency(config) + 1


def _issue(state: Issue, config: Config, channel: tuple[int, int, int, int, int], drain: int,
           chunks: int) -> int:
    """`timing.issue_channel` over chunks that all take the drain as long (or a mean of them).

    When TB chunks have moved everything by the same number of clocks, all further ones will.
    """
    banks = config.total_banks
    while chunks > 2 * banks:
        before = state.times()
        timing.issue_channel(state, config, *channel, [drain] * banks)
        chunks -= banks
        moved = {now - then for now, then in zip(state.times(), before, strict=True)}
        if len(moved) == 1:
            blocks = (chunks - 1) // banks
            state.move(blocks * moved.pop(), blocks * banks)
            chunks -= blocks * banks
    return timing.issue_channel(state, config, *channel, [drain] * chunks)


# ---- other instructions ------------------------------------------------------------------------
def _bursts(config: Config, beats: int) -> list[int]:
    """Beats of the bursts that make up a transfer."""
    whole, rest = divmod(beats, config.burst)
    return [config.burst] * whole + [rest] * (rest > 0)


def load_cycles(config: Config, rows: int) -> int:
    """Clocks of a LOAD from start to end stamp, both included, on a free memory port."""
    bursts = _bursts(config, rows * config.beats_per_row)
    return 2 + sum(bursts) + len(bursts) * (config.latency + 2)


def store_cycles(config: Config, rows: int) -> int:
    """Clocks of a STORE, likewise: every burst's rows are read before it is asked for."""
    bursts = _bursts(config, rows * config.beats_per_row)
    return 2 + rows + sum(bursts) + len(bursts) * (config.latency + 3)


def table_cycles(config: Config, table: TableLoad) -> int:
    """Clocks of a TABLE, likewise: the entries of a burst are written before the next one."""
    if table.kind == Table.RAMP:
        return 1 + table.count
    bursts = _bursts(config, -(-isa.ENTRY_BYTES * table.count // config.port_bytes))
    return 1 + table.count + sum(bursts) + len(bursts) * (config.latency + 2)


def fill_cycles(rows: int) -> int:
    """Clocks of a FILL from start to end stamp, both included."""
    return 1 + rows


# ---- a program ---------------------------------------------------------------------------------
def program_cycles(program: Program) -> int:
    """Clocks of a whole program with the configuration's memory latency, from `start` to `done`.

    Within 2 % of `tlm.machine.cycles` for compiled networks, and below it: here the bursts of
    several units do not wait for one another, which programs of 2,000 clocks do for a tenth of
    them. FormatError where a stream is none.
    """
    return _Walk(program).run()


class _Walk:
    """A program on its way: units, mailboxes, tokens and the stream fetcher."""

    def __init__(self, program: Program) -> None:
        self.program, self.config = program, program.config
        self.idle = dict.fromkeys(Unit, 0)
        self.place = dict.fromkeys(Unit, 0)                  # from when on a mailbox is empty
        self.waiting: dict[Unit, tuple[Instruction, int]] = {}
        self.tokens: dict[Link, deque[int]] = {}
        self.fetch = _Fetch(0, (0, 0))
        self.fetch_place = self.fetch_idle = 0
        self.streams: dict[tuple[int, int, int], Stream] = {}

    def run(self) -> int:
        """To END."""
        at, visible = 0, 1
        for instruction in self.program.instructions:
            cycle = self._arrival(at, instruction.BYTES, visible)
            if isinstance(instruction, End):
                return max(cycle, *self.idle.values(), self.fetch_idle) + 1
            visible = self._dispatch(instruction, cycle) + 1
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
            visible += 1 + self.config.latency + beats + 2
        return visible - 1

    def _dispatch(self, instruction: Instruction, cycle: int) -> int:
        """Put it into its mailbox and let the units take what they can; when it was put there."""
        unit = instruction.UNIT
        assert unit is not None and unit not in self.waiting
        cycle = max(cycle, self.place[unit])
        if isinstance(instruction, Run):
            cycle = max(cycle, self.fetch_place)
            self._begin_stream(cycle + 1)
        self.waiting[unit] = instruction, cycle + 1
        while any(self._take(unit) for unit in Unit):
            pass
        return cycle

    def _begin_stream(self, since: int) -> None:
        """The fetcher asks for the stream of the RUN that is put into its mailbox."""
        start = max(since, self.fetch_idle)
        self.fetch_place = start + 1
        self.fetch.ready = start + 6 + self.config.latency

    def _take(self, unit: Unit) -> bool:
        """Let a unit take the instruction that waits for it, if its tokens are on their way."""
        if unit not in self.waiting:
            return False
        instruction, since = self.waiting[unit]
        wanted = [self.tokens.setdefault(link, deque()) for link in links(instruction, POPS)]
        if not all(wanted):
            return False
        cycle = max(since, self.idle[unit], *(tokens.popleft() for tokens in wanted))
        del self.waiting[unit]
        self.place[unit] = cycle + 1
        end = self._end(instruction, cycle)
        self.idle[unit] = end + 1
        for link in links(instruction, PUSHES):
            self.tokens.setdefault(link, deque()).append(end + 1)
        return True

    def _end(self, instruction: Instruction, cycle: int) -> int:
        """The end stamp of an instruction that is taken in `cycle`."""
        if isinstance(instruction, Run):
            end = round(self._work(instruction).follow(cycle, self.fetch))
            self.fetch_idle = self.fetch.ready + 1
            return end
        return cycle - 1 + simple_cycles(self.config, instruction)

    def _work(self, run: Run) -> _Work:
        stream = self._stream(run)
        chunks = Shape.of(run).chunks(self.config.lanes)
        return _Work.of(self.config, chunks, _operations(self.config, run), stream)

    def _stream(self, run: Run) -> Stream:
        """That of a RUN; those that RUNs share are read once."""
        key = run.stream, run.stream_units, run.channels
        if key not in self.streams:
            first = run.stream * UNIT_BYTES - self.program.stream_base
            data = np.frombuffer(self.program.streams, np.uint8)[
                first:first + run.stream_units * UNIT_BYTES]
            found = parse(data, run.channels, f"stream at unit {run.stream}")
            self.streams[key] = Stream.parsed(found, self.config.share)
        return self.streams[key]


def simple_cycles(config: Config, instruction: Instruction) -> int:
    """Clocks of what is no RUN, from start to end stamp, both included, on a free memory port."""
    if isinstance(instruction, Load):
        return load_cycles(config, instruction.rows)
    if isinstance(instruction, Store):
        return store_cycles(config, instruction.rows)
    if isinstance(instruction, TableLoad):
        return table_cycles(config, instruction)
    assert isinstance(instruction, Fill)
    return fill_cycles(instruction.rows)
