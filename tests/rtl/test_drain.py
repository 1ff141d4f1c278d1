"""The drain's front: operations, addresses and cycles against the definition."""

from __future__ import annotations

import dataclasses
import random

import pytest
from core_bench import Part, random_run
from core_model import addresses_of, chunks_of, is_inside, operations_of
from kcnn.arch.config import Config
from kcnn.arch.latency import PLACE, operation_to_digit
from kcnn.arch.timing import drain_latency
from kcnn.rtl.drain import Flow, drain
from kcnn.rtl.fields import Fields
from kcnn.rtl.signals import bit, word
from myhdl import ResetSignal, always_comb, block
from replay import replay

FIELDS = ("channels", "pitch", "image_rows", "images", "height", "width", "dst", "dst_channel",
          "dst_plane", "dst_image", "x_step", "x_wrap", "y_step", "y_wrap", "split", "x_start",
          "x_mod", "y_start", "y_mod")
CYCLES = 450
MACHINES = [{"lanes": 4, "drain": 1, "share": 2}, {"lanes": 8, "drain": 2, "share": 4},
            {"lanes": 8, "drain": 4, "share": 1}, {"lanes": 4, "drain": 4, "share": 1}]


@block
def between_ports(clk, reset, start, complete, fields, drained, ended, at_total, multiplier, head,
                  digit, served, joined, active, config):
    """The drain, with addresses as one wide port."""
    flow = Flow(config)
    addresses = flow.addresses
    positions, width = config.drain, config.address_bits
    inner = drain(clk, reset, start, complete, fields, drained, ended, flow, config)

    @always_comb
    def show():
        at_total.next = flow.at_total
        multiplier.next = flow.multiplier
        head.next = flow.head
        digit.next = flow.digit
        served.next = flow.served
        active.next = flow.active
        for d in range(positions):
            for b in range(width):
                joined.next[width * d + b] = addresses[d][b]

    return inner, show


def make_for(config):
    def make():
        flow = Flow(config)
        ports = {name: bit() for name in ("clk", "start", "complete", "drained", "ended")}
        return between_ports, ports | {
            "reset": ResetSignal(0, active=1, isasync=False),
            "fields": Part(Fields(config), *FIELDS, "last_digit"), "at_total": flow.at_total,
            "multiplier": flow.multiplier, "head": flow.head, "digit": flow.digit,
            "served": flow.served, "active": flow.active, "config": config,
            "joined": word(config.drain * config.address_bits)}
    return make


@dataclasses.dataclass
class Expected:
    """What must be seen, by cycle: operations {cycle: ...}, ends of chunks and of RUNs."""

    operations: dict[int, tuple]
    drained: set[int]
    ended: set[int]


class Chunks:
    """Completes the chunks of random RUNs at random times, and keeps what must follow."""

    def __init__(self, config, count, rng):
        self.config, self.rng = config, rng
        self.runs = [random_run(config, rng, 0) for _ in range(count)]
        self.chunk = self.channel = 0
        self.expected = Expected({}, set(), set())

    def __call__(self, ports, rng):
        ports["reset"].next = 1
        yield
        ports["reset"].next = 0
        yield
        self.cycle = 2
        for run in self.runs:
            yield from self.execute(ports, run)
        while True:
            yield

    def execute(self, ports, run):
        for name in FIELDS:
            getattr(ports["fields"], name).next = getattr(run, name)
        ports["fields"].last_digit.next = run.digits - 1
        ports["start"].next = 1
        yield
        ports["start"].next = 0
        self.cycle += 1
        yield from self.pause(8)
        end, ends = 0, []
        for k in range(run.channels):
            for places in chunks_of(run, self.config.lanes):
                while len(ends) >= 4 and ends[-4] >= self.cycle:
                    yield from self.pause(1)
                yield from self.pause(self.rng.choice((0, 0, 1, 9)))
                ports["complete"].next = 1
                yield
                ports["complete"].next = 0
                self.cycle += 1
                end = self.chunk_from(run, k, places, max(self.cycle, end + 1))
                ends.append(end)
            self.channel += 1
        self.expected.ended.add(end + drain_latency(self.config) + 1)
        yield from self.pause(end + drain_latency(self.config) + 2 - self.cycle)

    def pause(self, cycles):
        for _ in range(cycles):
            yield
        self.cycle += cycles

    def chunk_from(self, run, k, places, cycle):
        """The operations of a chunk whose first one is in `cycle`; returns that of the last."""
        config = self.config
        to = [addresses_of(run, k, digit, config.memory_codes) for digit in range(run.digits)]
        turns = [operations_of(run, config, places, address) for address in to]
        for step in range(config.drain_steps):
            for digit in range(run.digits):
                for lanes in turns[digit][step]:
                    first = step * config.drain
                    cells = {lane - first: to[digit](places[lane]) for lane in lanes
                             if is_inside(run, places[lane])}
                    self.expected.operations[cycle] = (self.chunk % 4, first, self.channel % 8,
                                                       digit, cells)
                    cycle += 1
        self.chunk += 1
        self.expected.drained.add(cycle - 1)
        return cycle - 1


@pytest.mark.parametrize("fields", MACHINES, ids=lambda f: f"P{f['lanes']}D{f['drain']}")
def test_operations_go_as_soon_as_chunk_and_banks_allow(fields):
    config = dataclasses.replace(Config.preset("tiny"), memory_codes=1024, **fields)
    stimuli = []

    def stimulus(ports, rng):
        stimuli.append(Chunks(config, 6, random.Random(str(fields))))
        return stimuli[-1](ports, rng)

    tools = ("iverilog", "ghdl", "verilator") if config.lanes == 8 else ("iverilog",)
    rows = replay(make_for(config), CYCLES, stimulus, tools=tools).rows
    wanted = stimuli[-1].expected
    assert {t for t, row in enumerate(rows) if row["drained"]} == in_time(wanted.drained)
    assert {t for t, row in enumerate(rows) if row["ended"]} == in_time(wanted.ended)
    group, late = config.multipliers, 8 + config.code_bits
    step_bits = config.share.bit_length() - 1
    for o, (bank, first, channel, digit, cells) in wanted.operations.items():
        if o + late >= len(rows):
            continue
        assert rows[o + PLACE]["at_total"] == bank << step_bits | first // group
        assert rows[o + 2]["multiplier"] == first % group
        assert (rows[o + 4]["head"], rows[o + operation_to_digit()]["digit"]) == (channel, digit)
        assert rows[o + late]["served"] == sum(1 << d for d in cells)
        for d, address in cells.items():
            assert rows[o + late]["joined"] >> (10 * d) & 1023 == address
    idle = [row for t, row in enumerate(rows) if t - late not in wanted.operations]
    assert all(row["served"] == 0 for row in idle)
    assert len(in_time(wanted.drained)) > 10


def in_time(cycles):
    return {cycle for cycle in cycles if cycle < CYCLES}
