"""Ranks, maxima, decode tables and cluster sums against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from core_bench import Part
from kcnn.arch.config import Config
from kcnn.rtl.lanes import cluster_sums, decode, maxima, ranks_of
from kcnn.rtl.multipliers import RunEnd
from kcnn.rtl.signals import bit, number, word, wrapping
from kcnn.rtl.tables import TablePorts
from myhdl import ResetSignal, Signal, always_comb, block, modbv
from replay import replay

CONFIG = Config.preset("tiny")
LANES, BITS = 4, 4


def reset_signal():
    return ResetSignal(0, active=1, isasync=False)


@block
def front(clk, reset, active, codes, order, valid, last, max_run, joined):
    """Ranks and maxima, the latter joined to a port."""
    ranks = [Signal(modbv(0)[BITS:]) for _ in range(LANES)]
    best = [word(BITS) for _ in range(LANES)]
    parts = (ranks_of(clk, active, codes, order, ranks, LANES, BITS),
             maxima(clk, reset, valid, last, max_run, ranks, best, LANES))

    @always_comb
    def pack():
        for i in range(LANES):
            for b in range(BITS):
                joined.next[BITS * i + b] = best[i][b]

    return parts, pack


def test_the_maximum_of_a_run_is_that_of_its_ranks():
    def make():
        return front, {"clk": bit(), "reset": reset_signal(), "active": bit(),
                       "codes": word(LANES * BITS), "order": word(BITS), "valid": bit(),
                       "last": bit(), "max_run": bit(), "joined": word(LANES * BITS)}

    def stimulus(ports, rng):
        ports["reset"].next, ports["active"].next = 1, 1
        yield
        ports["reset"].next = 0
        cycle = 0
        while True:
            if cycle % 60 == 0:
                ports["valid"].next = ports["last"].next = 1      # ends the run before
                ports["codes"].next = 0
                yield
                ports["order"].next, ports["max_run"].next = rng.randrange(16), cycle % 120 < 60
            ports["codes"].next = rng.getrandbits(16)
            ports["valid"].next, ports["last"].next = rng.random() < 0.7, rng.random() < 0.25
            cycle += 1
            yield

    rows = replay(make, 500, stimulus).rows
    running: list = []
    for t in range(3, 498):
        now = rows[t]
        if not now["valid"]:
            continue
        codes = np.array([rows[t - 1]["codes"] >> (4 * i) & 15 for i in range(LANES)])
        running.append((codes + rows[t - 1]["order"]) % 16)
        wanted = np.max(running, axis=0) if now["max_run"] else running[-1]
        best = [rows[t + 1]["joined"] >> (4 * i) & 15 for i in range(LANES)]
        if t > 70:
            assert best == wanted.tolist()
        if now["last"]:
            running = []


@block
def tables(clk, active, ports, which, ranks, joined, lanes):
    """Decode tables between two wide ports."""
    split = [word(BITS) for _ in range(lanes)]
    values = [wrapping(9) for _ in range(lanes)]
    blocks = decode(clk, active, ports, which, split, values, BITS)

    @always_comb
    def cut():
        for i in range(lanes):
            for b in range(BITS):
                split[i].next[b] = ranks[BITS * i + b]

    @always_comb
    def pack():
        for i in range(lanes):
            for b in range(9):
                joined.next[9 * i + b] = values[i][b]

    return blocks, cut, pack


@pytest.mark.parametrize("lanes", [4, 8])
def test_every_lane_reads_its_own_table(lanes):
    def make():
        return tables, {"clk": bit(), "active": bit(),
                        "ports": Part(TablePorts(CONFIG), "decode_we", "decode_at", "value"),
                        "which": bit(), "ranks": word(lanes * BITS), "joined": word(9 * lanes),
                        "lanes": lanes}

    def stimulus(ports, rng):
        ports["active"].next = 1
        while True:
            write = ports["ports"]
            write.decode_we.next, write.decode_at.next = rng.random() < 0.4, rng.randrange(32)
            write.value.next = rng.randrange(-256, 256)
            ports["which"].next = rng.randrange(2)
            ports["ranks"].next = rng.getrandbits(lanes * BITS)
            yield

    rows = replay(make, 400, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    entries = [0] * 32
    for now, after in zip(rows, rows[1:], strict=False):
        for i in range(lanes):
            at = now["which"] << 4 | now["ranks"] >> (4 * i) & 15
            assert after["joined"] >> (9 * i) & 511 == entries[at] % 512
        if now["ports_decode_we"]:
            entries[now["ports_decode_at"]] = now["ports_value"]


@block
def sums(clk, reset, tap, max_run, value0, value1, sum0, sum1, sum_bits):
    """Two lanes between ports."""
    values = [number(9) for _ in range(2)]
    captured = [wrapping(sum_bits) for _ in range(2)]
    inner = cluster_sums(clk, reset, tap, max_run, values, captured, 2, sum_bits)

    @always_comb
    def cut():
        values[0].next = value0
        values[1].next = value1

    @always_comb
    def pack():
        sum0.next = captured[0]
        sum1.next = captured[1]

    return inner, cut, pack


@pytest.mark.parametrize("sum_bits", [10, 16])
def test_sums_of_runs_wrap_and_maxima_count_once(sum_bits):
    def make():
        return sums, {"clk": bit(), "reset": reset_signal(),
                      "tap": Part(RunEnd(CONFIG), "valid", "last", "negative"),
                      "max_run": bit(), "value0": number(9), "value1": number(9),
                      "sum0": number(sum_bits), "sum1": number(sum_bits), "sum_bits": sum_bits}

    def stimulus(ports, rng):
        ports["reset"].next = 1
        yield
        ports["reset"].next = 0
        cycle = 0
        while True:
            ports["max_run"].next = cycle >= 200
            tap = ports["tap"]
            tap.valid.next = rng.random() < 0.8 or cycle == 199
            tap.last.next = rng.random() < 0.2 or cycle == 199
            tap.negative.next = rng.random() < 0.5
            ports["value0"].next = rng.choice((-256, 255, rng.randrange(-256, 256)))
            ports["value1"].next = rng.randrange(-256, 256)
            cycle += 1
            yield

    rows = replay(make, 400, stimulus).rows
    total = np.zeros(2, np.int64)
    ends = 0
    for now, after in zip(rows[1:], rows[2:], strict=False):
        if not now["tap_valid"]:
            continue
        value = np.array([now["value0"], now["value1"]]) * (-1 if now["tap_negative"] else 1)
        total = value if now["max_run"] else total + value
        if now["tap_last"]:
            half = 1 << (sum_bits - 1)
            wanted = ((total + half) % (2 * half) - half).tolist()
            assert [after["sum0"], after["sum1"]] == wanted
            total = np.zeros(2, np.int64)
            ends += 1
    assert ends > 30
