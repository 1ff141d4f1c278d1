"""Sequencer: fetches instructions and hands them to the units' mailboxes."""

from __future__ import annotations

import numpy as np
from myhdl import StopSimulation
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.errors import FormatError
from ..arch.isa import LONG_BYTES, SHORT_BYTES, End, Instruction, Op, Run, Unit, decode
from ..arch.timing import Master
from .channel import Wait, until
from .port import Port
from .stream_fetch import StreamFetch
from .unit import UnitPort


class Sequencer:
    """Runs the program at address 0; `cycles` is set when it has ended."""

    def __init__(self, config: Config, port: Port, external: NDArray[np.uint8],
                 units: dict[Unit, UnitPort], fetch: StreamFetch) -> None:
        self._config, self._port, self._external = config, port, external
        self._units, self._fetch = units, fetch
        self.index = 0
        self.cycles: int | None = None

    def run(self) -> Wait:
        """The process; ends the simulation."""
        at, visible = 0, 1
        while True:
            instruction, cycle = yield from self._next(at, visible)
            if isinstance(instruction, End):
                yield from self._end(cycle)
            cycle = yield from self._dispatch(instruction, cycle)
            at += instruction.BYTES
            visible = cycle + 1
            self.index += 1

    def _next(self, at: int, visible: int) -> Wait:
        """Fetch and decode; returns the instruction and its first DISPATCH cycle."""
        last = yield from self._bytes(at, at + SHORT_BYTES, visible)
        if at + SHORT_BYTES > len(self._external):
            raise FormatError(f"the program runs over the end of the memory at byte {at}; "
                              "recompile the network")
        size = LONG_BYTES if self._external[at] & 15 == Op.RUN else SHORT_BYTES
        if size > SHORT_BYTES:
            last = yield from self._bytes(at + SHORT_BYTES, at + size, last + 2)
        instruction, = decode(self._external[at:at + size].tobytes())
        return instruction, last + 1

    def _bytes(self, low: int, high: int, visible: int) -> Wait:
        """Fetch bytes low to high - 1; returns the cycle of the last beat."""
        size = self._config.port_bytes
        beats = (high - 1) // size - low // size + 1
        times = yield from self._port.access(Master.SEQUENCER, visible, beats)
        return int(times[-1])

    def _dispatch(self, instruction: Instruction, cycle: int) -> Wait:
        """Wait for empty mailboxes and fill them; returns the cycle in which it is done."""
        assert instruction.UNIT is not None
        unit = self._units[instruction.UNIT]
        cycle = max(cycle, (yield from unit.mailbox.place()))
        if isinstance(instruction, Run):
            cycle = max(cycle, (yield from self._fetch.mailbox.place()))
        yield from until(cycle)
        unit.give(self.index, instruction, cycle + 1)
        if isinstance(instruction, Run):
            self._fetch.give(instruction, cycle + 1)
        return cycle

    def _end(self, cycle: int) -> Wait:
        for unit in self._units.values():
            cycle = max(cycle, (yield from unit.quiet()))
        cycle = max(cycle, (yield from self._fetch.quiet()))
        yield from until(cycle)
        self.cycles = cycle + 1
        raise StopSimulation
