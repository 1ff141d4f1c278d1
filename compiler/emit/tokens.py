"""Dependency tokens, from what steps read and write: the one place where they come about.

Two steps of different units conflict if one writes what the other reads or writes, or if both use
the activation memory, whose second port serves one unit at a time (docs/machine.md). A step waits
for the last step of every other unit that it conflicts with, unless it is known by then that this
one has ended: a unit ends its steps in order, and a token brings what its giver knew.

Givers and takers of a link ascend together, so the n-th token taken is the n-th given, and steps
wait for earlier ones alone, so that a plan always comes to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...arch.isa import Unit
from ...arch.order import POPS, PUSHES, Link
from ...arch.region import Region, Space
from ..errors import InternalError
from .step import Step, uses_memory

Flags = dict[str, int]
Place = tuple[Space, int]
NEVER = -1


def waits(steps: Sequence[Step]) -> list[list[int]]:
    """For every step the earlier steps of which it takes a token."""
    walk = _Walk(steps)
    return [walk.step(index) for index in range(len(steps))]


def flags(steps: Sequence[Step], waited: Sequence[Sequence[int]]) -> list[Flags]:
    """The token flags of every step's instruction."""
    out: list[Flags] = [{} for _ in steps]
    for taker, givers in enumerate(waited):
        for giver in givers:
            link = steps[giver].unit, steps[taker].unit
            out[giver][_flag(PUSHES[link[0]], link)] = 1
            out[taker][_flag(POPS[link[1]], link)] = 1
    return out


def _flag(named: Mapping[str, Link], link: Link) -> str:
    return next(name for name, other in named.items() if other == link)


class _Walk:
    """The steps in order.

    known: for every step so far, the last step of each unit that has ended when it starts. users:
    the steps of a unit that touch a part of a memory, with their regions.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.known: list[dict[Unit, int]] = []
        self.last = dict.fromkeys(Unit, NEVER)
        self.memory = dict.fromkeys(Unit, NEVER)         # last user of the activation memory
        self.users: dict[tuple[Unit, Place], list[tuple[int, Region, bool]]] = {}

    def step(self, index: int) -> list[int]:
        """The tokens that the next step takes; neighbours first, since they know of the third."""
        unit = self.steps[index].unit
        known = self._ended(unit, self.last[unit])
        taken = []
        for other in sorted(Unit, key=lambda other: abs(other - unit)):
            giver = self._conflict(index, other, known[other])
            if giver == known[other]:
                continue
            if abs(other - unit) != 1:
                raise self._unordered(giver, index)
            taken.append(giver)
            known = _latest(known, self._ended(other, giver))
        self._add(index, known)
        return sorted(taken)

    def _ended(self, unit: Unit, index: int) -> dict[Unit, int]:
        """What has ended when step `index` of a unit has."""
        before = self.known[index] if index != NEVER else dict.fromkeys(Unit, NEVER)
        return {**before, unit: index}

    def _conflict(self, index: int, other: Unit, known: int) -> int:
        """The last step of another unit that conflicts with this one, or `known` if none later."""
        step = self.steps[index]
        found = max(known, self.memory[other]) if uses_memory(step) else known
        for place, region, writes in _regions(step):
            for user, theirs, written in reversed(self.users.get((other, place), [])):
                if user <= found:
                    break
                if (writes or written) and region.meets(theirs):
                    found = user
        return found

    def _unordered(self, first: int, second: int) -> InternalError:
        """LOAD and STORE have no link; a step of the compute unit between them leads over."""
        names = [self.steps[index].instruction.OP.name for index in (first, second)]
        return InternalError(
            f"step {second} ({names[1]}) must follow step {first} ({names[0]}), and no token leads "
            "from one to the other; put a FILL between them")

    def _add(self, index: int, known: dict[Unit, int]) -> None:
        step = self.steps[index]
        self.known.append(known)
        self.last[step.unit] = index
        if uses_memory(step):
            self.memory[step.unit] = index
        for place, region, writes in _regions(step):
            self.users.setdefault((step.unit, place), []).append((index, region, writes))


def _latest(first: Mapping[Unit, int], second: Mapping[Unit, int]) -> dict[Unit, int]:
    return {unit: max(first[unit], second[unit]) for unit in Unit}


def _regions(step: Step) -> Iterator[tuple[Place, Region, bool]]:
    """Every region that a step touches, and whether it writes it."""
    for writes, regions in ((False, step.reads), (True, step.writes)):
        for region in regions:
            yield (region.space, region.part), region, writes
