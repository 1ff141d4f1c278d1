"""The sequencer: what goes to which mailbox, and when, from the cycles of the beats."""

from __future__ import annotations

import dataclasses
import random

import pytest
from bus import Bus
from kcnn.arch.config import Config
from kcnn.arch.isa import End, Fill, Load, Run, Store, TableLoad, encode
from kcnn.rtl.port import Master
from kcnn.rtl.sequencer import HEAD_BITS, REST_BITS, sequencer
from kcnn.rtl.signals import bit, word
from kcnn.rtl.unit import Mailbox, UnitState
from myhdl import ResetSignal
from replay import replay

TINY = Config.preset("tiny")
CONFIGS = {bits: dataclasses.replace(TINY, lanes=64, port_bits=bits, burst=16, memory_codes=4096)
           for bits in (32, 64, 128, 256, 512)}
BOXES = ("load_box", "compute_box", "store_box", "stream_box")
TARGETS = {Load: ("load_box",), TableLoad: ("load_box",), Store: ("store_box",),
           Fill: ("compute_box",), Run: ("compute_box", "stream_box")}


def random_instruction(rng: random.Random):
    kind = rng.choice((Load, Store, TableLoad, Fill, Run, Run))
    if kind is Run:
        word = rng.randrange(1 << 512) & ~0xFFFF | 5
        return word.to_bytes(64, "little"), Run
    if kind is TableLoad:
        ins = TableLoad(kind=0, bank=1, first=rng.randrange(1 << 14), count=3,
                        address=rng.randrange(1 << 28))
    elif kind is Fill:
        ins = Fill(row=rng.randrange(1 << 20), rows=2, code=rng.randrange(256))
    else:
        ins = kind(row=rng.randrange(1 << 20), rows=7, address=rng.randrange(1 << 28))
    return ins.encode(), kind


class Bench:
    """Programs one after the other; boxes are emptied, units and streams idle at random."""

    def __init__(self, config):
        self.config, self.starts, self.puts = config, [], []
        self.programs: list[list] = []

    def make(self):
        ports = {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "start": bit(),
                 "done": bit(), "bus": Master(), "rdata": word(self.config.port_bits),
                 "head": word(HEAD_BITS), "rest": word(REST_BITS)}
        for name in BOXES:
            ports[name] = Mailbox(1)
            del ports[name].take, ports[name].word
        for name in ("load", "compute", "store"):
            ports[name] = UnitState()
            del ports[name].ending
        return sequencer, ports | {"stream_idle": bit(), "config": self.config}

    def stimulus(self, ports, rng):
        memory = bytearray(1 << 13)
        self.bus = Bus(ports["bus"], memory, self.config.port_bytes, rng, ports["rdata"])
        ports["reset"].next = 1
        row, running, wait = None, False, 4
        while True:
            self.bus.step(row)
            cycle = self.bus.cycle
            ports["reset"].next = cycle < 2
            for name in BOXES:
                if row and row[f"{name}_put"]:
                    ports[name].full.next = True
                elif rng.random() < 0.3:
                    ports[name].full.next = False
            for state in (ports["load"].idle, ports["compute"].idle, ports["store"].idle,
                          ports["stream_idle"]):
                state.next = rng.random() < 0.7
            if running and row["done"] and cycle > self.starts[-1] + 1:
                running, wait = False, rng.randint(1, 4)
            ports["start"].next = False
            if not running and wait == 0:
                program = [random_instruction(rng) for _ in range(rng.randint(0, 9))]
                data = b"".join(code for code, _ in program) + encode([End()])
                memory[:len(data)] = data
                self.programs.append(program)
                self.starts.append(cycle)
                ports["start"].next, running = True, True
            wait -= not running
            row = yield

    def fetch(self, first, count, req, at):
        """Checks the burst for bytes first .. first+count-1; the cycle of its last beat."""
        size = self.config.port_bytes
        burst = self.bus.bursts[at]
        low, high = first // size, (first + count - 1) // size
        assert (burst.req, burst.address, len(burst.beats)) == (req, low * size, high - low + 1)
        return burst.beats[-1]

    def check(self, rows):
        """Programs that were checked from start to done."""
        at, checked = 0, 0
        for start, program in zip(self.starts, self.programs, strict=True):
            assert rows[start + 1]["done"] == 0
            req, address = start + 1, 0
            for code, kind in [*program, (bytes(16), End)]:
                if at + 2 > len(self.bus.bursts) or not self.bus.bursts[at + 1].beats:
                    return checked
                cycle = self.fetch(address, 16, req, at) + 1
                at += 1
                if kind is Run:
                    cycle = self.fetch(address + 16, 48, cycle + 1, at) + 1
                    at += 1
                while not self.ready(rows[cycle], kind):
                    assert not any(rows[cycle][f"{name}_put"] for name in BOXES)
                    cycle += 1
                    if cycle + 1 == len(rows):
                        return checked
                puts = tuple(name for name in BOXES if rows[cycle][f"{name}_put"])
                assert puts == TARGETS.get(kind, ())
                whole = rows[cycle]["head"] | rows[cycle]["rest"] << HEAD_BITS
                if kind is not End:
                    assert whole % (1 << 8 * len(code)) == int.from_bytes(code, "little")
                    assert rows[cycle + 1]["done"] == 0
                req, address = cycle + 1, address + len(code)
            assert (rows[cycle]["done"], rows[cycle + 1]["done"]) == (0, 1)
            checked += 1
        return checked

    @staticmethod
    def ready(row, kind):
        if kind is not End:
            return not any(row[f"{name}_full"] for name in TARGETS[kind])
        return (not any(row[f"{name}_full"] for name in BOXES)
                and row["load_idle"] and row["compute_idle"] and row["store_idle"]
                and row["stream_idle"])


@pytest.mark.parametrize("bits", CONFIGS)
def test_instructions_are_dispatched_in_the_stated_cycles(bits):
    bench = Bench(CONFIGS[bits])
    rows = replay(bench.make, 1500, bench.stimulus).rows
    assert bench.check(rows) > 6
