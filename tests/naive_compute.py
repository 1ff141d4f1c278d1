"""The compute unit of the naive machine: FILL and RUN."""

from __future__ import annotations

import dataclasses
from typing import Any

from kcnn.arch import isa, timing
from naive_blocks import COMPUTE, Unit, clip, signed

TOTAL_BANKS = 4


@dataclasses.dataclass
class Chunk:
    """A chunk of a channel from its first tap to the end of its drain."""

    channel: int
    quantise: tuple[int, int]
    where: list[tuple[int, int, int]]
    totals: list[int]
    ready: int = 1 << 60


class Compute(Unit):
    KIND = COMPUTE

    def __init__(self, machine: Any) -> None:
        super().__init__(machine)
        self.number = 0                 # channels issued since the start

    def take(self, t: int, instruction: Any) -> None:
        if isinstance(instruction, isa.Fill):
            return
        self.chunks = chunks_of(instruction, self.machine.config.lanes)
        self.channel = self.chunk = self.slot = self.in_flight = 0
        self.stage1: tuple[int, int, Any, bool] | None = None
        self.multiplied = -100
        self.queue: list[Chunk] = []
        self.operations: list[list[tuple[int, int]]] = []
        self.drain_done = -1
        self.drained = 0
        self.writes: list[tuple[int, list[tuple[int, int]]]] = []
        self.clear()

    def clear(self) -> None:
        config = self.machine.config
        self.sums = [0] * config.lanes
        self.seen: list[list[int]] = [[] for _ in range(config.lanes)]

    def work(self, t: int, instruction: Any) -> None:
        if isinstance(instruction, isa.Fill):
            row = instruction.row + t - self.began - 1
            cells = dict.fromkeys(range(self.machine.config.row_codes), instruction.code)
            self.machine.write_row(t, row, cells)
            if t == self.began + instruction.rows:
                self.end(t)
            return
        while self.writes and self.writes[0][0] == t:
            self.machine.write_cells(t, self.writes.pop(0)[1])
        self.drain(t, instruction)
        issues = self.stage1 is not None and self.may_issue(t)
        if issues:
            self.issue(t, instruction)
        self.present(t, instruction, issues)
        if self.drained == len(self.chunks) * instruction.channels:
            if t == self.drain_done + timing.drain_latency(self.machine.config) + 1:
                self.end(t)

    def present(self, t: int, run: isa.Run, issues: bool) -> None:
        """Stage 0."""
        fetch, buffer = self.machine.fetch, self.number % 2
        if t < self.began + 2 or self.channel == run.channels or not fetch.full[buffer]:
            return
        if self.stage1 is not None and not issues:
            return
        slots = fetch.slots[buffer]
        self.next(stage1=(self.channel, self.chunk, slots[self.slot],
                          self.slot == len(slots) - 1, self.slot == 0,
                          fetch.quantise[self.number % 8]))
        self.slot += 1
        if self.slot == len(slots):
            self.slot = 0
            self.chunk += 1
        if self.chunk == len(self.chunks):
            self.chunk = 0
            self.channel += 1
            self.number += 1
            self.machine.later.append(lambda: fetch.full.__setitem__(buffer, False))

    def may_issue(self, t: int) -> bool:
        """Stage 1."""
        assert self.stage1 is not None
        _, _, (last, *_), _, first, _ = self.stage1
        share = self.machine.config.share
        if (last or share == 1) and t < self.multiplied + share:
            return False
        return not (first and self.in_flight == TOTAL_BANKS)

    def issue(self, t: int, run: isa.Run) -> None:
        machine, config = self.machine, self.machine.config
        channel, chunk, (last, factor, negative, position), final, first, quantise = self.stage1
        if first:
            where = self.chunks[chunk]
            self.queue.append(Chunk(channel, quantise, where, [0] * config.lanes))
            self.in_flight += 1
        here = self.queue[-1]
        entry, kernel = position >> run.kernel_bits, position & ((1 << run.kernel_bits) - 1)
        address, pair = machine.base[run.base_bank][entry]
        address += machine.offset[run.offset_bank][kernel] + run.origin
        image, row, column = here.where[0]
        address += (image * run.image_rows + row) * run.pitch + column
        for lane in range(config.lanes):
            code = machine.memory[(address + lane) % config.memory_codes]
            value = machine.decode[pair][code]
            if run.mode == isa.Mode.PASS:
                self.seen[lane].append(value)
                value = max(self.seen[lane], key=lambda v: v % config.codes)
            value *= -1 if negative else 1
            self.sums[lane] = value if run.mode == isa.Mode.PASS else self.sums[lane] + value
            assert self.sums[lane] == signed(self.sums[lane], config.sum_bits)
            if last:
                here.totals[lane] += factor * self.sums[lane]
                assert here.totals[lane] == signed(here.totals[lane], config.total_bits)
        if last:
            self.clear()
        if last or config.share == 1:
            self.multiplied = t
        if final:
            here.ready = t + config.share + timing.total_latency(config)
        self.next(stage1=None)

    # ---- drain
    def drain(self, t: int, run: isa.Run) -> None:
        if not self.operations and self.queue and self.queue[0].ready <= t:
            self.operations = list(self.plan(self.queue[0], run))
        if not self.operations:
            return
        operation = self.operations[0]
        bank_words: dict[int, int] = {}
        for address, _ in operation:
            word = address // self.machine.config.lanes
            bank_words.setdefault(word % 2, word)
        chosen = [w for w in operation if w[0] // self.machine.config.lanes in
                  bank_words.values()]
        self.writes.append((t + timing.drain_latency(self.machine.config), chosen))
        self.operations[0] = [w for w in operation if w not in chosen]
        if not self.operations[0]:
            self.operations.pop(0)
        if not self.operations:
            self.queue.pop(0)
            self.drain_done = t
            self.drained += 1
            self.machine.later.append(lambda: setattr(self, "in_flight", self.in_flight - 1))

    def plan(self, chunk: Chunk, run: isa.Run) -> Any:
        """The writes (address, code) of every operation of a chunk."""
        config = self.machine.config
        for step in range(config.drain_steps):
            lanes = range(step * config.drain, (step + 1) * config.drain)
            for digit in range(run.digits):
                writes = []
                for lane in lanes:
                    image, row, column = chunk.where[lane]
                    if image < run.images and row < run.height and column < run.width:
                        address = destination(run, image, row, column)
                        address += chunk.channel * run.dst_channel + digit * run.dst_plane
                        writes.append((address % config.memory_codes,
                                       self.code(chunk, lane, digit, run)))
                yield writes

    def code(self, chunk: Chunk, lane: int, digit: int, run: isa.Run) -> int:
        config, (scale, bias) = self.machine.config, chunk.quantise
        total = chunk.totals[lane]
        if run.mode == isa.Mode.PASS:
            return (total - run.order) % config.codes
        v = (clip(total >> (2 * run.shift), 18) * scale + bias) >> 16
        if run.mode == isa.Mode.RADIX:
            return clip(v, run.radix_width) >> (digit * config.code_bits) & (config.codes - 1)
        table = self.machine.cluster[run.cluster_bank]
        segment = sum(threshold <= clip(v, 11) for threshold, _ in table[1:])
        return table[segment][1]


def chunks_of(run: isa.Run, lanes: int) -> list[list[tuple[int, int, int]]]:
    """The positions of every chunk: each starts at the first inside position not yet covered."""
    raster = [(n, y, x) for n in range(run.images + lanes) for y in range(run.image_rows)
              for x in range(run.pitch)]
    out, at = [], 0
    total = run.images * run.image_rows * run.pitch
    while at < total:
        image, row, column = raster[at]
        if row < run.height and column < run.width:
            out.append(raster[at:at + lanes])
            at += lanes
        else:
            at += 1
    return out


def destination(run: isa.Run, image: int, row: int, column: int) -> int:
    """Walk to a position step by step."""
    address = run.dst + image * run.dst_image
    for start, mod, step, wrap, count in (
            (run.y_start, run.y_mod, run.y_step, run.y_wrap, row),
            (run.x_start, run.x_mod, run.x_step, run.x_wrap, column)):
        phase = start
        for _ in range(count):
            address += step
            phase += mod
            if phase >= run.split:
                phase -= run.split
                address += wrap
    return address
