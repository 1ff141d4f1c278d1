"""The FIFO against a deque."""

from __future__ import annotations

from collections import deque

import pytest
from kcnn.rtl.fifo import fifo
from kcnn.rtl.signals import bit, word
from myhdl import ResetSignal, Signal, modbv
from replay import replay


@pytest.mark.parametrize("depth", [2, 8])
def test_words_come_out_in_order(depth):
    def make():
        return fifo, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                      "clear": bit(), "put": bit(), "word_in": word(9), "take": bit(),
                      "there": bit(), "word_out": word(9),
                      "taken": Signal(modbv(0)[depth.bit_length():]), "depth": depth}

    model: deque[int] = deque()
    full = out = taken = 0

    def stimulus(ports, rng):
        nonlocal full, out, taken
        yield from _reset(ports)
        while True:
            busy = 0.9 if rng.random() < 0.5 else 0.3
            for _ in range(20):
                full += len(model) == depth
                assert ports["there"] == bool(model)
                assert (ports["word_out"], ports["taken"]) == (out, taken % (2 * depth))
                put = len(model) < depth and rng.random() < busy
                take = bool(model) and rng.random() < 0.6
                clear = rng.random() < 0.03
                ports["put"].next, ports["take"].next = put and not clear, take
                ports["clear"].next = clear
                ports["word_in"].next = rng.randrange(512)
                yield
                if put:
                    model.append(int(ports["word_in"]))
                if take:
                    out, taken = model.popleft(), taken + 1
                if clear:
                    model.clear()
                    taken = 0

    replay(make, 600, stimulus)
    assert full > 20


def _reset(ports):
    ports["reset"].next = 1
    yield
    yield
    ports["reset"].next = 0
    yield
