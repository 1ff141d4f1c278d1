"""The blocks of the naive machine around the compute unit.

Every block has registers that its `step` may read (`self.x`) and new values that show in the next
cycle (`self.next(x=...)`, or a function in `machine.later`).
"""

from __future__ import annotations

from typing import Any

from kcnn.arch import isa

LOAD, COMPUTE, STORE = isa.Unit.LOAD, isa.Unit.COMPUTE, isa.Unit.STORE


def signed(value: int, bits: int) -> int:
    """The low bits as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def clip(value: int, bits: int) -> int:
    """Saturated to two's complement of `bits` bits."""
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


class Block:
    """Registers: `next` sets values for the next cycle, `clock` lets them show."""

    def __init__(self, machine: Any) -> None:
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

    def __init__(self, machine: Any) -> None:
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

    def __init__(self, machine: Any) -> None:
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
            codes = ([b % config.codes for b in data] if config.code_bits > 4 else
                     [n for b in data for n in (b & 15, b >> 4)])
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
                self.writing = list(range(self.done_entries, high))
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

    def __init__(self, machine: Any) -> None:
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
