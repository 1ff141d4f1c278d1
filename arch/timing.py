"""Latencies and recurrences of the machine's blocks: the numbers behind docs/machine.md.

The TLM, the compiler's cost model and the RTL's tests use these; the RTL is built to them.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import latency
from .config import Config
from .engine import PERIOD, MemoryModel
from .isa import Run

Ints = NDArray[np.int64]

# bytes that the parser's window must hold before it consumes an item: those of the longest
WINDOW_LOW = 4

# cycles from the last beat that an item needs to the first one in which it can fire: FIFO, window
ITEM = 2

# cycles from the take of a stream, its last beat or room in the FIFO to the request that follows
STREAM_REQUEST = 2

# cycles from the address of a burst's last row to the store unit's request: the row, its buffer
STORE_REQUEST = 2

# cycles from the take of a RUN to the first one in which stage 0 is active
RUN_SETUP = 2


def total_latency(config: Config) -> int:
    """R_c = issue of the chunk's last tap + M + total_latency.

    The multipliers step in M cycles, the last of them at the end of the first; an operation in R_c
    reads what can be read `PLACE` cycles later.
    """
    return latency.issue_to_steps(config) - 1 + latency.multiply(config) - latency.PLACE


def drain_latency(config: Config) -> int:
    """Cycle of the memory write = cycle of the drain operation + drain_latency."""
    return latency.operation_to_aim(config) + latency.AIM + latency.WRITE


# ---- external memory ---------------------------------------------------------------------


class Master(enum.IntEnum):
    """Who asks for bursts; the port's arbiter serves the first of those that wait."""

    STREAM = 0
    LOAD = 1
    STORE = 2
    SEQUENCER = 3


def beat_times(model: MemoryModel, beat: int, command: int, count: int) -> Ints:
    """Cycles of the beats of one burst, int64 (count,).

    beat: number of the first beat, counted since the start; command: cycle in which the burst's
    command is visible.
    """
    numbers = np.arange(beat, beat + count) % PERIOD
    waits = np.cumsum(model.stall[numbers] + 1)
    return command + int(model.latency[numbers[0]]) + waits


def burst_clocks(config: Config, beats: int) -> int:
    """Cycles from a request to its last beat, both included, on a free port."""
    request = command = 1
    return request + command + config.latency + beats


# ---- stream fetcher ----------------------------------------------------------------------


def ascend(bounds: Ints, previous: int) -> Ints:
    """x_i = max(x_(i-1) + 1, bounds_i), x_(-1) = previous: one event a clock, none early."""
    steps = np.arange(len(bounds))
    return np.maximum(np.maximum.accumulate(bounds - steps), previous + 1) + steps


def needed_beats(offsets: Ints, port_bytes: int) -> Ints:
    """The beat that must have come before the item at each byte offset can fire."""
    return (offsets + WINDOW_LOW - 1) // port_bytes


def pop_items(ends: Ints, beats: int, port_bytes: int) -> Ints:
    """The item whose consumption makes room in the window for each beat, -1 for none.

    ends: byte offset behind each item. len(ends) where nothing ever makes room.
    """
    wanted = np.arange(beats) * port_bytes - WINDOW_LOW
    return np.where(wanted <= 0, -1, np.searchsorted(ends, wanted))


# ---- compute unit ------------------------------------------------------------------------


def chunk_starts(run: Run) -> Ints:
    """First position (image, row, column) of every chunk of a RUN: int64 (chunks, 3)."""
    out = []
    image = row = column = 0
    while image < run.images:
        out.append((image, row, column))
        column += run.chunk_columns
        row += run.chunk_rows
        if column >= run.pitch:
            column -= run.pitch
            row += 1
        image += run.chunk_images
        if row >= run.image_rows:
            row -= run.image_rows
            image += 1
        if column >= run.width:
            column = 0
            row += 1
        if row >= run.height:
            row = column = 0
            image += 1
    return np.array(out, np.int64)


def drain_slots(addresses: Ints, inside: NDArray[np.bool_], lanes: int) -> tuple[Ints, Ints]:
    """When an operation of the drain writes each of its positions.

    addresses, inside: (..., D) destination of each position, and whether it is written at all.
    Returns the clock of each position, counted from the operation's first, (..., D), and the
    clocks that the operation takes, (...).
    """
    words = addresses // lanes
    slots = np.zeros(addresses.shape, np.int64)
    used = [np.zeros(addresses.shape[:-1], np.int64) for _ in range(2)]
    for d in range(addresses.shape[-1]):
        word, known = words[..., d], np.zeros(addresses.shape[:-1], bool)
        slot = np.where(word & 1, used[1], used[0])
        for before in range(d):
            same = inside[..., before] & (words[..., before] == word) & ~known
            slot = np.where(same, slots[..., before], slot)
            known |= same
        slots[..., d] = slot
        fresh = inside[..., d] & ~known
        for bank in range(2):
            used[bank] += fresh & (word & 1 == bank)
    return slots, np.maximum(1, np.maximum(used[0], used[1]))


@dataclasses.dataclass(frozen=True)
class Lengths:
    """What the issue needs to know of the clusters of each channel: int64 (channels,) each.

    A channel without taps counts as one cluster of one tap, its null slot.
    """

    slots: Ints
    first: Ints      # taps of the first cluster
    rest: Ints       # clocks of the other clusters: the sum of max(taps, M)
    tail: Ints       # clocks from the issue of the slot before the last to that of the last,
                     # 0 where both are not in a known distance (one cluster)


def lengths(channel_clusters: Ints, cluster_taps: Ints, share: int) -> Lengths:
    """channel_clusters, cluster_taps: offsets, (channels + 1,) and (clusters + 1,)."""
    sizes = np.diff(cluster_taps)
    clocks = np.concatenate([[0], np.cumsum(np.maximum(sizes, share))])
    low, high = channel_clusters[:-1], channel_clusters[1:]
    empty, several = low == high, high - low > 1
    padded = np.concatenate([sizes, [1]])
    first = np.where(empty, 1, padded[low])
    last = padded[np.where(several, high - 1, 0)]
    return Lengths(
        slots=np.where(empty, 1, cluster_taps[high] - cluster_taps[low]),
        first=first,
        rest=np.where(several, clocks[high] - clocks[np.where(several, low + 1, 0)], 0),
        tail=np.where(several, np.maximum(last, share) - last + 1, 0))


@dataclasses.dataclass
class Issue:
    """Where the issue of a RUN stands, and the clocks that it has lost so far.

    issued: cycle of the last issue; before the first one the cycle in which stage 0 gets active;
    multiplied: of the last issue of a cluster's last tap; drained: z of the chunk before; ring: z
    of the last TB chunks.
    """

    issued: int
    multiplied: int
    drained: int
    ring: list[int]
    chunk: int = 0
    stream: int = 0
    gate: int = 0
    multiplier: int = 0
    drain_starts: list[int] = dataclasses.field(default_factory=list)

    @classmethod
    def taken(cls, cycle: int, banks: int) -> Issue:
        """A RUN that the unit takes in this cycle."""
        return cls(cycle + RUN_SETUP, cycle - 1000, cycle, [cycle] * banks)

    def copy(self) -> Issue:
        """As it stands now; when drains start is left out."""
        return dataclasses.replace(self, ring=self.ring.copy(), drain_starts=[])

    def moved(self, before: Issue) -> bool:
        """Is all that later chunks depend on as it was before, so many clocks later?"""
        clocks = self.issued - before.issued
        return (self.multiplied - before.multiplied == clocks
                and self.drained - before.drained == clocks
                and all(now - then == clocks
                        for now, then in zip(self.ring, before.ring, strict=True)))

    def repeat(self, before: Issue, times: int) -> None:
        """As after `times` repetitions of what has happened since then: all that counts `moved`."""
        clocks = times * (self.issued - before.issued)
        self.issued += clocks
        self.multiplied += clocks
        self.drained += clocks
        self.ring = [cycle + clocks for cycle in self.ring]
        self.chunk += times * (self.chunk - before.chunk)
        self.gate += times * (self.gate - before.gate)
        self.multiplier += times * (self.multiplier - before.multiplier)


def issue_channel(state: Issue, config: Config, full: int, slots: int, first: int, rest: int,
                  tail: int, operations: Sequence[int]) -> int:
    """Issue one channel over all its chunks; the cycle in which its last slot is presented.

    full: first cycle in which the channel's buffer is full; slots, first, rest, tail: of `Lengths`;
    operations: drain cycles of each chunk. Advances `state`.
    """
    share, banks = config.share, len(state.ring)
    complete = share + total_latency(config)
    ring, number, drained, issued = state.ring, state.chunk, state.drained, state.issued
    multiplied, starts = state.multiplied, state.drain_starts
    presented = max(issued, full)
    state.stream += presented - issued
    before = presented
    issued = presented
    gate = spent = 0
    for cycles in operations:
        start = max(issued + 1, ring[number % banks] + 1)
        gate += start - issued - 1
        last = max(start + first - 1, multiplied + share)
        before = start + first - 2 if first > 1 else issued
        multiplied = issued = last + rest
        spent += issued - start + 1
        begin = max(issued + complete, drained + 1)
        starts.append(begin)
        drained = begin + cycles - 1
        ring[number % banks] = drained
        number += 1
    state.gate += gate
    state.multiplier += spent - slots * len(operations)
    state.chunk, state.drained = number, drained
    state.issued = state.multiplied = issued
    return issued - tail if tail else before
