"""Dependency tokens: does a program come to its end, and what has ended before what starts?

The three units take instructions in program order from mailboxes of one, which the sequencer
fills in program order (docs/machine.md). Whether that comes to an end depends on no timing, since
each token counter has one unit that adds and one that takes.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError
from .isa import Instruction, Unit

Ints = NDArray[np.int64]
Link = tuple[Unit, Unit]           # a token counter: from, to

LOAD_COMPUTE: Link = (Unit.LOAD, Unit.COMPUTE)
COMPUTE_LOAD: Link = (Unit.COMPUTE, Unit.LOAD)
COMPUTE_STORE: Link = (Unit.COMPUTE, Unit.STORE)
STORE_COMPUTE: Link = (Unit.STORE, Unit.COMPUTE)
LINKS = (LOAD_COMPUTE, COMPUTE_LOAD, COMPUTE_STORE, STORE_COMPUTE)
COUNTER_BITS = 4
COUNTER_MAX = (1 << COUNTER_BITS) - 1

# unit -> flag -> the counter that it takes from or adds to
POPS: dict[Unit, dict[str, Link]] = {
    Unit.LOAD: {"pop_next": COMPUTE_LOAD},
    Unit.COMPUTE: {"pop_prev": LOAD_COMPUTE, "pop_next": STORE_COMPUTE},
    Unit.STORE: {"pop_prev": COMPUTE_STORE},
}
PUSHES: dict[Unit, dict[str, Link]] = {
    Unit.LOAD: {"push_next": LOAD_COMPUTE},
    Unit.COMPUTE: {"push_prev": COMPUTE_LOAD, "push_next": COMPUTE_STORE},
    Unit.STORE: {"push_prev": STORE_COMPUTE},
}


def links(instruction: Instruction, table: dict[Unit, dict[str, Link]]) -> list[Link]:
    """Counters that an instruction takes from (table POPS) or adds to (PUSHES)."""
    if instruction.UNIT is None:
        return []
    return [link for flag, link in table[instruction.UNIT].items() if getattr(instruction, flag)]


@dataclasses.dataclass(frozen=True)
class Order:
    """What is known whatever the timing.

    place: (I,) number of an instruction among those of its unit, -1 for END.
    before: (I, 3) how many instructions of each unit have ended when an instruction starts.
    """

    place: Ints
    before: Ints

    def ended(self, first: int, unit: Unit, second: int) -> bool:
        """Has instruction `first`, executed by `unit`, ended when `second` starts?"""
        return bool(self.before[second, unit] > self.place[first])


def order(instructions: Sequence[Instruction]) -> Order:
    """Follow the tokens; FormatError for a deadlock or a counter that can overflow."""
    for unit in Unit:
        _Queues(instructions, slow=unit).run()
    queues = _Queues(instructions, slow=None)
    queues.run()
    return Order(queues.place, queues.before)


class _Queues:
    """The units without time. A slow unit ends its instruction only when nothing else can move."""

    def __init__(self, instructions: Sequence[Instruction], slow: Unit | None) -> None:
        self.instructions = instructions
        self.slow = slow
        self.next = 0
        self.mailbox: dict[Unit, int] = {}
        self.busy: dict[Unit, int] = {}
        self.known = {unit: np.zeros(3, np.int64) for unit in Unit}
        self.tokens: dict[Link, deque[Ints]] = {link: deque() for link in LINKS}
        self.place = np.full(len(instructions), -1, np.int64)
        self.before = np.zeros((len(instructions), 3), np.int64)
        self.count = [0, 0, 0]

    def run(self) -> None:
        """Until END; raises FormatError."""
        while not self._finished():
            if not self._move() and not (self.slow is not None and self._end(self.slow)):
                raise FormatError(self._stuck())

    def _finished(self) -> bool:
        idle = not self.mailbox and not self.busy
        return idle and self.instructions[self.next].UNIT is None

    def _move(self) -> bool:
        moved = self._dispatch()
        for unit in Unit:
            moved |= unit != self.slow and self._end(unit)
            moved |= self._take(unit)
        return moved

    def _dispatch(self) -> bool:
        unit = self.instructions[self.next].UNIT
        if unit is None or unit in self.mailbox:
            return False
        self.mailbox[unit] = self.next
        self.next += 1
        return True

    def _take(self, unit: Unit) -> bool:
        if unit in self.busy or unit not in self.mailbox:
            return False
        index = self.mailbox[unit]
        wanted = links(self.instructions[index], POPS)
        if not all(self.tokens[link] for link in wanted):
            return False
        del self.mailbox[unit]
        for link in wanted:
            self.known[unit] = np.maximum(self.known[unit], self.tokens[link].popleft())
        self.before[index] = self.known[unit]
        self.place[index] = self.count[unit]
        self.count[unit] += 1
        self.busy[unit] = index
        return True

    def _end(self, unit: Unit) -> bool:
        if unit not in self.busy:
            return False
        index = self.busy.pop(unit)
        self.known[unit] = self.known[unit].copy()
        self.known[unit][unit] = self.count[unit]
        for link in links(self.instructions[index], PUSHES):
            self.tokens[link].append(self.known[unit])
            if len(self.tokens[link]) > COUNTER_MAX:
                raise FormatError(
                    f"instruction {index} ({self.instructions[index].OP.name}): its token can be "
                    f"number {COUNTER_MAX + 1} in the counter {_said(link)}, which holds "
                    f"{COUNTER_MAX}; recompile the network")
        return True

    def _stuck(self) -> str:
        index = min(self.mailbox.values())
        instruction = self.instructions[index]
        link = next(k for k in links(instruction, POPS) if not self.tokens[k])
        return (f"instruction {index} ({instruction.OP.name}): waits for a token {_said(link)} "
                "that never comes; recompile the network")


def _said(link: Link) -> str:
    return f"from {link[0].name} to {link[1].name}"
