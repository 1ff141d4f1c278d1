"""Requantize, saturation and digits against fixed.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from core_bench import Part
from kcnn.arch import fixed
from kcnn.arch.config import Config
from kcnn.arch.latency import HEAD, NARROW, REQUANTIZE, SCALE
from kcnn.rtl.fields import Fields
from kcnn.rtl.requantize import channel_heads, narrow, requantize
from kcnn.rtl.signals import Heads, bit, number, word, wrapping
from myhdl import ResetSignal
from replay import replay

CONFIG = Config.preset("tiny")


@pytest.mark.parametrize("total_bits", [25, 32])
def test_v_is_that_of_fixed_requantize(total_bits):
    def make():
        return requantize, {"clk": bit(), "active": bit(), "total": number(total_bits),
                            "shift": word(2), "scale": word(16), "bias": wrapping(32),
                            "v": number(fixed.V_BITS)}

    def stimulus(ports, rng):
        ports["active"].next = 1
        for cycle in range(400):
            ports["shift"].next = cycle // 100
            size = rng.choice((4, 12, 20, total_bits - 1))
            ports["total"].next = rng.randrange(-(1 << size), 1 << size)
            ports["scale"].next = rng.choice((0, 1, 65535, rng.getrandbits(16)))
            ports["bias"].next = rng.choice((-(1 << 31), (1 << 31) - 1, 1 << 15,
                                             rng.randrange(-(1 << 31), 1 << 31)))
            yield

    rows = replay(make, 400, stimulus).rows
    for t in range(1, 395):
        if rows[t]["shift"] != rows[t + REQUANTIZE]["shift"]:
            continue
        wanted = fixed.requantize(np.array(rows[t]["total"]), fixed.SHIFTS[rows[t]["shift"]],
                                  np.array(rows[t + SCALE]["scale"]), np.array(rows[t + 3]["bias"]))
        assert rows[t + REQUANTIZE]["v"] == wanted


@pytest.mark.parametrize("code_bits", [4, 5, 8])
def test_narrow_saturates_and_cuts_digits(code_bits):
    config = dataclasses.replace(CONFIG, code_bits=code_bits)

    def make():
        return narrow, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                        "active": bit(), "v": number(fixed.V_BITS),
                        "total": number(25), "digit": word(2),
                        "fields": Part(Fields(config), "max_run", "clip", "order"),
                        "clustered": word(fixed.CLUSTER_BITS + 1), "direct": word(code_bits),
                        "code_bits": code_bits}

    widths = [2, 3, 7, 8, 12, 15, 16]

    def stimulus(ports, rng):
        ports["active"].next = 1
        cycle = 0
        while True:
            width = widths[cycle // 100 % len(widths)]
            ones = (1 << fixed.V_BITS) - 1
            ports["fields"].clip.next = ones >> (width - 1) << (width - 1)
            ports["fields"].max_run.next = cycle >= 700
            ports["fields"].order.next = cycle // 50 % 16
            size = rng.choice((3, 8, 10, 11, 15, 19))
            ports["v"].next = rng.randrange(-(1 << size), 1 << size)
            ports["total"].next = rng.randrange(-(1 << 24), 1 << 24)
            ports["digit"].next = rng.randrange(4)
            cycle += 1
            yield

    rows = replay(make, 800, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    for t in range(5, 795):
        v = np.array(rows[t]["v"])
        if v > 1023:
            assert 2048 <= rows[t + NARROW]["clustered"] < 3072
        else:
            assert rows[t + NARROW]["clustered"] == fixed.saturate(v, fixed.CLUSTER_BITS) + 1024
        if rows[t + 2]["fields_max_run"] != rows[t]["fields_max_run"] or t % 100 > 97:
            continue
        if rows[t]["fields_max_run"]:
            rank = rows[t - 4]["total"] - rows[t - 4]["fields_order"]
            assert rows[t + 2]["direct"] == rank % (1 << code_bits)
        else:
            digits = fixed.radix_digits(v, 4, widths[t // 100], code_bits)
            assert rows[t + 2]["direct"] == digits[rows[t + 1]["digit"]]


def test_heads_are_read_in_time_for_their_totals():
    def make():
        return channel_heads, {"clk": bit(), "active": bit(), "heads": Heads(), "index": word(3),
                               "scale": word(16), "bias": wrapping(32)}

    def stimulus(ports, rng):
        heads = ports["heads"]
        ports["active"].next = 1
        while True:
            heads.index.next = rng.randrange(8)
            heads.scale_we.next, heads.bias_we.next = rng.random() < 0.3, rng.random() < 0.3
            heads.scale.next, heads.bias.next = rng.getrandbits(16), rng.getrandbits(32)
            ports["index"].next = rng.randrange(8)
            yield

    rows = replay(make, 300, stimulus).rows
    scales, biases = [0] * 8, [0] * 8
    for t in range(298):
        row = rows[t]
        assert rows[t + HEAD]["scale"] == scales[row["index"]]
        if t:
            assert rows[t + 1]["bias"] == biases[rows[t - 1]["index"]]
        if row["heads_scale_we"]:
            scales[row["heads_index"]] = row["heads_scale"]
        if row["heads_bias_we"]:
            bias = row["heads_bias"]
            biases[row["heads_index"]] = bias - (bias >> 31 << 32)
