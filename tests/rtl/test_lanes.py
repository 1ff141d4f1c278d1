"""Decode tables, maxima and cluster sums against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from core_bench import Part
from kcnn.arch.config import Config
from kcnn.rtl.lanes import cluster_sums, decode, maxima, signs_of
from kcnn.rtl.multipliers import SIGNS, ClusterEnd
from kcnn.rtl.signals import bit, number, word, wrapping
from kcnn.rtl.tables import TablePorts
from myhdl import ResetSignal, always_comb, block
from replay import replay

CONFIG = Config.preset("tiny")
BITS = 4


def reset_signal():
    return ResetSignal(0, active=1, isasync=False)


@block
def largest(clk, reset, value0, value1, valid, last, max_run, best0, best1):
    """The maxima of two lanes between ports."""
    values = [number(9) for _ in range(2)]
    best = [number(9) for _ in range(2)]
    inner = maxima(clk, reset, valid, last, max_run, values, best, 2, BITS)

    @always_comb
    def cut():
        values[0].next = value0
        values[1].next = value1

    @always_comb
    def pack():
        best0.next = best[0]
        best1.next = best[1]

    return inner, cut, pack


def test_the_maximum_of_a_run_is_the_first_largest_by_its_lowest_bits():
    def make():
        return largest, {"clk": bit(), "reset": reset_signal(), "value0": number(9),
                         "value1": number(9), "valid": bit(), "last": bit(), "max_run": bit(),
                         "best0": number(9), "best1": number(9)}

    def stimulus(ports, rng):
        ports["reset"].next = 1
        yield
        ports["reset"].next = 0
        cycle = 0
        while True:
            if cycle % 60 == 0:
                ports["valid"].next = ports["last"].next = 1      # ends the cluster before
                yield
                ports["max_run"].next = cycle % 120 < 60
            ports["value0"].next = rng.randrange(-256, 256)
            ports["value1"].next = rng.randrange(16) if rng.random() < 0.9 else -1
            ports["valid"].next, ports["last"].next = rng.random() < 0.7, rng.random() < 0.25
            cycle += 1
            yield

    rows = replay(make, 500, stimulus).rows
    running: list = []
    for now, after in zip(rows[1:], rows[2:], strict=False):
        if not now["valid"]:
            continue
        running.append((now["value0"], now["value1"]))
        lanes = np.transpose(running).tolist() if now["max_run"] else np.transpose(running[-1:])
        assert [after["best0"], after["best1"]] == [max(x, key=lambda v: v % 16) for x in lanes]
        if now["last"]:
            running = []


@block
def tables(clk, active, ports, which, codes, joined, lanes):
    """Decode tables with one wide port for the values."""
    values = [wrapping(9) for _ in range(lanes)]
    blocks = decode(clk, active, ports, which, codes, values, BITS)

    @always_comb
    def pack():
        for i in range(lanes):
            for b in range(9):
                joined.next[9 * i + b] = values[i][b]

    return blocks, pack


@pytest.mark.parametrize("lanes", [4, 8])
def test_every_lane_reads_its_own_table(lanes):
    def make():
        return tables, {"clk": bit(), "active": bit(),
                        "ports": Part(TablePorts(CONFIG), "decode_we", "decode_at", "value"),
                        "which": bit(), "codes": word(lanes * BITS), "joined": word(9 * lanes),
                        "lanes": lanes}

    def stimulus(ports, rng):
        ports["active"].next = 1
        while True:
            write = ports["ports"]
            write.decode_we.next, write.decode_at.next = rng.random() < 0.4, rng.randrange(32)
            write.value.next = rng.randrange(-256, 256)
            ports["which"].next = rng.randrange(2)
            ports["codes"].next = rng.getrandbits(lanes * BITS)
            yield

    rows = replay(make, 400, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    entries = [0] * 32
    for now, after in zip(rows, rows[1:], strict=False):
        for i in range(lanes):
            at = now["which"] << 4 | now["codes"] >> (4 * i) & 15
            assert after["joined"] >> (9 * i) & 511 == entries[at] % 512
        if now["ports_decode_we"]:
            entries[now["ports_decode_at"]] = now["ports_value"]


def test_a_sign_is_kept_in_registers_that_are_not_alike():
    def make():
        return signs_of, {"clk": bit(), "active": bit(), "negative": bit(), "valid": bit(),
                          "signs": word(SIGNS)}

    def stimulus(ports, rng):
        while True:
            for name in ("active", "negative", "valid"):
                ports[name].next = rng.random() < 0.7
            yield

    rows = replay(make, 200, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    seen = set()
    for now, after in zip(rows, rows[1:], strict=False):
        if not now["active"]:
            assert after["signs"] == now["signs"]
        elif now["valid"]:
            assert after["signs"] == (0b01010101 if now["negative"] else 0b10101010)
        seen.add(after["signs"])
    columns = {tuple(signs >> k & 1 for signs in seen) for k in range(SIGNS)}
    assert len(columns) == SIGNS


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
                      "tap": Part(ClusterEnd(CONFIG), "valid", "last", "negative"),
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
            tap.negative.next = rng.choice((0b01010101, 0b10101010))
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
        value = np.array([now["value0"], now["value1"]]) * (-1 if now["tap_negative"] & 1 else 1)
        total = value if now["max_run"] else total + value
        if now["tap_last"]:
            half = 1 << (sum_bits - 1)
            wanted = ((total + half) % (2 * half) - half).tolist()
            assert [after["sum0"], after["sum1"]] == wanted
            total = np.zeros(2, np.int64)
            ends += 1
    assert ends > 30
