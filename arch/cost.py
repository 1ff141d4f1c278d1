"""What a RUN costs in clocks, without data, addresses and simulation; and the other instructions.

A RUN's clocks follow from its geometry (chunks of P positions, clocks of the drain for each) and
from the lengths of its stream's clusters:

    shape = Shape(images=1, image_rows=32, pitch=33, height=32, width=32)
    chunks = shape.chunks(config.lanes)
    run_cycles(config, chunks, operations(config), stream)      a number, or many geometries at once
    run_clocks(config, chunks, operations(config), stream)      of one, by cause

Issue and drain are a line of two workers with TB places between them: if the same one of them is
always busy, the clocks are a sum; if not, the recurrence of `timing.issue_channel` is followed
until it repeats itself, which takes 2 or 3 TB chunks of each channel, however many there are.

Equal to the TLM for every RUN whose taps come in time and whose drain takes as long for all chunks
of a channel. `estimate` puts whole programs together.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import isa, timing
from .clocks import RunClocks
from .config import Config
from .isa import Fill, Instruction, Load, Run, Store, Table, TableLoad
from .parse import Parsed
from .stream import CHANNEL_HEAD
from .timing import WINDOW_LOW, Issue, Lengths

Ints = NDArray[np.int64]
Numbers = NDArray[np.int64] | NDArray[np.float64]

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
    """The taps of a RUN: int64 (K,) each for its channels. items: that the parser fires; bytes.

    taps, null_taps: slots that a chunk issues, of channels with taps and of those without.
    """

    lengths: Lengths
    items: Ints
    bytes: Ints
    taps: int
    null_taps: int

    @classmethod
    def of(cls, channel_clusters: Ints, cluster_taps: Ints, share: int) -> Stream:
        """From lengths of clusters alone: offsets, (K + 1,) and (R + 1,); no gap needs a LONG."""
        taps = cluster_taps[channel_clusters[1:]] - cluster_taps[channel_clusters[:-1]]
        clusters = np.diff(channel_clusters)
        return cls._made(channel_clusters, cluster_taps, share, taps + HEADS + ENDS,
                         taps + HEADER_BYTES * clusters + CHANNEL_HEAD + ENDS)

    @classmethod
    def parsed(cls, found: Parsed, share: int) -> Stream:
        """From its bytes."""
        starts = np.append(found.offsets, found.ends[-1])[found.channel_items]
        return cls._made(found.channel_clusters, found.cluster_taps, share,
                         np.diff(found.channel_items), np.diff(starts))

    @classmethod
    def _made(cls, channel_clusters: Ints, cluster_taps: Ints, share: int, items: Ints,
              size: Ints) -> Stream:
        taps = int(cluster_taps[-1] - cluster_taps[0])
        return cls(timing.lengths(channel_clusters, cluster_taps, share), items, size, taps,
                   int((np.diff(channel_clusters) == 0).sum()))

    def busy(self, share: int) -> Ints:
        """Clocks of the issue for a chunk of each channel."""
        return np.maximum(self.lengths.first, share) + self.lengths.rest


def operations(config: Config, digits: int = 1) -> int:
    """Drain clocks of a chunk, where no two positions of an operation want the same bank."""
    return config.drain_steps * digits


# ---- RUNs in closed form -----------------------------------------------------------------------
def run_cycles(config: Config, chunks: ArrayLike, operations: ArrayLike, stream: Stream) -> Ints:
    """Clocks of RUNs of one stream, from start to end stamp, both included: of each geometry.

    chunks, operations: of `Shape.chunks` and `operations`, numbers or arrays that broadcast. The
    taps are taken to be in the tap cache when they are wanted.
    """
    count, drain = np.broadcast_arrays(chunks, operations)
    cycles, sure = _always_busy(config, count, drain, stream)
    if not sure.all():
        kinds, kind = np.unique([count[~sure], drain[~sure]], axis=1, return_inverse=True)
        followed = [run_clocks(config, int(c), d, stream).cycles for c, d in kinds.T.tolist()]
        cycles[~sure] = np.array(followed)[kind.reshape(-1)]
    return cycles


def _always_busy(config: Config, chunks: Ints, drain: Numbers, stream: Stream
                 ) -> tuple[Ints, NDArray[np.bool_]]:
    """Clocks of each geometry where either the issue or the drain is always busy; and where that
    is so."""
    busy, first = stream.busy(config.share), stream.lengths.first
    slow, quick, whole = int(busy.max()), int(busy.min()), int(busy.sum())
    delay = config.share + timing.total_latency(config) - 1      # from last issue to drain
    others = config.total_banks - 1
    issuing = quick >= np.maximum(drain, (delay + drain) / others)
    draining = drain >= max(slow, (delay + slow) / others)
    issue = whole * chunks - max(0, config.share - int(first[0])) + drain
    drains = int(first[0] + stream.lengths.rest[0]) + len(busy) * chunks * drain
    ends = timing.RUN_SETUP + delay + timing.drain_latency(config) + 2
    cycles = np.rint(np.where(issuing, issue, drains) + ends)
    return np.array(cycles, np.int64), issuing | draining


# ---- a RUN by cause ----------------------------------------------------------------------------
def run_clocks(config: Config, chunks: int, operations: ArrayLike, stream: Stream,
               instruction: int = 0) -> RunClocks:
    """The clocks of one RUN by cause. operations: drain clocks of a chunk, a number or (K,).

    The taps are taken to be in the tap cache when they are wanted.
    """
    issuing = Issuing(config, chunks, operations, stream, taken=0)
    for _ in stream.items:
        issuing.channel(0)
    return issuing.clocks(instruction)


class Issuing:
    """A RUN on its way, channel after channel. operations: as for `run_clocks`; taken: cycle in
    which the RUN is."""

    def __init__(self, config: Config, chunks: int, operations: ArrayLike, stream: Stream,
                 taken: int) -> None:
        self.config, self.chunks, self.stream, self.taken = config, chunks, stream, taken
        self.state = Issue.taken(taken, config.total_banks)
        found = stream.lengths
        drains = np.broadcast_to(operations, found.slots.shape)
        self.rest = iter(np.stack([found.slots, found.first, found.rest, found.tail], 1).tolist())
        self.drains = iter(drains.tolist())

    def channel(self, full: int) -> int:
        """Issue the next channel, whose taps are there from a cycle on: when the last one is."""
        return round(_issue(self.state, self.config, (full, *next(self.rest)), next(self.drains),
                            self.chunks))

    def clocks(self, instruction: int) -> RunClocks:
        """Those of the RUN, all channels issued."""
        end = round(self.state.drained) + timing.drain_latency(self.config) + 1
        return _by_cause(self.state, self.stream, self.chunks, instruction, end - self.taken + 1)


def _by_cause(state: Issue, stream: Stream, chunks: int, instruction: int, cycles: int
              ) -> RunClocks:
    """The tail is what is left: means of drain clocks are no whole numbers, causes are."""
    causes = (stream.taps * chunks, stream.null_taps * chunks, timing.RUN_SETUP + 1,
              round(state.stream), round(state.multiplier), round(state.gate))
    return RunClocks(instruction, *causes, tail=cycles - sum(causes))


def _issue(state: Issue, config: Config, channel: tuple[int, int, int, int, int], drain: int,
           chunks: int) -> int:
    """`timing.issue_channel` over chunks that all take the drain as long (or a mean of them).

    When TB chunks have moved everything by the same number of clocks, all further ones will.
    """
    banks, full = config.total_banks, channel[0]
    while chunks > 2 * banks:
        before = state.copy()
        timing.issue_channel(state, config, *channel, [drain] * banks)
        chunks -= banks
        if full <= before.issued and state.moved(before):
            blocks = (chunks - 1) // banks
            state.repeat(before, blocks)
            chunks -= blocks * banks
    return timing.issue_channel(state, config, *channel, [drain] * chunks)


# ---- a stream ----------------------------------------------------------------------------------
def items_of_bursts(stream: Stream, bursts: list[int], width: int
                    ) -> list[list[tuple[int, bool, bool]]]:
    """What each burst of so many beats brings: for each channel of which it has bytes the items,
    in proportion to these, and whether they begin and end the channel. width: bytes of a beat."""
    ends = np.cumsum(bursts) * width - WINDOW_LOW
    edges = np.concatenate([[0], np.cumsum(stream.bytes)])
    out = []
    for low, high in itertools.pairwise([0, *ends[:-1].tolist(), int(edges[-1])]):
        first, last = np.searchsorted(edges, [low, high], "right").tolist()
        channels = range(max(0, first - 1), min(last, len(stream.items)))
        out.append([part for k in channels if (part := _part(stream, edges, k, low, high))])
    return out


def _part(stream: Stream, edges: Ints, channel: int, low: int, high: int
          ) -> tuple[int, bool, bool] | None:
    """Items of a channel between two bytes of the stream; None where they have none of it."""
    begin, end = int(edges[channel]), int(edges[channel + 1])
    if not max(low, begin) < min(high, end):
        return None
    items = int(stream.items[channel])
    before, after = (round(items * (min(max(at, begin), end) - begin) / (end - begin))
                     for at in (low, high))
    return after - before, low <= begin, high >= end


# ---- other instructions ------------------------------------------------------------------------
def bursts(config: Config, beats: int) -> list[int]:
    """Beats of the bursts that make up a transfer."""
    whole, rest = divmod(beats, config.burst)
    return [config.burst] * whole + [rest] * (rest > 0)


def load_cycles(config: Config, rows: int) -> int:
    """Clocks of a LOAD from start to end stamp, both included, on a free memory port."""
    parts = bursts(config, rows * config.beats_per_row)
    return 2 + sum(timing.burst_clocks(config, beats) for beats in parts)


def store_cycles(config: Config, rows: int) -> int:
    """Clocks of a STORE, likewise: every burst's rows are read before it is asked for."""
    parts = bursts(config, rows * config.beats_per_row)
    return 2 + rows + sum(timing.burst_clocks(config, beats) + timing.STORE_REQUEST - 1
                          for beats in parts)


def table_cycles(config: Config, table: TableLoad) -> int:
    """Clocks of a TABLE, likewise: the entries of a burst are written before the next one."""
    if table.kind == Table.RAMP:
        return 1 + table.count
    parts = bursts(config, -(-isa.ENTRY_BYTES * table.count // config.port_bytes))
    return 1 + table.count + sum(timing.burst_clocks(config, beats) for beats in parts)


def fill_cycles(rows: int) -> int:
    """Clocks of a FILL from start to end stamp, both included."""
    return 1 + rows


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
