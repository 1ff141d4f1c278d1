"""The store unit: rows read, bytes sent, and every stamp, from the cycles of the beats."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bus import Bus
from kcnn.arch.config import Config
from kcnn.arch.isa import Store
from kcnn.arch.layout import pack
from kcnn.rtl.port import Master
from kcnn.rtl.signals import Rows, bit, word
from kcnn.rtl.store import store_unit
from kcnn.rtl.unit import Mailbox, UnitState
from myhdl import ResetSignal
from replay import replay

TINY = Config.preset("tiny")
CONFIGS = {"tiny": dataclasses.replace(TINY, memory_codes=256),
           "wide": dataclasses.replace(TINY, lanes=16, code_bits=5, memory_codes=1024,
                                       port_bits=64, burst=8),
           "a row a burst": dataclasses.replace(TINY, lanes=16, code_bits=8, value_bits=9,
                                                memory_codes=1024, port_bits=128, burst=4,
                                                sum_bits=16)}


class Bench:
    """Random STOREs, an activation memory, and what the unit did with them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.given: list[tuple[int, Store, int]] = []
        self.memory = bytearray(4096)
        self.cells = np.random.default_rng(3).integers(0, config.codes,
                                                       (config.rows, config.row_codes))

    def make(self):
        rows = Rows(self.config)
        del rows.valid, rows.part, rows.address, rows.beat
        box = Mailbox(128)
        del box.put, box.full
        unit = UnitState()
        del unit.idle
        return store_unit, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "box": box,
            "unit": unit, "bus": Master(), "wdata": word(self.config.port_bits), "rows": rows,
            "config": self.config}

    def row(self, number: int) -> int:
        cells = self.cells[number]
        return sum(int(code) << self.config.code_bits * i for i, code in enumerate(cells))

    def stimulus(self, ports, rng):
        self.bus = Bus(ports["bus"], self.memory, self.config.port_bytes, rng)
        ports["reset"].next = 1
        row, busy, wait = None, False, 5
        while True:
            self.bus.step(row, "wdata")
            if row and row["unit_ending"]:
                busy, wait = False, rng.randint(0, 3)
            ports["reset"].next = self.bus.cycle < 2
            looks = row and row["rows_re"]
            ports["rows"].out.next = (self.row(row["rows_read_address"]) if looks
                                      else rng.randrange(1 << len(ports["rows"].out)))
            ports["box"].take.next = False
            ports["box"].word.next = rng.randrange(1 << 128)
            if not busy and wait == 0:
                unit = max(1, self.config.port_bytes // 16)
                rows = rng.choice((1, 2, rng.randint(3, 40)))
                ins = Store(address=rng.randrange(80) * unit, rows=rows,
                            row=rng.randrange(self.config.rows))
                ports["box"].word.next = int.from_bytes(ins.encode(), "little")
                ports["box"].take.next = True
                self.given.append((self.bus.cycle, ins, len(self.bus.bursts)))
                busy = True
            wait -= not busy
            row = yield

    def expected(self, cycle, ins, first):
        """Row addresses by cycle, and the end stamp; asserts the bursts."""
        per_burst = self.config.burst // self.config.beats_per_row
        reads, row, before, at = {}, 0, cycle, first
        while row < ins.rows:
            m = min(per_burst, ins.rows - row)
            reads |= {before + 1 + i: (ins.row + row + i) % self.config.rows for i in range(m)}
            burst = self.bus.bursts[at]
            assert burst.req == before + m + 2
            assert burst.address == ins.address * 16 + row * self.config.row_bytes
            assert len(burst.beats) == m * self.config.beats_per_row
            before, row, at = burst.beats[-1], row + m, at + 1
        return reads, before + 1


@pytest.mark.parametrize("name", CONFIGS)
def test_bytes_and_stamps(name):
    bench = Bench(CONFIGS[name])
    rows = replay(bench.make, 2000, bench.stimulus).rows
    config, reads, ends = bench.config, {}, []
    want = bytearray(len(bench.memory))
    for cycle, ins, first in bench.given[:-1]:
        addresses, end = bench.expected(cycle, ins, first)
        reads |= addresses
        ends.append(end)
        data = pack(bench.cells[list(addresses.values())], config).tobytes()
        want[ins.address * 16:ins.address * 16 + len(data)] = data
    over = ends[-1] + 1
    assert {t: r["rows_read_address"] for t, r in enumerate(rows[:over]) if r["rows_re"]} == reads
    assert [t for t, r in enumerate(rows[:over]) if r["unit_ending"]] == ends
    assert len(ends) > 15
    last = bench.given[-1][1]
    begin = last.address * 16
    stop = begin + last.rows * config.row_bytes
    assert bench.memory[:begin] == want[:begin] and bench.memory[stop:4096] == want[stop:4096]
