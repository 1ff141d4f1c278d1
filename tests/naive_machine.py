"""docs/machine.md taken literally: one Python step a clock, one position after the other.

    result = Naive(config, len(program.instructions), memory, model).run()

Slow, and shares nothing with the TLM but the instruction set, the configuration and the two
latencies; arithmetic and stream parsing are written again with plain integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from kcnn.arch import engine, isa
from kcnn.arch.config import Config
from naive_blocks import COMPUTE, LOAD, STORE, Block, Fetch, Load, Port, Store, Unit, signed
from naive_compute import Compute


class Sequencer(Block):
    """state: "head", "rest" (waiting for beats), "decode", "dispatch", "end"."""

    def __init__(self, machine: Any) -> None:
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
        self.decode = [[0] * config.codes for _ in range(2)]
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
            self.decode[table.bank][at] = signed(word, 16)
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
