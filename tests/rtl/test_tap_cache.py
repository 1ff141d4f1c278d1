"""The tap cache against two lists."""

from __future__ import annotations

import dataclasses

import pytest
from kcnn.arch.config import Config
from kcnn.rtl.signals import Slots, bit
from kcnn.rtl.tap_cache import SlotRead, tap_cache
from myhdl import ResetSignal
from replay import replay


@pytest.mark.parametrize("depth", [16, 1024], ids=["one memory", "two memories"])
def test_buffers_are_read_in_turn_and_free_when_told(depth):
    config = dataclasses.replace(Config.preset("tiny"), tap_slots=depth)
    seen = 0

    def make():
        slots = Slots(config)
        return tap_cache, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                           "slots": slots, "read": SlotRead(slots), "depth": depth}

    def stimulus(ports, rng):
        nonlocal seen
        slots, read = ports["slots"], ports["read"]
        contents: list[list[int]] = [[], []]
        full = [False, False]
        writing, turn, position, written = 0, 0, 0, 0
        want = at_end = None
        while True:
            if want is not None:
                assert read.slot == want
                seen += 1
            want = at_end = None
            assert slots.full == full[0] + 2 * full[1]
            assert read.there == full[int(read.turn)]
            # the writer
            slots.we.next = slots.close.next = 0
            closed = None
            if not full[writing] and rng.random() < 0.7:
                slot = rng.getrandbits(len(slots.slot))
                slots.we.next, slots.slot.next = 1, slot
                slots.buffer.next, slots.address.next = writing, written
                contents[writing] = contents[writing][:written] + [slot]
                written += 1
                if written == 16 or rng.random() < 0.2:
                    slots.close.next = 1
                    closed, written = writing, 0
            # the reader
            read.re.next = read.free.next = 0
            read.turn.next = turn
            if full[turn] and read.turn == turn and rng.random() < 0.7:
                at_end = position == len(contents[turn]) - 1
                read.re.next, read.address.next = 1, position
                want = contents[turn][position]
                position += 1
                if position == len(contents[turn]):
                    position = 0
                    if rng.random() < 0.5:
                        read.free.next = 1
                        full[turn] = False
                        turn = 1 - turn
            if closed is not None:
                full[closed] = True
                writing = 1 - closed
            values = yield
            assert at_end is None or values["read_at_end"] == at_end

    replay(make, 500, stimulus)
    assert seen > 100
