"""Equality of two words."""

from __future__ import annotations

import pytest
from kcnn.rtl.equal import equal
from kcnn.rtl.signals import bit, word
from replay import replay


@pytest.mark.parametrize("width, tools", [(4, ("iverilog", "ghdl", "verilator", "yosys")),
                                          (5, ("iverilog", "ghdl")),
                                          (16, ("iverilog", "ghdl"))])
def test_only_words_of_the_same_bits_are_equal(width, tools):
    def make():
        return equal, {"one": word(width), "other": word(width), "same": bit()}

    def stimulus(ports, rng):
        while True:
            one = rng.getrandbits(width)
            ports["one"].next = one
            ports["other"].next = one ^ rng.choice((0, 1 << rng.randrange(width),
                                                    rng.getrandbits(width)))
            yield

    rows = replay(make, 300, stimulus, tools=tools).rows
    assert all(row["same"] == (row["one"] == row["other"]) for row in rows)
    assert 50 < sum(row["same"] for row in rows) < 280
