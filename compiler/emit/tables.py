"""What lies in the banks of the on-chip tables while a program runs, and how entries get there."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...arch import tables
from ...arch.config import Config
from ...arch.isa import ENTRY_BYTES, Table
from ..lower.lowered import Ints

# clocks that one more TABLE instruction costs beside its entries, about
INSTRUCTION_CLOCKS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class BankLoad:
    """Entries to be written into a bank. after: number of the RUN that used it last, -1 for none.

    ramp: the further fields of a RAMP.
    """

    kind: Table
    bank: int
    first: int
    count: int
    words: Ints
    after: int
    ramp: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Bank:
    words: Ints = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    used: int = -1

    def holds(self, words: Ints) -> bool:
        return len(words) <= len(self.words) and np.array_equal(self.words[:len(words)], words)

    def write(self, words: Ints) -> None:
        self.words = np.concatenate([words, self.words[len(words):]])


class Banks:
    """Contents of every bank after the instructions so far, and the last RUN that used it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.banks = {kind: [_Bank(), _Bank()]
                      for kind in (Table.BASE, Table.OFFSET, Table.DECODE, Table.CLUSTER)}

    def place(self, kind: Table, words: Ints, run: int) -> tuple[int, list[BankLoad]]:
        """The bank in which RUN number `run` finds these words, and the loads that takes."""
        banks, loads = self._place(kind, [words], run)
        return banks[0], loads

    def place_pairs(self, contents: list[Ints], run: int) -> tuple[list[int], list[BankLoad]]:
        """The pairs in which a RUN finds its (at most two, different) decode tables."""
        return self._place(Table.DECODE, contents, run)

    def _place(self, kind: Table, contents: list[Ints], run: int
               ) -> tuple[list[int], list[BankLoad]]:
        banks = self.banks[kind]
        found = [next((b for b in (0, 1) if banks[b].holds(words)), None) for words in contents]
        free = sorted({0, 1} - set(found), key=lambda b: (banks[b].used, b))
        loads: list[BankLoad] = []
        placed = []
        for words, bank in zip(contents, found, strict=True):
            if bank is None:
                bank = free.pop(0)
                loads += _loads(kind, bank, words, banks[bank].used, self.config)
                banks[bank].write(words)
            placed.append(bank)
        for bank in placed:
            banks[bank].used = run
        return placed, loads


def _loads(kind: Table, bank: int, words: Ints, after: int, config: Config) -> list[BankLoad]:
    if kind == Table.BASE:
        ramps = _ramps(words, config.memory_codes)
        from_memory = len(words) * ENTRY_BYTES // config.port_bytes + config.latency
        if len(ramps) * INSTRUCTION_CLOCKS <= from_memory + INSTRUCTION_CLOCKS or len(ramps) == 1:
            return [BankLoad(Table.RAMP, bank, first, count, words, after,
                              {"start": start, "step": step, "pair": pair})
                    for first, count, start, step, pair in ramps]
    return [BankLoad(kind, bank, 0, len(words), words, after)]


def _ramps(words: Ints, memory: int) -> list[tuple[int, int, int, int, int]]:
    """Stretches of constant step and pair: (first, count, start, step, pair)."""
    out: list[tuple[int, int, int, int, int]] = []
    address, pair = tables.address(words), tables.pair(words)
    steps = np.where(np.diff(pair) == 0, np.diff(address) % memory, -1)
    first = 0
    while first < len(words):
        step = int(steps[first]) if first < len(steps) else -1
        count = 1
        if step >= 0:
            others = np.flatnonzero(steps[first:] != step)
            count += int(others[0]) if others.size else len(steps) - first
        out.append((first, count, int(address[first]), max(step, 0), int(pair[first])))
        first += count
    return out
