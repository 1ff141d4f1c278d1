"""A plain model of what docs/machine.md says of RUN and FILL: every write, and when.

Nothing here is shared with the machine but the configuration, fixed.py and the two latencies.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from kcnn.arch import fixed, timing
from kcnn.arch.config import Config
from kcnn.arch.isa import Fill, Mode, Run

Write = tuple[int, int, dict[int, int]]       # cycle, row, {cell: code}


@dataclasses.dataclass
class Slot:
    """A tap as the cache holds it."""

    position: int
    negative: int
    factor: int
    last: int


@dataclasses.dataclass
class Channel:
    """An output channel's slots and head."""

    slots: list[Slot]
    scale: int
    bias: int


class State:
    """Memory and tables of a core."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.memory = np.zeros(config.memory_codes, np.int64)
        self.base = np.zeros((2, config.base_entries, 2), np.int64)       # address, pair
        self.offset = np.zeros((2, config.offset_entries), np.int64)
        self.decode = np.zeros((2, config.codes), np.int64)
        self.thresholds = np.zeros((2, config.codes), np.int64)
        self.codes = np.zeros((2, config.codes), np.int64)
        self.home = 0            # where the half of memory that RUNs read begins


def chunks_of(run: Run, lanes: int) -> list[list[tuple[int, int, int]]]:
    """The raster positions (n, y, x) of every chunk, by the definition."""
    pitch, rows = run.pitch, run.image_rows
    inside = [(n * rows + y) * pitch + x for n in range(run.images) for y in range(run.height)
              for x in range(run.width)]
    chunks, covered = [], -1
    for raster in inside:
        if raster > covered:
            covered = raster + lanes - 1
            chunks.append([(r // pitch // rows, r // pitch % rows, r % pitch)
                           for r in range(raster, raster + lanes)])
    return chunks


def is_inside(run: Run, place: tuple[int, int, int]) -> bool:
    n, y, x = place
    return n < run.images and y < run.height and x < run.width


def walk(start: int, step: int, wrap: int, phase: int, add: int, split: int, count: int
         ) -> list[int]:
    """Offsets of `count` columns or rows."""
    at, out = start, []
    for _ in range(count):
        out.append(at)
        at += step
        phase += add
        if phase >= split:
            phase -= split
            at += wrap
    return out


def addresses_of(run: Run, channel: int, digit: int, memory_codes: int):
    """Destination address of a position, as a function of (n, y, x)."""
    xs = walk(0, run.x_step, run.x_wrap, run.x_start, run.x_mod, run.split, run.width)
    ys = walk(0, run.y_step, run.y_wrap, run.y_start, run.y_mod, run.split, run.height)
    base = run.dst + channel * run.dst_channel + digit * run.dst_plane

    def address(place: tuple[int, int, int]) -> int:
        n, y, x = place
        return (base + n * run.dst_image + ys[y] + xs[x]) % memory_codes
    return address


def wrap(value, bits: int):
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def totals_of(state: State, run: Run, channel: Channel, places) -> np.ndarray:
    """T of the positions of a chunk."""
    config = state.config
    first = (places[0][0] * run.image_rows + places[0][1]) * run.pitch + places[0][2]
    raster = run.origin + first + np.arange(config.lanes)
    maximum = run.mode == Mode.PASS
    total = np.zeros(config.lanes, np.int64)
    seen: list = []
    s = np.zeros(config.lanes, np.int64)
    for slot in channel.slots:
        entry = (slot.position >> run.kernel_bits) % config.base_entries
        kernel = slot.position & ((1 << run.kernel_bits) - 1)
        base, pair = state.base[run.base_bank, entry]
        at = (base + state.offset[run.offset_bank, kernel] + raster) % config.memory_codes
        value = state.decode[pair][state.memory[at]]
        if maximum:
            seen.append(value)
            value = np.array([max(lane, key=lambda v: v % config.codes)
                              for lane in np.transpose(seen).tolist()])
        value = value * (-1 if slot.negative else 1)
        s = value if maximum else s + value
        if slot.last:
            total = total + slot.factor * wrap(s, config.sum_bits)
            s, seen = np.zeros(config.lanes, np.int64), []
    return wrap(total, config.total_bits)


def codes_of(state: State, run: Run, channel: Channel, total: np.ndarray) -> np.ndarray:
    """Codes (digits, lanes)."""
    bits = state.config.code_bits
    if run.mode == Mode.PASS:
        return ((total - run.order) & ((1 << bits) - 1))[None]
    v = fixed.requantize(total, fixed.SHIFTS[run.shift], np.array(channel.scale),
                         np.array(channel.bias))
    if run.mode == Mode.RADIX:
        return fixed.radix_digits(v, run.digits, run.radix_width, bits)
    bank = run.cluster_bank
    return fixed.cluster(v, state.thresholds[bank, 1:], state.codes[bank])[None]


def operations_of(run: Run, config: Config, places, address) -> list[list[int]]:
    """Lanes written by each operation of a chunk for one step after the other, one digit."""
    out = []
    for step in range(config.drain_steps):
        lanes = range(step * config.drain, (step + 1) * config.drain)
        left = [lane for lane in lanes if is_inside(run, places[lane])]
        turns = []
        while True:
            word = {lane: address(places[lane]) // config.lanes for lane in left}
            now = []
            for parity in (0, 1):
                bank = [lane for lane in left if word[lane] % 2 == parity]
                now += [lane for lane in bank if word[lane] == word[bank[0]]]
            turns.append(now)
            left = [lane for lane in left if lane not in now]
            if not left:
                break
        out.append(turns)
    return out


def run_model(state: State, run: Run, taken: int, channels: list[Channel], full: list[int]
              ) -> tuple[list[Write], int]:
    """Writes and end stamp of a RUN; the memory is changed.

    taken: cycle k; full[c]: the cycle in which the buffer of channel c is first seen full.
    """
    config = state.config
    before = State(config)
    before.__dict__.update(state.__dict__)
    before.memory = state.memory.copy()
    chunks = chunks_of(run, config.lanes)
    writes: list[Write] = []
    presented, issued, run_issued = taken + timing.RUN_SETUP - 1, -1, -config.share
    drained: list[int] = []
    for c, channel in enumerate(channels):
        for places in chunks:
            for number, slot in enumerate(channel.slots):
                presented = max(presented + 1, issued, full[c])
                issued = max(presented + 1, issued + 1)
                if slot.last:
                    issued = max(issued, run_issued + config.share)
                if number == 0 and len(drained) >= config.total_banks:
                    issued = max(issued, drained[-config.total_banks] + 1)
                if slot.last:
                    run_issued = issued
            start = issued + config.share + timing.total_latency(config)
            if drained:
                start = max(start, drained[-1] + 1)
            end = drain_model(before, state, run, c, channel, places, start, writes)
            drained.append(end)
    return writes, drained[-1] + timing.drain_latency(config) + 1


def drain_model(before: State, state: State, run: Run, c: int, channel: Channel, places,
                cycle: int, writes: list[Write]) -> int:
    """Adds a chunk's writes; returns the cycle of its last operation."""
    config = state.config
    codes = codes_of(before, run, channel, totals_of(before, run, channel, places))
    to = [addresses_of(run, c, digit, config.memory_codes) for digit in range(run.digits)]
    turns = [operations_of(run, config, places, address) for address in to]
    for step in range(config.drain_steps):
        for digit in range(run.digits):
            for lanes in turns[digit][step]:
                cells = {to[digit](places[lane]): int(codes[digit][lane]) for lane in lanes}
                _write(state, cells, cycle + timing.drain_latency(config), writes)
                cycle += 1
    return cycle - 1


def _write(state: State, cells: dict[int, int], cycle: int, writes: list[Write]) -> None:
    size = state.config.row_codes
    rows: dict[int, dict[int, int]] = {}
    for address, code in sorted(cells.items(), key=lambda item: item[0] % size):
        rows.setdefault(address // size, {})[address % size] = code
        state.memory[address] = code
    writes += [(cycle, row, content) for row, content in rows.items()]


def fill_model(state: State, fill: Fill, taken: int) -> tuple[list[Write], int]:
    """Writes and end stamp of a FILL; the memory is changed."""
    writes: list[Write] = []
    size = state.config.row_codes
    for i in range(fill.rows):
        row = fill.row + i
        state.memory[row * size:(row + 1) * size] = fill.code
        writes.append((taken + 1 + i, row, dict.fromkeys(range(size), fill.code)))
    return writes, taken + fill.rows
