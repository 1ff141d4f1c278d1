"""Our scheduler against MyHDL's kernel: the same values in every clock."""

from __future__ import annotations

import random

import pytest
from kcnn.arch.engine import MemoryModel
from kcnn.rtl.machine import MachinePorts
from kcnn.rtl.quirks import forget_designs
from kcnn.rtl.scheduler import Scheduler
from kcnn.rtl.simulate import World, bench, run_scheduled
from machine_programs import CONFIGS, random_program
from myhdl import (
    ConcatSignal,
    ResetSignal,
    Signal,
    StopSimulation,
    always,
    always_comb,
    always_seq,
    block,
    delay,
    enum,
    instance,
    intbv,
    modbv,
)

Mode = enum("UP", "DOWN")


@block
def mixture(clk, reset, word, index, select, sums, shown, joined):
    """A memory, an enumeration, slices, a concatenation, partial assignments, a glitchy chain."""
    memory = [Signal(intbv(0)[8:]) for _ in range(4)]
    mode = Signal(Mode.UP)
    fetched, half, other = Signal(intbv(0)[8:]), Signal(intbv(0)[4:]), Signal(intbv(0)[4:])
    total = Signal(modbv(0)[12:])
    low, high = word(4, 0), word(8, 4)
    both = ConcatSignal(low, fetched)

    @always(clk.posedge)
    def store():
        if select:
            memory[index].next = word
        fetched.next = memory[index]

    @always_seq(clk.posedge, reset=reset)
    def count():
        if mode == Mode.UP:
            total.next = total + fetched
        else:
            total.next = total - half
        if total > 2000:
            mode.next = Mode.DOWN
        elif total < 300:
            mode.next = Mode.UP

    @always_seq(clk.posedge, reset=None)
    def parts():
        if select:
            sums.next[4:] = high
        else:
            sums.next[8:4] = other

    @always_comb
    def first():
        half.next = low ^ total[4:]

    @always_comb
    def second():
        other.next = half ^ high

    @always_comb
    def show():
        shown.next = total
        joined.next = both

    return store, count, parts, first, second, show


def ports():
    return {"clk": Signal(bool(0)), "reset": ResetSignal(0, active=1, isasync=False),
            "word": Signal(intbv(0)[8:]), "index": Signal(intbv(0)[2:]),
            "select": Signal(bool(0)), "sums": Signal(intbv(0)[8:]),
            "shown": Signal(intbv(0)[12:]), "joined": Signal(intbv(0)[12:])}


def drive(signals, seen):
    """Yields when the signals must settle."""
    rng = random.Random(4)
    for cycle in range(800):
        signals["reset"].next = cycle < 2 or rng.random() < 0.02
        if rng.random() < 0.6:
            signals["word"].next = rng.randrange(256)
            signals["index"].next = rng.randrange(4)
            signals["select"].next = rng.random() < 0.5
        yield
        seen.append([int(signals[name]) for name in signals])
        signals["clk"].next = True
        yield
        signals["clk"].next = False


def by_kernel(seen):
    forget_designs()

    @block
    def top():
        signals = ports()
        dut = mixture(**signals)

        @instance
        def run():
            for _ in drive(signals, seen):
                yield delay(1)
            raise StopSimulation
        return dut, run

    top().run_sim(quiet=1)


def by_scheduler(seen):
    forget_designs()
    signals = ports()
    scheduler = Scheduler(mixture(**signals), signals["clk"])
    for _ in drive(signals, seen):
        scheduler.step()


def test_every_kind_of_process_and_signal():
    one, other = [], []
    by_kernel(one)
    by_scheduler(other)
    assert one == other
    assert len({row[-2] for row in one}) > 300


@pytest.mark.parametrize("name", ["m1d2", "m2d2ab5"])
def test_the_machine(name):
    config = CONFIGS[name]
    program, memory = random_program(7, config, runs=1, channels=2, positions=12)
    records = []
    for run in (run_scheduled, lambda *given: bench(*given).run_sim(quiet=1)):
        forget_designs()
        world = World(config, memory, MemoryModel.random(2, 4))
        watched, watch = [], world.watch

        def note(cycle, beat, ports, watched=watched, watch=watch):
            watched.append([cycle, int(ports.done), *(int(s) for s in vars(ports.mem).values()),
                            *(int(s) for s in vars(ports.trace).values())])
            watch(cycle, beat, ports)

        world.watch = note
        run(world, MachinePorts(config), None)
        assert not world.fault and world.cycles > 500
        records.append((watched, world.bytes))
    assert records[0] == records[1]


def test_a_process_of_another_clock_is_refused():
    @block
    def falling(clk, word):
        @always(clk.negedge)
        def count():
            word.next = 1
        return count

    forget_designs()
    clk = Signal(bool(0))
    with pytest.raises(TypeError, match="falling0: count is no process of clk"):
        Scheduler(falling(clk, Signal(intbv(0)[4:])), clk)
