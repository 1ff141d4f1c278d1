"""The machine at transaction level: the blocks of docs/machine.md as MyHDL processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arch.capture import Due, due, joined
from ..arch.engine import MemoryModel
from ..arch.errors import FormatError
from ..arch.isa import Instruction, Unit
from ..arch.program import Program, memory_image
from . import channel
from .compute import ComputeUnit
from .load import LoadUnit
from .memory import ActivationMemory, Tables
from .port import Port
from .sequencer import Sequencer
from .statistics import TlmResult, losses
from .store import StoreUnit
from .stream_fetch import StreamFetch
from .unit import Stamps, UnitPort, token_counters


class Machine:
    """One execution: all blocks, wired."""

    def __init__(self, program: Program, memory: NDArray[np.uint8], model: MemoryModel,
                 trace: bool) -> None:
        config = program.config
        self._program = program
        self.external = memory.copy()
        self.memory = ActivationMemory(config, trace)
        self.stamps = Stamps(len(program.instructions))
        self._captured: list[tuple[Due, NDArray[np.int64]]] = []
        self._due = due(program)
        port, tables, tokens = Port(model), Tables(config), token_counters()
        self.units = {unit: UnitPort(unit, self.stamps, tokens) for unit in Unit}
        fetch = StreamFetch(config, port, self.external)
        self.compute = ComputeUnit(config, self.units[Unit.COMPUTE], fetch, self.memory, tables,
                                   self._ended)
        self.sequencer = Sequencer(config, port, self.external, self.units, fetch)
        load = LoadUnit(config, self.units[Unit.LOAD], port, self.external, self.memory, tables,
                        self._ended)
        store = StoreUnit(config, self.units[Unit.STORE], port, self.external, self.memory,
                          self._ended)
        self._bodies = [port.arbiter(), self.sequencer.run(), load.run(), store.run(),
                        fetch.run(), fetch.parser(), self.compute.run()]

    def run(self) -> int:
        """Run to END; the cycles."""
        channel.simulate(self._bodies)
        if self.sequencer.cycles is None:
            raise self._stopped()
        return self.sequencer.cycles

    def _stopped(self) -> FormatError:
        """Nothing is left to happen, but END was not reached."""
        waiting = [unit.waiting for unit in self.units.values() if unit.waiting is not None]
        if not waiting:
            return FormatError(f"instruction {self.sequencer.index - 1} never ends: its stream "
                               "goes on too far behind its last channel; recompile the network")
        name = self._program.instructions[min(waiting)].OP.name
        return FormatError(f"instruction {min(waiting)} ({name}) waits for a dependency token "
                           "that never comes; recompile the network")

    def _ended(self, unit: UnitPort, index: int, instruction: Instruction) -> None:
        """An instruction is in its last busy cycle: stamp it, capture the tensors it completes."""
        unit.end(index, instruction)
        for tensor, place in self._due.get(index, ()):
            kind = self._program.tensors[tensor].kind
            cells = place.addresses(kind, self._program.config)
            self._captured.append(((tensor, place), self.memory.codes[cells]))

    def tensors(self) -> dict[int, NDArray[np.int64]]:
        """Codes (planes, N, C, H, W) of every tensor, behind END."""
        return joined(self._program, self._captured, self.external)


def simulate(program: Program, memory: NDArray[np.uint8], model: MemoryModel,
             trace: bool = False) -> TlmResult:
    """Execute a program on its external memory (uint8, unchanged).

    trace: also record every write of the activation memory. FormatError if the program breaks a
    rule of the machine.
    """
    with channel.own_signals():
        machine = Machine(program, memory, model, trace)
        cycles = machine.run()
    compute, unit = machine.compute, machine.units[Unit.COMPUTE]
    runs = tuple(compute.runs)
    return TlmResult(
        engine="tlm", cycles=cycles, memory=machine.external, starts=machine.stamps.starts,
        ends=machine.stamps.ends, tensors=machine.tensors(),
        writes=machine.memory.trace.writes() if machine.memory.trace else None,
        runs=runs, losses=losses(runs, cycles, compute.fill, unit.lost_tokens,
                                 unit.lost_sequencer))


def cycles(program: Program) -> int:
    """Clocks of a batch with the configuration's fixed memory latency, on inputs of zeros: they do
    not depend on the images."""
    codes = [np.zeros(program.tensors[port.tensor].kind.codes, np.int64)
             for port in program.inputs]
    model = MemoryModel.fixed(program.config.latency)
    return simulate(program, memory_image(program, codes), model).cycles
