"""Clustering against fixed.cluster, all over the search's range and above it."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from core_bench import Part
from kcnn.arch import fixed, latency
from kcnn.arch.config import Config
from kcnn.rtl.clustering import clustering
from kcnn.rtl.fields import Fields
from kcnn.rtl.signals import bit, word
from kcnn.rtl.tables import THRESHOLD_BITS, TablePorts
from myhdl import ResetSignal
from replay import replay


def make_for(config):
    def make():
        return clustering, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "active": bit(),
            "ports": Part(TablePorts(config), "cluster_we", "cluster_at", "threshold", "code"),
            "fields": Part(Fields(config), "cluster_bank", "clustered"),
            "value": word(THRESHOLD_BITS), "direct": word(config.code_bits),
            "code": word(config.code_bits), "code_bits": config.code_bits}
    return make


@pytest.mark.parametrize("code_bits, tools", [(4, ("iverilog", "ghdl", "verilator", "yosys")),
                                              (6, ("iverilog",))])
def test_codes_are_those_of_fixed_cluster(code_bits, tools):
    config = dataclasses.replace(Config.preset("tiny"), code_bits=code_bits, lanes=8)
    count, rng = config.codes, random.Random(code_bits)
    thresholds = [sorted(rng.choices(range(-1100, 1100), k=count)),
                  sorted(rng.choices((-1024, -5, 0, 3, 1023, 1024), k=count))]
    codes = [[rng.randrange(count) for _ in range(count)] for _ in range(2)]

    def stimulus(ports, rng):
        table, fields = ports["ports"], ports["fields"]
        table.cluster_we.next = 1
        for bank in range(2):
            for i in range(count):
                table.cluster_at.next = bank << code_bits | i
                threshold = max(thresholds[bank][i], -1024) + 1024
                table.threshold.next = threshold if threshold < 2048 else 3072
                table.code.next = codes[bank][i]
                yield
        table.cluster_we.next = 0
        ports["active"].next = 1
        for bank in range(2):
            fields.cluster_bank.next = bank
            for value in range(2048):
                fields.clustered.next = value < 2040
                above = 2048 + rng.randrange(1024)       # stands for any that is too great
                ports["value"].next = above if value % 16 == 15 else value
                ports["direct"].next = rng.randrange(count)
                yield
        while True:
            yield

    rows = replay(make_for(config), 2 * count + 4096, stimulus, tools=tools).rows
    checked = 0
    for t in range(2 * count, len(rows) - code_bits - 1):
        later = rows[t + latency.clustering(config)]
        bank = rows[t]["fields_cluster_bank"]
        if not (rows[t + code_bits]["fields_clustered"] and rows[t]["fields_clustered"]) \
                or rows[t + code_bits]["fields_cluster_bank"] != bank:
            continue
        value = min(rows[t]["value"], 2047) - 1024
        wanted = fixed.cluster(np.array(value), np.array(thresholds[bank][1:]),
                               np.array(codes[bank]))
        assert later["code"] == wanted, (bank, value)
        checked += 1
    assert checked > 4000
    for t in range(len(rows) - 20, len(rows) - code_bits):
        if not rows[t + code_bits - 1]["fields_clustered"]:
            assert rows[t + code_bits]["code"] == rows[t]["direct"]
