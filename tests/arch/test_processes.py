"""Processes without a clock: queues, and bursts in the order of time and of masters."""

from __future__ import annotations

from collections import deque

from kcnn.arch.config import Config
from kcnn.arch.processes import Burst, simulate
from kcnn.arch.timing import Master

TINY = Config.preset("tiny")           # a burst of n beats: request, command, 8 clocks, n
BEAT = 2 + TINY.latency


def bursts(master, wanted, found):
    """A process that asks for bursts (visible, beats) and notes their last beats."""
    for visible, beats in wanted:
        found.append((master, (yield Burst(master, visible, beats))))
    return 0


def test_a_free_port_serves_at_once():
    found = []
    simulate([bursts(Master.LOAD, [(5, 3)], found)], TINY)
    assert found == [(Master.LOAD, 5 + BEAT + 3 - 1)]


def test_the_first_to_ask_is_served_then_the_first_master():
    found = []
    simulate([bursts(Master.SEQUENCER, [(2, 1)], found), bursts(Master.STORE, [(3, 1)], found),
              bursts(Master.STREAM, [(4, 1), (100, 1)], found)], TINY)
    once = BEAT + 1                    # the next burst begins behind the last beat
    assert found == [(Master.SEQUENCER, 2 + once - 1), (Master.STREAM, 2 + 2 * once - 1),
                     (Master.STORE, 2 + 3 * once - 1), (Master.STREAM, 100 + once - 1)]


def test_what_is_told_later_may_be_asked_for_earlier():
    """The second process is told to go on in cycle 7 by one that has run ahead to cycle 500."""
    queue, found = deque(), []

    def first():
        queue.append(7)
        return (yield from bursts(Master.LOAD, [(500, 1)], found))

    def second():
        cycle = yield queue
        return (yield from bursts(Master.STORE, [(cycle, 1)], found))

    simulate([second(), first()], TINY)
    assert [master for master, _ in found] == [Master.STORE, Master.LOAD]


def test_who_waits_for_nothing_stops():
    queue, seen = deque([1, 2]), []

    def reader():
        while True:
            seen.append((yield queue))

    simulate([reader()], TINY)
    assert seen == [1, 2]
