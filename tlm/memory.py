"""What the machine stores: the activation memory, the tables, and the external memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.engine import Writes
from ..arch.fixed import wrap
from ..arch.isa import Table, TableLoad
from ..arch.layout import pack, unpack
from ..arch.tables import address, code, depth, pair, value

Ints = NDArray[np.int64]


class ActivationMemory:
    """Codes by address, modulo the memory's size."""

    def __init__(self, config: Config, trace: bool) -> None:
        self.config = config
        self.codes = np.zeros(config.memory_codes, np.int64)
        self.trace = Trace(config) if trace else None

    def rows(self, row: int, rows: int) -> Ints:
        """Addresses of the cells of `rows` rows from `row` on, (rows, 2P)."""
        first = (row + np.arange(rows)) % self.config.rows * self.config.row_codes
        return first[:, None] + np.arange(self.config.row_codes)

    def write_rows(self, row: int, codes: Ints, cycles: Ints) -> None:
        """Write whole rows, codes (rows, 2P), one in each of `cycles`."""
        cells = self.rows(row, len(codes))
        self.codes[cells] = codes
        if self.trace is not None:
            self.trace.add(np.broadcast_to(cycles[:, None], cells.shape), cells, codes)

    def write(self, addresses: Ints, codes: Ints, cycles: Ints | None) -> None:
        """Write cells anywhere; cycles (where traced): when each is written."""
        self.codes[addresses] = codes
        if self.trace is not None and cycles is not None:
            self.trace.add(cycles, addresses, codes)

    def load(self, row: int, data: NDArray[np.uint8], cycles: Ints) -> None:
        """Write rows from bytes of external memory."""
        codes = unpack(data, self.config) & (self.config.codes - 1)
        self.write_rows(row, codes.reshape(-1, self.config.row_codes), cycles)

    def store(self, row: int, rows: int) -> NDArray[np.uint8]:
        """Rows as bytes of external memory."""
        return pack(self.codes[self.rows(row, rows)], self.config)


class Trace:
    """Collects the writes of single cells and sorts them into writes of rows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._parts: list[tuple[Ints, Ints, Ints]] = []

    def add(self, cycles: Ints, addresses: Ints, codes: Ints) -> None:
        """Cells written; all three of one shape."""
        self._parts.append((cycles.ravel(), addresses.ravel(), codes.ravel()))

    def writes(self) -> Writes:
        """Row writes in order; two rows of one cycle: that of the even word first."""
        config = self._config
        cycle, address, code = (np.concatenate([part[i] for part in self._parts])
                                if self._parts else np.zeros(0, np.int64) for i in range(3))
        row, cell = address // config.row_codes, address % config.row_codes
        key = np.stack([cycle, row], axis=1)
        unique, which = np.unique(key, axis=0, return_inverse=True)
        mask = np.zeros((len(unique), config.row_codes), bool)
        codes = np.zeros((len(unique), config.row_codes), np.int64)
        mask[which.ravel(), cell] = True
        codes[which.ravel(), cell] = code
        odd = ~mask[:, :config.lanes].any(axis=1)
        order = np.lexsort((odd, unique[:, 0]))
        return Writes(unique[order, 0], unique[order, 1], mask[order], codes[order])


class Tables:
    """The on-chip tables: two banks each."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.base = np.zeros((2, config.base_entries), np.int64)
        self.pair = np.zeros((2, config.base_entries), np.int64)
        self.offset = np.zeros((2, config.offset_entries), np.int64)
        self.decode = np.zeros((config.table_pairs, config.codes), np.int64)
        self.threshold = np.zeros((2, config.codes), np.int64)
        self.code = np.zeros((2, config.codes), np.int64)

    def write(self, table: TableLoad, words: Ints) -> None:
        """Execute a TABLE; words: its entries as they lie in external memory (RAMP: unused)."""
        kind, bank = Table(table.kind), table.bank
        kept = max(0, min(table.count, depth(kind, self._config) - table.first))
        at, words = slice(table.first, table.first + kept), words[:kept]
        if kind == Table.BASE:
            self.base[bank, at] = address(words)
            self.pair[bank, at] = pair(words) & 1
        elif kind == Table.RAMP:
            self.base[bank, at] = table.start + table.step * np.arange(kept)
            self.pair[bank, at] = table.pair
        elif kind == Table.OFFSET:
            self.offset[bank, at] = words
        elif kind == Table.DECODE:
            self.decode[bank, at] = wrap(words, self._config.value_bits)
        else:
            self.threshold[bank, at] = value(words)
            self.code[bank, at] = code(words) & (self._config.codes - 1)
