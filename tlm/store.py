"""Store unit: STORE."""

from __future__ import annotations

import numpy as np
from myhdl import now
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.isa import UNIT_BYTES, Store
from ..arch.timing import STORE_REQUEST, Master
from .channel import Wait, until
from .memory import ActivationMemory
from .port import Port
from .unit import Ended, UnitPort


class StoreUnit:
    """Copies rows to external memory, a burst at a time through a buffer."""

    def __init__(self, config: Config, unit: UnitPort, port: Port, external: NDArray[np.uint8],
                 memory: ActivationMemory, ended: Ended) -> None:
        self._config, self._unit, self._port = config, unit, port
        self._external, self._memory, self._ended = external, memory, ended

    def run(self) -> Wait:
        """The process."""
        while True:
            index, instruction = yield from self._unit.take()
            yield from self._rows(instruction)
            self._ended(self._unit, index, instruction)

    def _rows(self, store: Store) -> Wait:
        config = self._config
        rest, before = store.rows, now()
        while rest:
            rows = min(config.burst // config.beats_per_row, rest)
            times = yield from self._port.access(Master.STORE, before + rows + STORE_REQUEST,
                                                 rows * config.beats_per_row)
            before = int(times[-1])
            rest -= rows
        yield from until(before + 1)
        at = store.address * UNIT_BYTES
        self._external[at:at + store.rows * config.row_bytes] = self._memory.store(
            store.row, store.rows)
