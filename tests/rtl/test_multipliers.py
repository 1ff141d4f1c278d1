"""Multipliers against sums of products, with clusters as close together as M allows."""

from __future__ import annotations

import dataclasses

import pytest
from core_bench import Part
from kcnn.arch.config import Config
from kcnn.rtl.multipliers import ClusterEnd, lane_multipliers, shared_multipliers
from kcnn.rtl.signals import bit, word, wrapping
from myhdl import ResetSignal, always_comb, block
from replay import replay

TB = 4


@block
def cut(source, parts):
    """parts[i]: bits i*n.. of `source`, two's complement."""
    count, width = len(parts), len(parts[0])

    @always_comb
    def slices():
        for i in range(count):
            for b in range(width):
                parts[i].next[b] = source[width * i + b]

    return slices


@block
def pack(parts, joined):
    """The opposite of `cut`."""
    count, width = len(parts), len(parts[0])

    @always_comb
    def slices():
        for i in range(count):
            for b in range(width):
                joined.next[width * i + b] = parts[i][b]

    return slices


@block
def shared_between_ports(clk, reset, moving, tap, amounts, at_total, joined, complete, config):
    """The multipliers with sums and totals as wide ports."""
    sums = [wrapping(config.sum_bits) for _ in range(config.lanes)]
    reads = [wrapping(config.total_bits) for _ in range(config.multipliers)]
    return cut(amounts, sums), pack(reads, joined), shared_multipliers(
        clk, reset, moving, tap, sums, at_total, reads, complete, config)


@block
def alone_between_ports(clk, reset, max_run, tap, amounts, at_total, joined, complete, config):
    """The same for M = 1, with values for sums."""
    values = [wrapping(config.value_bits) for _ in range(config.lanes)]
    reads = [wrapping(config.total_bits) for _ in range(config.lanes)]
    return cut(amounts, values), pack(reads, joined), lane_multipliers(
        clk, reset, tap, max_run, values, at_total, reads, complete, config)


def make_for(config):
    def make():
        width = config.value_bits if config.share == 1 else config.sum_bits
        step_bits = config.share.bit_length() - 1
        block, mode = ((alone_between_ports, "max_run") if config.share == 1
                       else (shared_between_ports, "moving"))
        return block, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), mode: bit(),
            "tap": Part(ClusterEnd(config), "valid", "last", "closing", "factor"),
            "amounts": word(width * config.lanes),
            "at_total": word(2 + step_bits),
            "joined": word(config.total_bits * config.multipliers), "complete": bit(),
            "config": config}
    return make


class Multiplied:
    """Random clusters of random chunks, and what must come of them."""

    def __init__(self, config, rng):
        self.config = config
        self.width = config.value_bits if config.share == 1 else config.sum_bits
        self.rng, self.chunk, self.first = rng, 0, True
        self.totals = [0] * config.lanes
        self.wanted: dict[int, tuple[int, list[int]]] = {}     # complete cycle: bank, totals

    def run(self, cycle, counts):
        """A cluster (M = 1: a tap) that ends in this cycle: factor, sums, if it ends its chunk."""
        half = 1 << (self.config.factor_bits - 1)
        factor = self.rng.choice((-half, half - 1, self.rng.randrange(-half, half)))
        limit = 1 << (self.width - 1)
        sums = [self.rng.choice((-limit, limit - 1, self.rng.randrange(-limit, limit)))
                for _ in range(self.config.lanes)]
        closing = counts and self.rng.random() < 0.4
        if counts:
            if self.first:
                self.totals = [0] * self.config.lanes
            self.totals = [t + factor * s for t, s in zip(self.totals, sums, strict=True)]
            self.first = closing
        if closing:
            late = 1 if self.config.share == 1 else self.config.share + 2
            self.wanted[cycle + late] = self.chunk % TB, list(self.totals)
            self.chunk += 1
        return factor, sums, closing

    def packed(self, sums):
        return sum((s & ((1 << self.width) - 1)) << (self.width * i) for i, s in enumerate(sums))


MACHINES = [{"lanes": 4, "share": 1}, {"lanes": 4, "share": 2}, {"lanes": 8, "share": 4},
            {"lanes": 8, "share": 8, "factor_bits": 12, "sum_bits": 18}]


@pytest.mark.parametrize("fields", MACHINES, ids=lambda f: f"M{f['share']}")
def test_totals_are_complete_when_announced(fields):
    config = dataclasses.replace(Config.preset("tiny"), **fields)
    share, alone = config.share, config.share == 1
    step_bits = share.bit_length() - 1
    models = []

    def stimulus(ports, rng):
        model = Multiplied(config, rng)
        models.append(model)
        tap = ports["tap"]
        ports["reset"].next = 1
        ports["max_run" if alone else "moving"].next = not alone
        yield
        ports["reset"].next = 0
        cycle, free, pending, reads = 1, 0, None, []
        while True:
            if pending is not None:
                ports["amounts"].next = pending
                pending = None
            go = cycle >= free and rng.random() < 0.8
            last = rng.random() < 0.5 if alone else go
            max_run = alone and cycle >= 200
            if alone:
                ports["max_run"].next = max_run
            tap.valid.next, tap.last.next = go, last
            tap.closing.next = 0
            if go:
                free = cycle + share
                counts = last if alone else True
                if alone and not max_run and not last:
                    counts, last = True, rng.random() < 0.5
                    tap.last.next = last
                factor, sums, closing = model.run(cycle, counts and (last or not max_run))
                if alone and closing:
                    tap.last.next = 1
                tap.factor.next, tap.closing.next = factor, closing
                if alone:
                    ports["amounts"].next = model.packed(sums)
                else:
                    pending = model.packed(sums)
            if cycle in model.wanted:
                bank = model.wanted[cycle][0]
                reads += [(cycle + 2 + s, bank << step_bits | s) for s in range(share)]
            for when, at in reads:
                if when == cycle:
                    ports["at_total"].next = at
            cycle += 1
            yield

    rows = replay(make_for(config), 400, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    wanted = models[-1].wanted
    assert {t for t, row in enumerate(rows) if row["complete"]} == {t for t in wanted if t < 400}
    assert len(wanted) > 10
    bits, checked = config.total_bits, 0
    for cycle, (_, totals) in wanted.items():
        for step in range(share):
            if cycle + 3 + step >= len(rows):
                continue
            joined = rows[cycle + 3 + step]["joined"]
            for j in range(config.multipliers):
                lane = step * config.multipliers + j
                assert joined >> (bits * j) & ((1 << bits) - 1) == totals[lane] % (1 << bits)
                checked += 1
    assert checked > 50
