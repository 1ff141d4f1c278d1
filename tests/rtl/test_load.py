"""The load unit: every row, entry and stamp, from the cycles in which the beats came."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from bus import Bus
from kcnn.arch.config import Config
from kcnn.arch.isa import Load, Table, TableLoad
from kcnn.arch.layout import unpack
from kcnn.rtl.load import load_unit
from kcnn.rtl.port import Master
from kcnn.rtl.signals import Rows, TableWrite, bit, word
from kcnn.rtl.unit import Mailbox, UnitState
from myhdl import ResetSignal
from replay import replay

TINY = Config.preset("tiny")
CONFIGS = {"tiny": dataclasses.replace(TINY, memory_codes=256),
           "wide": dataclasses.replace(TINY, lanes=16, code_bits=5, memory_codes=1024,
                                       port_bits=64, burst=8),
           "beats of a row": dataclasses.replace(TINY, lanes=16, memory_codes=1024,
                                                 port_bits=128, burst=4)}


def packed(codes, config: Config) -> int:
    """A row as one number, each code cut to its width."""
    mask = (1 << config.code_bits) - 1
    return sum((int(code) & mask) << config.code_bits * i for i, code in enumerate(codes))


class Bench:
    """Gives random instructions and keeps what must come of them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.given: list[tuple[int, object, int]] = []       # cycle, instruction, first burst
        self.memory = bytearray()
        self.bus: Bus | None = None

    def make(self):
        rows = Rows(self.config)
        del rows.re, rows.read_address, rows.out
        box = Mailbox(128)
        del box.put, box.full
        unit = UnitState()
        del unit.idle
        return load_unit, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "box": box,
            "unit": unit, "bus": Master(), "rdata": word(self.config.port_bits), "rows": rows,
            "table": TableWrite(), "config": self.config}

    def stimulus(self, ports, rng):
        self.memory = bytearray(rng.randbytes(4096))
        self.bus = Bus(ports["bus"], self.memory, self.config.port_bytes, rng, ports["rdata"])
        ports["reset"].next = 1
        row, busy, wait = None, False, 5
        while True:
            self.bus.step(row)
            if row and row["unit_ending"]:
                busy, wait = False, rng.randint(0, 3)
            ports["reset"].next = self.bus.cycle < 2
            ports["box"].take.next = False
            ports["box"].word.next = rng.randrange(1 << 128)
            if not busy and wait == 0:
                ins = self.random(rng)
                ports["box"].word.next = int.from_bytes(ins.encode(), "little")
                ports["box"].take.next = True
                self.given.append((self.bus.cycle, ins, len(self.bus.bursts)))
                busy = True
            wait -= not busy
            row = yield

    def random(self, rng: random.Random):
        unit = max(1, self.config.port_bytes // 16)
        address = rng.randrange(100) * unit
        if rng.random() < 0.4:
            rows = rng.choice((1, 2, rng.randint(3, 3 * self.config.burst // 2)))
            return Load(address=address, row=rng.randrange(self.config.rows), rows=rows)
        kind = rng.choice(list(Table))
        count = rng.choice((1, 2, rng.randint(3, 20), rng.randint(3, 50)))
        own = {"address": address} if kind != Table.RAMP else {
            "start": rng.randrange(1 << 20), "step": rng.randrange(1 << 20),
            "pair": rng.randrange(2)}
        return TableLoad(kind=kind, bank=rng.randrange(2), first=rng.randrange(1 << 14),
                         count=count, **own)

    def expected(self, cycle, ins, first):
        """Requests {cycle: (address, beats)}, row writes, table writes and end stamp."""
        if isinstance(ins, Load):
            return self.expected_rows(cycle, ins, first)
        if ins.kind == Table.RAMP:
            mask = self.config.memory_codes - 1
            writes = {cycle + 1 + i: (int(Table.BASE), ins.bank, ins.first + i,
                                      (ins.start + i * ins.step) & mask | ins.pair << 24)
                      for i in range(ins.count)}
            return {}, {}, writes, cycle + ins.count
        return self.expected_entries(cycle, ins, first)

    def bursts_of(self, first, beats, address):
        at = first
        while beats:
            number = min(self.config.burst, beats)
            burst = self.bus.bursts[at]
            assert (burst.address, len(burst.beats)) == (address, number)
            yield burst
            at, beats, address = at + 1, beats - number, address + number * self.config.port_bytes

    def expected_rows(self, cycle, ins, first):
        per_row, reqs, writes, req, row = self.config.beats_per_row, [], {}, cycle + 1, 0
        for burst in self.bursts_of(first, ins.rows * per_row, ins.address * 16):
            reqs.append((burst.req, req))
            for beat in burst.beats[per_row - 1::per_row]:
                at = ins.address * 16 + row * self.config.row_bytes
                data = np.frombuffer(self.memory, np.uint8)[at:at + self.config.row_bytes]
                writes[beat + 1] = ((ins.row + row) % self.config.rows,
                                    packed(unpack(data, self.config), self.config))
                row += 1
            req = end = burst.beats[-1] + 1
        return reqs, writes, {}, end

    def expected_entries(self, cycle, ins, first):
        size = self.config.port_bytes
        reqs, writes, req, entry = [], {}, cycle + 1, 0
        for burst in self.bursts_of(first, -(-4 * ins.count // size), ins.address * 16):
            reqs.append((burst.req, req))
            at = burst.beats[-1] + 1
            for _ in range(min(ins.count - entry, len(burst.beats) * size // 4)):
                place = ins.address * 16 + 4 * entry
                data = int.from_bytes(self.memory[place:place + 4], "little")
                writes[at] = (ins.kind, ins.bank, ins.first + entry, data)
                at += 1
                entry += 1
            req = at
        return reqs, {}, writes, at - 1


def gathered(rows, config):
    """Rows by the cycle after their last part: address and codes."""
    width, parts, found = 2 * config.word_bits // config.beats_per_row, [], {}
    for cycle, row in enumerate(rows):
        if row["rows_valid"]:
            assert row["rows_part"] == len(parts)
            parts.append(row["rows_beat"])
            if len(parts) == config.beats_per_row:
                codes = sum(part << (width * i) for i, part in enumerate(parts))
                found[cycle + 1] = row["rows_address"], codes
                parts = []
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_entries_and_stamps(name):
    bench = Bench(CONFIGS[name])
    rows = replay(bench.make, 2500, bench.stimulus).rows
    wanted_rows, wanted_entries, ends = {}, {}, []
    for cycle, ins, first in bench.given[:-1]:
        reqs, row_writes, entry_writes, end = bench.expected(cycle, ins, first)
        assert all(seen == want for seen, want in reqs), (ins, reqs)
        wanted_rows |= row_writes
        wanted_entries |= entry_writes
        ends.append(end)
    over = ends[-1] + 1
    assert gathered(rows[:over], bench.config) == wanted_rows
    keys = ("kind", "bank", "index", "data")
    assert {t: tuple(r[f"table_{key}"] for key in keys) for t, r in enumerate(rows[:over])
            if r["table_we"]} == wanted_entries
    assert [t for t, r in enumerate(rows[:over]) if r["unit_ending"]] == ends
    assert len(ends) > 20 and len(wanted_rows) > 20 and len(wanted_entries) > 100
