"""Delay lines and activity flags."""

from __future__ import annotations

import pytest
from kcnn.rtl.delay import activity, delay_line
from kcnn.rtl.signals import bit, word
from myhdl import ResetSignal
from replay import replay


@pytest.mark.parametrize("cycles", [2, 7])
def test_a_delay_line_counts_active_cycles(cycles):
    def make():
        return delay_line, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                            "active": bit(), "source": word(5), "delayed": word(5),
                            "cycles": cycles}

    def stimulus(ports, rng):
        while True:
            ports["reset"].next = rng.random() < 0.02
            ports["active"].next = rng.random() < 0.7
            ports["source"].next = rng.randrange(32)
            yield

    rows = replay(make, 200, stimulus).rows
    line = [0] * cycles
    for row in rows:
        assert row["delayed"] == line[0]
        if row["reset"]:
            line = [0] * cycles
        elif row["active"]:
            line = line[1:] + [row["source"]]


def test_activity_lasts_as_long_as_it_must_and_ends():
    def make():
        return activity, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                          "entering": bit(), "active": bit(), "cycles": 9}

    def stimulus(ports, rng):
        while True:
            ports["entering"].next = rng.random() < 0.06
            yield

    rows = replay(make, 400, stimulus).rows
    entries = [t for t, row in enumerate(rows) if row["entering"]]
    for t, row in enumerate(rows):
        since = min((t - e for e in entries if e < t), default=99)
        if since <= 9:
            assert row["active"]
        if since > 10:
            assert not row["active"]
