"""docs/machine.md taken literally: one Python step a clock, one position after the other.

Slow, and shares nothing with the TLM but the instruction set, the configuration and the two
latencies; arithmetic and stream parsing are written again with plain integers.

Every block has registers that its `step` may read (`self.x`) and new values that show in the next
cycle (`self.next(x=...)`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from kcnn.arch import engine, isa, timing
from kcnn.arch.config import Config

LOAD, COMPUTE, STORE = isa.Unit.LOAD, isa.Unit.COMPUTE, isa.Unit.STORE
TOTAL_BANKS = 4


def signed(value: int, bits: int) -> int:
    """The low bits as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def clip(value: int, bits: int) -> int:
    """Saturated to two's complement of `bits` bits."""
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


class Block:
    """Registers: `next` sets values for the next cycle, `clock` lets them show."""

    def __init__(self, machine: Naive) -> None:
        self.machine = machine
        self._new: dict[str, Any] = {}

    def next(self, **values: Any) -> None:
        self._new.update(values)

    def clock(self) -> None:
        for name, value in self._new.items():
            setattr(self, name, value)
        self._new = {}

    def step(self, t: int) -> None:
        raise NotImplementedError


class Port(Block):
    """Arbiter and memory: requests are (beats,), granted by priority."""

    def __init__(self, machine: Naive) -> None:
        super().__init__(machine)
        self.requests: dict[int, int] = {}
        self.busy = False
        self.count = 0
        self.times: list[int] = []
        self.owner = -1

    def request(self, master: int, beats: int) -> None:
        """Visible in the next cycle."""
        self.machine.later.append(lambda: self.requests.__setitem__(master, beats))

    def valid(self, master: int, t: int) -> bool:
        return self.busy and self.owner == master and t in self.times

    def last(self, master: int, t: int) -> bool:
        return self.valid(master, t) and t == self.times[-1]

    def step(self, t: int) -> None:
        if self.busy:
            if t == self.times[-1]:
                self.next(busy=False)
            return
        if not self.requests:
            return
        owner = min(self.requests)
        beats = self.requests.pop(owner)
        times, at = [], t + 1
        for beat in range(beats):
            at += 1 + self.machine.model.wait(self.count + beat, beat == 0)
            times.append(at)
        self.next(busy=True, owner=owner, times=times, count=self.count + beats)


class Unit(Block):
    """Mailbox, tokens and stamps of a unit; subclasses work in `work`."""

    KIND: isa.Unit

    def __init__(self, machine: Naive) -> None:
        super().__init__(machine)
        self.mailbox: tuple[int, isa.Instruction] | None = None
        self.current: tuple[int, isa.Instruction] | None = None
        self.began = 0

    def step(self, t: int) -> None:
        if self.current is not None:
            self.work(t, self.current[1])
            return
        if self.mailbox is None:
            return
        index, instruction = self.mailbox
        wanted = [(unit, self.KIND) for unit, flag in
                  ((self.KIND - 1, instruction.pop_prev), (self.KIND + 1, instruction.pop_next))
                  if flag]
        if any(self.machine.tokens[pair] == 0 for pair in wanted):
            return
        for pair in wanted:
            self.machine.token(pair, -1)
        self.machine.starts[index] = t
        self.next(mailbox=None, current=self.mailbox, began=t)
        self.take(t, instruction)

    def end(self, t: int) -> None:
        """This is the last busy cycle."""
        assert self.current is not None
        index, instruction = self.current
        for unit, flag in ((self.KIND - 1, instruction.push_prev),
                           (self.KIND + 1, instruction.push_next)):
            if flag:
                self.machine.token((self.KIND, unit), 1)
        self.machine.ends[index] = t
        self.next(current=None)

    def take(self, t: int, instruction: Any) -> None:
        raise NotImplementedError

    def work(self, t: int, instruction: Any) -> None:
        raise NotImplementedError


class Load(Unit):
    KIND = LOAD

    def take(self, t: int, instruction: Any) -> None:
        config = self.machine.config
        self.done_beats = self.done_entries = 0
        self.writing: list[int] = []
        self.at_end = False
        if isinstance(instruction, isa.Load):
            self.beats = instruction.rows * config.beats_per_row
        elif instruction.kind == isa.Table.RAMP:
            self.writing = list(range(instruction.count))
            return
        else:
            self.beats = -(-instruction.count * 4 // config.port_bytes)
        self.ask()

    def ask(self) -> None:
        self.burst = min(self.machine.config.burst, self.beats - self.done_beats)
        self.machine.port.request(1, self.burst)

    def work(self, t: int, instruction: Any) -> None:
        if isinstance(instruction, isa.Load):
            self.rows(t, instruction)
        else:
            self.entries(t, instruction)

    def rows(self, t: int, load: isa.Load) -> None:
        machine, config = self.machine, self.machine.config
        if self.writing:
            row = self.writing.pop()
            at = load.address * 16 + row * config.row_bytes
            data = machine.external[at:at + config.row_bytes].tolist()
            codes = data if config.code_bits > 4 else [n for b in data for n in (b & 15, b >> 4)]
            machine.write_row(t, load.row + row, dict(enumerate(codes)))
        if machine.port.valid(1, t):
            self.done_beats += 1
            if self.done_beats % config.beats_per_row == 0:
                self.writing.append(self.done_beats // config.beats_per_row - 1)
            if machine.port.last(1, t) and self.done_beats < self.beats:
                self.ask()
        elif self.done_beats == self.beats:
            self.end(t)

    def entries(self, t: int, table: isa.TableLoad) -> None:
        machine = self.machine
        if self.writing:
            entry = self.writing.pop(0)
            if table.kind != isa.Table.DECODE or entry not in self.writing:
                machine.write_entry(table, entry)
            if not self.writing:
                if table.kind == isa.Table.RAMP or self.done_beats == self.beats:
                    self.end(t)
                else:
                    self.ask()
        elif machine.port.valid(1, t):
            self.done_beats += 1
            if machine.port.last(1, t):
                high = min(table.count, self.done_beats * machine.config.port_bytes // 4)
                copies = 2 if table.kind == isa.Table.DECODE else 1
                self.writing = [e for e in range(self.done_entries, high) for _ in range(copies)]
                self.done_entries = high


class Store(Unit):
    KIND = STORE

    def take(self, t: int, instruction: Any) -> None:
        self.done_rows, self.since = 0, t
        self.rows = self.next_rows(instruction)

    def next_rows(self, store: isa.Store) -> int:
        config = self.machine.config
        return min(config.burst // config.beats_per_row, store.rows - self.done_rows)

    def work(self, t: int, instruction: Any) -> None:
        machine, config = self.machine, self.machine.config
        offset = t - self.since
        if self.done_rows == instruction.rows:
            self.end(t)
        elif 1 <= offset <= self.rows:
            row = self.done_rows + offset - 1
            at = instruction.address * 16 + row * config.row_bytes
            first = (instruction.row + row) % config.rows * config.row_codes
            codes = machine.memory[first:first + config.row_codes]
            if config.code_bits == 4:
                codes = [a | b << 4 for a, b in zip(codes[::2], codes[1::2], strict=True)]
            machine.external[at:at + config.row_bytes] = codes
        elif offset == self.rows + 1:
            machine.port.request(2, self.rows * config.beats_per_row)
        elif machine.port.last(2, t):
            self.done_rows += self.rows
            self.rows, self.since = self.next_rows(instruction), t


class Fetch(Block):
    """Stream fetcher with FIFO, window and the two buffers of the tap cache."""

    def __init__(self, machine: Naive) -> None:
        super().__init__(machine)
        self.mailbox: isa.Run | None = None
        self.run: isa.Run | None = None
        self.full = [False, False]
        self.slots: list[list[tuple[bool, int, bool, int]]] = [[], []]
        self.quantise: list[tuple[int, int]] = [(0, 0)] * 8
        self.number = 0                                   # channels parsed since the start

    def step(self, t: int) -> None:
        if self.run is None:
            if self.mailbox is not None:
                self.begin(t, self.mailbox)
            return
        size = self.machine.config.port_bytes
        if self.machine.port.valid(0, t):
            at = self.run.stream * 16 + self.arrived * size
            self.fifo.append((t, self.machine.external[at:at + size].tobytes()))
            self.arrived += 1
            if self.machine.port.last(0, t):
                self.next(flying=False)
        if t == self.finish:
            self.next(run=None)
            return
        self.ask()
        self.parse(t)
        if self.fifo and self.fifo[0][0] < t and len(self.window) <= 4:
            self.window += self.fifo.pop(0)[1]
            self.next(popped=self.popped + 1)
        if self.channel == self.run.channels and self.arrived == self.beats and not self.finish:
            self.finish = t + 1

    def begin(self, t: int, run: isa.Run) -> None:
        self.next(mailbox=None, run=run)
        self.beats = -(-run.stream_units * 16 // self.machine.config.port_bytes)
        self.asked = self.popped = self.arrived = self.channel = self.finish = 0
        self.flying = False
        self.fifo: list[tuple[int, bytes]] = []
        self.window = b""
        self.head = 0
        self.held: tuple[int, bool, int] | None = None
        self.factor = self.position = 0

    def ask(self) -> None:
        count = min(self.machine.config.burst, self.beats - self.asked)
        room = 2 * self.machine.config.burst - (self.asked - self.popped)
        if count and not self.flying and room >= count:
            self.next(asked=self.asked + count, flying=True)
            self.machine.port.request(0, count)

    def parse(self, t: int) -> None:
        """Consume one item."""
        assert self.run is not None
        if len(self.window) < 4 or self.channel == self.run.channels:
            return
        buffer = self.number % 2
        if self.head == 0:
            if not self.full[buffer]:
                self.scale = int.from_bytes(self.eat(2), "little")
                self.head = 1
                self.building: list[tuple[bool, int, bool, int]] = []
        elif self.head == 1:
            bias = int.from_bytes(self.eat(4), "little", signed=True)
            self.quantise[self.number % 8] = self.scale, bias
            self.head = 2
        elif self.window[0] == 0xFF:
            self.eat(1)
            self.release(True)
            self.slots[buffer] = self.building or [(True, 0, False, 0)]
            self.machine.later.append(lambda: self.full.__setitem__(buffer, True))
            self.number += 1
            self.channel += 1
            self.head = 0
        else:
            self.item()

    def item(self) -> None:
        if 0x70 <= self.window[0] < 0x80:
            self.release(True)
            high, low = self.eat(2)
            self.factor, self.position = signed((high & 15) << 8 | low, 12), -1
        if self.window and 0xF0 <= self.window[0] < 0xFC:
            self.position += 64 * ((self.eat(1)[0] & 15) + 1)
        if self.window and self.window[0] & 0x7F < 0x70:
            self.release(False)
            byte = self.eat(1)[0]
            self.position += (byte & 0x7F) + 1
            self.held = self.factor, byte >= 0x80, self.position

    def release(self, last: bool) -> None:
        if self.held is not None:
            self.building.append((last, *self.held))
            self.held = None

    def eat(self, count: int) -> bytes:
        out, self.window = self.window[:count], self.window[count:]
        return out


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

    def __init__(self, machine: Naive) -> None:
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
        self.ranks = [0] * config.lanes

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
            rank = (code + run.order) % config.codes
            if run.mode == isa.Mode.PASS:
                rank = self.ranks[lane] = max(self.ranks[lane], rank)
            value = machine.decode[pair][int(negative)][rank]
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
            return total % config.codes
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


class Sequencer(Block):
    """state: "head", "rest" (waiting for beats), "decode", "dispatch", "end"."""

    def __init__(self, machine: Naive) -> None:
        super().__init__(machine)
        self.state = "start"
        self.at = self.index = 0

    def step(self, t: int) -> None:
        machine = self.machine
        if self.state == "start":
            self.fetch(0, 16, "head")
        elif self.state == "head" and machine.port.last(3, t):
            self.next(state="decode")
        elif self.state == "rest" and machine.port.last(3, t):
            self.next(state="dispatch")
        elif self.state == "decode" and machine.external[self.at] & 15 == isa.Op.RUN:
            self.fetch(16, 64, "rest")
        elif self.state in ("decode", "dispatch"):
            self.dispatch()

    def fetch(self, low: int, high: int, state: str) -> None:
        size = self.machine.config.port_bytes
        beats = {(self.at + offset) // size for offset in range(low, high)}
        self.machine.port.request(3, len(beats))
        self.next(state=state)

    def dispatch(self) -> None:
        machine = self.machine
        size = 64 if machine.external[self.at] & 15 == isa.Op.RUN else 16
        instruction, = isa.decode(machine.external[self.at:self.at + size].tobytes())
        units = machine.units.values()
        if isinstance(instruction, isa.End):
            busy = any(u.mailbox is not None or u.current is not None for u in units)
            if not busy and machine.fetch.mailbox is None and machine.fetch.run is None:
                machine.later.append(lambda: setattr(machine, "done", True))
                self.next(state="end")
            return
        unit = machine.units[instruction.UNIT]
        run = isinstance(instruction, isa.Run)
        if unit.mailbox is not None or run and machine.fetch.mailbox is not None:
            return
        unit.next(mailbox=(self.index, instruction))
        if run:
            machine.fetch.next(mailbox=instruction)
        self.at += size
        self.index += 1
        self.fetch(0, 16, "head")


class Naive:
    """The whole machine; `run` gives an `engine.Result` with writes."""

    def __init__(self, config: Config, instructions: int, memory: np.ndarray,
                 model: engine.MemoryModel) -> None:
        self.config, self.model = config, model
        self.external = memory.copy()
        self.memory = [0] * config.memory_codes
        self.base = [[(0, 0)] * config.base_entries for _ in range(2)]
        self.offset = [[0] * config.offset_entries for _ in range(2)]
        self.decode = [[[0] * config.codes for _ in range(2)] for _ in range(2)]
        self.cluster = [[(0, 0)] * config.codes for _ in range(2)]
        self.tokens = {(a, b): 0 for a in range(3) for b in range(3) if abs(a - b) == 1}
        self.starts = np.full(instructions, -1, np.int64)
        self.ends = np.full(instructions, -1, np.int64)
        self.trace: list[tuple[int, int, dict[int, int]]] = []
        self.later: list[Any] = []
        self.done = False
        self.port = Port(self)
        self.fetch = Fetch(self)
        self.units: dict[Any, Unit] = {
            LOAD: Load(self), COMPUTE: Compute(self), STORE: Store(self)}
        self.sequencer = Sequencer(self)

    def token(self, pair: tuple[int, int], count: int) -> None:
        """Add to a counter, visible in the next cycle."""
        self.later.append(lambda: self.tokens.__setitem__(pair, self.tokens[pair] + count))

    def write_row(self, t: int, row: int, cells: dict[int, int]) -> None:
        row %= self.config.rows
        for cell, code in cells.items():
            self.memory[row * self.config.row_codes + cell] = code
        self.trace.append((t, row, cells))

    def write_cells(self, t: int, cells: list[tuple[int, int]]) -> None:
        """At most one word of each bank; a row's two words count as one write."""
        rows: dict[int, dict[int, int]] = {}
        lanes = self.config.lanes
        for address, code in sorted(cells, key=lambda cell: cell[0] // lanes % 2):
            row, cell = divmod(address, self.config.row_codes)
            rows.setdefault(row, {})[cell] = code
        assert len(rows) <= 2
        for row, codes in rows.items():
            self.write_row(t, row, codes)

    def write_entry(self, table: isa.TableLoad, entry: int) -> None:
        """Entry number `entry` of a TABLE."""
        config, at = self.config, table.first + entry
        if table.kind == isa.Table.RAMP:
            if at < config.base_entries:
                self.base[table.bank][at] = table.start + entry * table.step, table.pair
            return
        byte = table.address * 16 + 4 * entry
        word = int.from_bytes(self.external[byte:byte + 4].tobytes(), "little")
        if table.kind == isa.Table.BASE and at < config.base_entries:
            self.base[table.bank][at] = word & 0xFFFFFF, word >> 24 & 1
        elif table.kind == isa.Table.OFFSET and at < config.offset_entries:
            self.offset[table.bank][at] = word
        elif table.kind == isa.Table.DECODE and at < config.codes:
            self.decode[table.bank][0][at] = signed(word, 16)
            self.decode[table.bank][1][at] = signed(word >> 16, 16)
        elif table.kind == isa.Table.CLUSTER and at < config.codes:
            self.cluster[table.bank][at] = signed(word, 16), word >> 16 & 255

    def run(self, limit: int = 100_000) -> engine.Result:
        blocks = [self.sequencer, self.fetch, *self.units.values(), self.port]
        t = 0
        while not self.done:
            for block in blocks:
                block.step(t)
            for block in blocks:
                block.clock()
            for change in self.later:
                change()
            self.later = []
            t += 1
            assert t < limit, "the machine hangs"
        return engine.Result("naive", t, self.external, self.starts, self.ends, {}, self.writes())

    def writes(self) -> engine.Writes:
        mask = np.zeros((len(self.trace), self.config.row_codes), bool)
        codes = np.zeros(mask.shape, np.int64)
        for i, (_, _, cells) in enumerate(self.trace):
            for cell, code in cells.items():
                mask[i, cell], codes[i, cell] = True, code
        return engine.Writes(np.array([w[0] for w in self.trace]),
                             np.array([w[1] for w in self.trace]), mask, codes)
