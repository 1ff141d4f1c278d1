"""The machine in the MyHDL simulator: engine "myhdl"."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from myhdl import StopSimulation, block, delay, instance
from numpy.typing import NDArray

from ..arch import scratch
from ..arch.config import Config
from ..arch.engine import PERIOD, MemoryModel, Result, Writes
from ..arch.isa import Unit
from ..arch.program import Program
from .benchfiles import EngineError, quiet_limit, split_words
from .machine import MachinePorts, machine
from .quirks import forget_designs
from .trace import stamps, tensors_from

ENGINE = "myhdl"
PROGRESS_CYCLES = 2000
RESET_CYCLES = 2

Ints = NDArray[np.int64]
Progress = Callable[[int], None] | None


def simulate(program: Program, memory: NDArray[np.uint8], model: MemoryModel,
             vcd: Path | None = None, progress: Progress = None) -> Result:
    """Run a program on the MyHDL machine.

    memory: external memory before the start (arch.program.memory_image). vcd: file for the
    waveforms of all signals. progress: called now and then with the number of the cycle. Raises
    EngineError if the machine hangs or leaves its memory.
    """
    forget_designs()
    world, ports = World(program.config, memory, model), MachinePorts(program.config)
    try:
        execute(bench(world, ports, progress), vcd)
    finally:
        forget_designs()
    if world.fault:
        raise EngineError(f"engine {ENGINE}: {world.fault}")
    return world.result(program)


def execute(design: Any, vcd: Path | None) -> None:
    """The whole run; its waveforms go to `vcd`, if given, in one piece."""
    if vcd is None:
        design.run_sim(quiet=1)
        return
    with scratch.folder(vcd.parent) as folder, scratch.named(folder / "trace.vcd"):
        design.config_sim(trace=True, directory=str(folder), filename="trace")
        design.run_sim(quiet=1)
        os.replace(folder / "trace.vcd", vcd)


class World:
    """What surrounds the machine: external memory, and the record of the trace ports."""

    def __init__(self, config: Config, memory: NDArray[np.uint8], model: MemoryModel) -> None:
        self.config = config
        self.size = len(memory)
        spare = -len(memory) % config.port_bytes
        self.bytes = bytearray(memory.tobytes() + bytes(spare))
        self.stall = [int(wait) for wait in model.stall]
        self.first = [int(a) + int(b) for a, b in zip(model.stall, model.latency, strict=True)]
        self.quiet = quiet_limit(config, model)
        self.started: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.ended: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.writes: list[tuple[int, int, int, int, int]] = []
        self.cycles = self.event = 0
        self.fault = ""
        self.writing = False
        self.at = self.left = self.due = self.beats = 0

    def command(self, cycle: int, write: bool, address: int, beats: int) -> None:
        """A burst's command is visible in this cycle."""
        size = self.config.port_bytes
        if self.left:
            self.fault = (f"in cycle {cycle} the machine started a burst at byte {address} while "
                          "another one was running")
        elif address % size or address + beats * size > len(self.bytes):
            self.fault = (f"in cycle {cycle} the machine asked for external memory at byte "
                          f"{address}, outside the program's memory or between two beats")
        self.writing, self.at, self.left = write, address, beats
        self.due = cycle + 1 + self.first[self.beats % PERIOD]

    def read(self) -> int:
        """Data of the beat that is due."""
        return int.from_bytes(self.bytes[self.at:self.at + self.config.port_bytes], "little")

    def beat_done(self, cycle: int, wdata: int) -> None:
        """The beat of this cycle is over."""
        size = self.config.port_bytes
        if self.writing:
            self.bytes[self.at:self.at + size] = wdata.to_bytes(size, "little")
        self.at += size
        self.left -= 1
        self.beats += 1
        self.due = cycle + 1 + self.stall[self.beats % PERIOD]

    def watch(self, cycle: int, beat: bool, ports: MachinePorts) -> None:
        """Record what the ports show in this cycle; beat: the memory transfers one in it."""
        mem, trace = ports.mem, ports.trace
        if beat:
            self.beat_done(cycle, int(mem.wdata))
        if mem.start:
            self.command(cycle, bool(mem.write), int(mem.address), int(mem.beats))
        if trace.started:
            self.mark(self.started, cycle, int(trace.started))
        if trace.ended:
            self.mark(self.ended, cycle, int(trace.ended))
        if trace.write:
            self.writes.append((cycle, int(trace.row), int(trace.odd_row), int(trace.mask),
                                int(trace.codes)))
        if beat or trace.started or trace.ended or trace.write:
            self.event = cycle
        elif cycle - self.event > self.quiet:
            self.fault = (f"the machine hangs: nothing happened from cycle {self.event + 1} to "
                          f"{cycle}, when it was stopped")

    def mark(self, record: dict[Unit, list[int]], cycle: int, bits: int) -> None:
        """Note the units whose bits are set."""
        for unit in Unit:
            if bits >> unit & 1:
                record[unit].append(cycle)

    def result(self, program: Program) -> Result:
        """The record as an engine's result."""
        starts = stamps(program, _arrays(self.started), ENGINE, "took")
        ends = stamps(program, _arrays(self.ended), ENGINE, "ended")
        writes = self.all_writes()
        memory = np.frombuffer(bytes(self.bytes), np.uint8)[:self.size].copy()
        return Result(ENGINE, self.cycles, memory, starts, ends,
                      tensors_from(program, writes, ends, memory), writes)

    def all_writes(self) -> Writes:
        """The activation memory's writes as arrays; codes that the mask leaves out are 0."""
        cells, bits = self.config.row_codes, self.config.code_bits
        table = np.array([write[:3] for write in self.writes], np.int64).reshape(-1, 3)
        mask = _fields([write[3] for write in self.writes], cells, 1).astype(np.bool_)
        codes = _fields([write[4] for write in self.writes], cells, bits) * mask
        return split_words(table[:, 0], table[:, 1], table[:, 2], mask, codes)


def _arrays(record: dict[Unit, list[int]]) -> dict[Unit, Ints]:
    return {unit: np.array(cycles, np.int64) for unit, cycles in record.items()}


def _fields(words: list[int], count: int, bits: int) -> Ints:
    """Each word as `count` numbers of `bits` bits, lowest first: (len(words), count)."""
    size = -(-count * bits // 8)
    data = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    flat = np.unpackbits(data.reshape(len(words), size), axis=1, bitorder="little")
    digits = flat[:, :count * bits].reshape(len(words), count, bits)
    return digits.astype(np.int64) @ (1 << np.arange(bits))


@block
def bench(world: World, ports: MachinePorts, progress: Progress = None) -> Any:
    """The machine and its world as one design, for MyHDL's kernel."""
    dut = machine(**vars(ports), config=world.config)

    @instance
    def run() -> Any:
        half = delay(1)
        for _ in half_cycles(world, ports, progress):
            yield half
        raise StopSimulation

    return dut, run


def half_cycles(world: World, ports: MachinePorts, progress: Progress) -> Iterator[None]:
    """Clocks the machine from reset to `done`; after each yield the signals must have settled.

    In each cycle the inputs are set, and what the ports show then is recorded.
    """
    clk, mem = ports.clk, ports.mem
    ports.reset.next = True
    for _ in range(RESET_CYCLES):
        yield
        clk.next = True
        yield
        clk.next = False
    ports.reset.next = False
    ports.start.next = True
    cycle = 0
    while True:
        beat = world.left > 0 and world.due == cycle
        mem.valid.next = beat
        if beat and not world.writing:
            mem.rdata.next = world.read()
        yield
        world.watch(cycle, beat, ports)
        if world.fault or cycle > 0 and ports.done:
            world.cycles = cycle
            return
        if progress is not None and cycle % PROGRESS_CYCLES == 0:
            progress(cycle)
        clk.next = True
        yield
        clk.next = False
        ports.start.next = False
        cycle += 1
