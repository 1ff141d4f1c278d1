"""The port against an arbiter that is stepped every clock."""

from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch.engine import MemoryModel
from kcnn.tlm.channel import own_signals, simulate, until
from kcnn.tlm.port import Port
from myhdl import now


def clocked(model, jobs):
    """(master, cycles of the beats) in the order of the grants; jobs: lists of (wait, beats)."""
    log, count, busy = [], 0, -1
    todo = {m: list(job) for m, job in jobs.items()}
    visible = {m: job[0][0] + 1 for m, job in jobs.items() if job}
    t = 0
    while any(todo.values()):
        ready = [m for m in sorted(todo) if todo[m] and visible[m] <= t]
        if t > busy and ready:
            master = ready[0]
            _, beats = todo[master].pop(0)
            times, at = [], t + 1
            for j in range(beats):
                at += 1 + model.wait(count + j, j == 0)
                times.append(at)
            count += beats
            busy = at
            log.append((master, times))
            if todo[master]:
                visible[master] = at + todo[master][0][0] + 1
        t += 1
    return log


JOB = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 16)), max_size=6)


@settings(max_examples=20)
@given(st.fixed_dictionaries({m: JOB for m in range(4)}), st.integers(0, 100))
def test_bursts_are_granted_by_priority(jobs, seed):
    model, log = MemoryModel.random(seed), []
    with own_signals():
        port = Port(model)

        def master(number):
            for wait, beats in jobs[number]:
                times = yield from port.access(number, now() + wait + 1, beats)
                log.append((number, times.tolist()))
                yield from until(int(times[-1]))

        simulate([port.arbiter(), *(master(m) for m in jobs)])
    assert log == clocked(model, jobs)


def test_a_request_told_early_does_not_hold_back_an_earlier_one():
    log = []
    with own_signals():
        port = Port(MemoryModel.fixed(0))

        def early():
            times = yield from port.access(0, 50, 1)
            log.append(("early", times.tolist()))

        def late():
            yield from until(5)
            times = yield from port.access(3, 6, 2)
            log.append(("late", times.tolist()))

        simulate([port.arbiter(), early(), late()])
    assert log == [("late", [8, 9]), ("early", [52])]
