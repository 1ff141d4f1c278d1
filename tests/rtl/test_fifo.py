"""The FIFO against a deque."""

from __future__ import annotations

from collections import deque

import pytest
from kcnn.rtl.fifo import fifo
from kcnn.rtl.signals import bit, word
from myhdl import ResetSignal
from replay import replay


@pytest.mark.parametrize("depth", [2, 8])
def test_words_come_out_in_order_one_cycle_later(depth):
    def make():
        return fifo, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                      "clear": bit(), "put": bit(), "word_in": word(9), "take": bit(),
                      "there": bit(), "word_out": word(9), "depth": depth}

    model: deque[int] = deque()
    full = 0

    def stimulus(ports, rng):
        nonlocal full
        yield from _reset(ports)
        while True:
            busy = 0.9 if rng.random() < 0.5 else 0.3
            for _ in range(20):
                full += len(model) == depth
                assert ports["there"] == bool(model)
                if model:
                    assert ports["word_out"] == model[0]
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
                    model.popleft()
                if clear:
                    model.clear()

    replay(make, 600, stimulus)
    assert full > 20


def _reset(ports):
    ports["reset"].next = 1
    yield
    yield
    ports["reset"].next = 0
    yield
