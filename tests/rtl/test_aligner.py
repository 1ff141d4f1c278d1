"""The aligner against a rotation of the row pair."""

from __future__ import annotations

import dataclasses

import pytest
from kcnn.arch.config import Config
from kcnn.arch.latency import MERGE, rotate_levels
from kcnn.rtl.aligner import aligner
from kcnn.rtl.signals import bit, word
from replay import replay


@pytest.mark.parametrize("lanes, code_bits", [(4, 4), (8, 5), (16, 4), (64, 4)])
def test_lanes_get_the_codes_of_every_window(lanes, code_bits):
    config = dataclasses.replace(Config.preset("tiny"), lanes=lanes, code_bits=code_bits)
    width = config.word_bits

    def make():
        return aligner, {"clk": bit(), "active": bit(), "offset": word(config.lane_bits + 1),
                         "even": word(width), "odd": word(width), "codes": word(width),
                         "config": config}

    def stimulus(ports, rng):
        ports["active"].next = 1
        order = list(range(2 * lanes)) * 2
        rng.shuffle(order)
        for offset in order:
            ports["offset"].next = offset
            ports["even"].next, ports["odd"].next = rng.getrandbits(width), rng.getrandbits(width)
            yield
        ports["active"].next = 0
        while True:
            ports["even"].next = rng.getrandbits(width)
            yield

    rows = replay(make, 4 * lanes + 4, stimulus).rows
    delay = MERGE + rotate_levels(config)
    for t in range(1, 4 * lanes - delay):
        pair = rows[t]["even"] | rows[t]["odd"] << width
        shift = rows[t - 1]["offset"] * code_bits
        turned = pair >> shift | pair << (2 * width - shift)
        assert rows[t + delay]["codes"] == turned & ((1 << width) - 1)
    assert rows[-1]["codes"] == rows[-2]["codes"] == rows[-3]["codes"]
