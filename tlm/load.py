"""Load unit: LOAD and TABLE."""

from __future__ import annotations

import numpy as np
from myhdl import now
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.isa import ENTRY_BYTES, UNIT_BYTES, Load, Table, TableLoad
from ..arch.timing import Master
from .channel import Wait, until
from .memory import ActivationMemory, Tables
from .port import Port
from .unit import Ended, UnitPort


class LoadUnit:
    """Copies rows and table entries from external memory."""

    def __init__(self, config: Config, unit: UnitPort, port: Port, external: NDArray[np.uint8],
                 memory: ActivationMemory, tables: Tables, ended: Ended) -> None:
        self._config, self._unit, self._port = config, unit, port
        self._external, self._memory, self._tables = external, memory, tables
        self._ended = ended

    def run(self) -> Wait:
        """The process."""
        while True:
            index, instruction = yield from self._unit.take()
            if isinstance(instruction, Load):
                yield from self._rows(instruction)
            elif instruction.kind == Table.RAMP:
                yield from until(now() + instruction.count)
                self._tables.write(instruction, np.zeros(0, np.int64))
            else:
                yield from self._entries(instruction)
            self._ended(self._unit, index, instruction)

    def _rows(self, load: Load) -> Wait:
        config = self._config
        beats, visible, written = load.rows * config.beats_per_row, now() + 1, []
        while beats:
            count = min(config.burst, beats)
            times = yield from self._port.access(Master.LOAD, visible, count)
            written.append(times[config.beats_per_row - 1::config.beats_per_row] + 1)
            visible = int(times[-1]) + 1
            beats -= count
        yield from until(visible)
        at = load.address * UNIT_BYTES
        data = self._external[at:at + load.rows * config.row_bytes]
        self._memory.load(load.row, data, np.concatenate(written))

    def _entries(self, table: TableLoad) -> Wait:
        config = self._config
        beats, visible, rest = -(-ENTRY_BYTES * table.count // config.port_bytes), now() + 1, \
            table.count
        while beats:
            count = min(config.burst, beats)
            times = yield from self._port.access(Master.LOAD, visible, count)
            entries = min(rest, count * config.port_bytes // ENTRY_BYTES)
            visible = int(times[-1]) + entries + 1
            beats -= count
            rest -= entries
        yield from until(visible - 1)
        at = table.address * UNIT_BYTES
        data = self._external[at:at + ENTRY_BYTES * table.count]
        self._tables.write(table, data.view("<u4").astype(np.int64))
