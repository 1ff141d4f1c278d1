"""The whole machine: its MyHDL run, clock by clock, on the converted Verilog and VHDL."""

from __future__ import annotations

from kcnn.arch.engine import MemoryModel
from kcnn.rtl.machine import MachinePorts, machine
from kcnn.rtl.simulate import World
from machine_programs import CONFIGS, random_program
from replay import replay

CONFIG = CONFIGS["m2d2ab5"]
CYCLES = 760


def make():
    return machine, vars(MachinePorts(CONFIG)) | {"config": CONFIG}


def test_converted_machines_do_the_same_in_every_clock():
    program, memory = random_program(6, CONFIG, runs=1, channels=2, positions=12)
    world = World(CONFIG, memory, MemoryModel.random(3, 4))

    def stimulus(ports, rng):
        mem = ports["mem"]
        ports["reset"].next = True
        yield
        row = yield
        ports["reset"].next, ports["start"].next = False, True
        for cycle in range(CYCLES):
            beat = world.left > 0 and world.due == cycle
            mem.valid.next = beat
            if beat and not world.writing:
                mem.rdata.next = world.read()
            row = yield
            ports["start"].next = False
            if beat:
                world.beat_done(cycle, row["mem_wdata"])
            if row["mem_start"]:
                world.command(cycle, row["mem_write"], row["mem_address"], row["mem_beats"])
            assert not world.fault

    recording = replay(make, CYCLES + 2, stimulus)
    assert sum(recording.of("trace_write")) > 50 and recording.of("trace_started")[-1] == 0
    assert recording.of("done")[-1] == 1
