"""Channels as FIFOs of a registered count, and processes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.tlm.channel import Channel, Event, own_signals, simulate, until
from myhdl import StopSimulation, _simulator, delay, now


def clocked(depth, work, rest):
    """A FIFO stepped every clock: cycles of the puts and of the gets."""
    puts, gets, count, t = [], [], 0, 0
    next_put, next_get = work[0], rest[0]
    while len(gets) < len(rest):
        push = len(puts) < len(work) and t >= next_put and count < depth
        pop = t >= next_get and count > 0
        if push:
            puts.append(t)
            next_put = t + 1 + work[len(puts)] if len(puts) < len(work) else 0
        if pop:
            gets.append(t)
            next_get = t + 1 + rest[len(gets)] if len(gets) < len(rest) else 0
        count += push - pop
        t += 1
    return puts, gets


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 25), st.data())
def test_equals_a_clocked_fifo(depth, items, data):
    waits = st.lists(st.integers(0, 5), min_size=items, max_size=items)
    work, rest = data.draw(waits), data.draw(waits)
    puts, gets, order = [], [], []
    with own_signals():
        channel = Channel(depth)

        def producer():
            ready = 0
            for number, wait in enumerate(work):
                free = yield from channel.place()
                yield from until(max(ready + wait, free))
                channel.put(number, now() + 1)
                puts.append(now())
                ready = now() + 1

        def consumer():
            ready = 0
            for wait in rest:
                item, since = yield from channel.first()
                yield from until(max(ready + wait, since))
                channel.take(now() + 1)
                order.append(item)
                gets.append(now())
                ready = now() + 1
            raise StopSimulation

        simulate([producer(), consumer()])
    assert (puts, gets) == clocked(depth, work, rest)
    assert order == list(range(items))


def test_own_signals_are_forgotten_even_after_an_error():
    known = len(_simulator._signals)

    def fails():
        yield delay(1)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), own_signals():
        Event()
        simulate([fails()])
    assert len(_simulator._signals) == known
    with own_signals():
        simulate([])
