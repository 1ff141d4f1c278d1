"""What the load, compute and store units have in common: mailbox, tokens, stamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from myhdl import now

from ..arch.errors import FormatError
from ..arch.isa import Instruction, Unit
from ..arch.order import COUNTER_MAX, LINKS
from .channel import Channel, Event, Wait, until

# told in an instruction's last busy cycle: the unit, the instruction's index, the instruction
Ended = Callable[["UnitPort", int, Instruction], None]


class Tokens:
    """A counter of dependency tokens; each is visible from the cycle after its push."""

    def __init__(self) -> None:
        self._visible: deque[int] = deque()
        self._pushed = Event()

    def push(self, visible: int) -> None:
        """Add a token."""
        if len(self._visible) == COUNTER_MAX:
            raise FormatError(f"the program leaves more than {COUNTER_MAX} dependency tokens "
                              "unused between two units; recompile the network")
        self._visible.append(visible)
        self._pushed.tell()

    def first(self) -> Wait:
        """The cycle from which the oldest token is visible; it stays."""
        while not self._visible:
            yield from self._pushed.wait()
        return self._visible[0]

    def pop(self) -> None:
        """Use the oldest token."""
        self._visible.popleft()


class Stamps:
    """Start and end cycle of every instruction."""

    def __init__(self, instructions: int) -> None:
        self.starts = np.full(instructions, -1, np.int64)
        self.ends = np.full(instructions, -1, np.int64)


class UnitPort:
    """A unit as the others see it: its mailbox, and whether it is idle."""

    def __init__(self, unit: Unit, stamps: Stamps, tokens: dict[tuple[Unit, Unit], Tokens]) -> None:
        self.unit = unit
        self.mailbox = Channel(1)
        self.waiting: int | None = None     # the instruction in the mailbox
        self.idle = 0                       # first cycle in which the unit is idle
        self.lost_tokens = 0                # clocks idle with an instruction in the mailbox
        self.lost_sequencer = 0             # clocks idle without
        self._stamps = stamps
        self._tokens = tokens
        self._given = self._done = 0
        self._finished = Event()

    def give(self, index: int, instruction: Instruction, since: int) -> None:
        """Fill the mailbox (its place reserved) with instruction number `index`."""
        self._given += 1
        self.mailbox.put((index, instruction), since)

    def quiet(self) -> Wait:
        """Wait until everything given is done; the cycle from which the unit is idle."""
        while self._done < self._given:
            yield from self._finished.wait()
        return self.idle

    def take(self) -> Wait:
        """The next instruction and its index, in the cycle in which the unit takes it."""
        (index, instruction), since = yield from self.mailbox.first()
        self.waiting = index
        since = max(since, self.idle)
        cycle = since
        wanted = [self._tokens[self._beside(step), self.unit]
                  for step, flag in ((-1, instruction.pop_prev), (1, instruction.pop_next))
                  if flag]
        for tokens in wanted:
            cycle = max(cycle, (yield from tokens.first()))
        yield from until(cycle)
        for tokens in wanted:
            tokens.pop()
        self.mailbox.take(cycle + 1)
        self.lost_sequencer += since - self.idle
        self.lost_tokens += cycle - since
        self._stamps.starts[index] = cycle
        self.waiting = None
        return index, instruction

    def end(self, index: int, instruction: Instruction) -> None:
        """The instruction's last busy cycle is now."""
        for step, flag in ((-1, instruction.push_prev), (1, instruction.push_next)):
            if flag:
                self._tokens[self.unit, self._beside(step)].push(now() + 1)
        self._stamps.ends[index] = now()
        self.idle = now() + 1
        self._done += 1
        self._finished.tell()

    def _beside(self, step: int) -> Unit:
        if self.unit + step not in (Unit.LOAD, Unit.COMPUTE, Unit.STORE):
            raise FormatError(f"an instruction of the {self.unit.name.lower()} unit names a "
                              "neighbour that does not exist; recompile the network")
        return Unit(self.unit + step)


def token_counters() -> dict[tuple[Unit, Unit], Tokens]:
    """The four counters, by (from, to)."""
    return {link: Tokens() for link in LINKS}
