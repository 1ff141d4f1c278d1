"""Differences between what two engines made of the same batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..arch.engine import Result
from ..arch.isa import Unit
from ..arch.program import Program, chip_places, completed_by
from .execute import Ints, Outcome


@dataclasses.dataclass(frozen=True)
class Difference:
    """A tensor that differs, and its first differing element.

    tensor: its index, -1 for an output that is right in the activation memory but not in external
    memory. element: (plane, n, c, y, x). cycle: when the engine wrote the element, None if that is
    not known.
    """

    engine: str
    tensor: int
    name: str
    element: tuple[int, ...]
    expected: int
    found: int
    differing: int
    cycle: int | None

    def __str__(self) -> str:
        when = "" if self.cycle is None else f", written in cycle {self.cycle}"
        plane, n, c, y, x = self.element
        return (f"{self.engine}: tensor {self.name!r} differs in {self.differing} elements, first "
                f"at image {n}, channel {c}, row {y}, column {x}, plane {plane}: code "
                f"{self.found} instead of {self.expected}{when}")


@dataclasses.dataclass(frozen=True)
class Mistiming:
    """The first instruction whose start or end cycle differs; index -1: the cycle of `done`."""

    engine: str
    against: str
    index: int
    instruction: str
    what: str
    expected: int
    found: int

    def __str__(self) -> str:
        return (f"{self.engine}: {self.what} of {self.instruction} in cycle {self.found}, on "
                f"{self.against} in cycle {self.expected}")


def tensor_order(program: Program) -> list[int]:
    """Tensors in the order in which the program completes them."""
    done = completed_by(program)
    return sorted(done, key=lambda tensor: (done[tensor], tensor))


def differences(program: Program, base: Outcome, other: Outcome) -> list[Difference]:
    """Every tensor, and every output in external memory, in which `other` is not equal to `base`,
    in the order of completion."""
    found: list[Difference] = []
    for tensor in tensor_order(program):
        if tensor in base.tensors and tensor in other.tensors:
            name = program.tensors[tensor].name
            found += _difference(program, other, tensor, name, base.tensors[tensor],
                                 other.tensors[tensor])
    known = {difference.tensor for difference in found}
    for port, expected, codes in zip(program.outputs, base.outputs, other.outputs, strict=True):
        if port.tensor not in known:
            found += _difference(program, other, -1, f"{port.name} in external memory", expected,
                                 codes)
    return found


def _difference(program: Program, other: Outcome, tensor: int, name: str, expected: Ints,
                found: Ints) -> Iterator[Difference]:
    wrong = np.argwhere(expected != found)
    if not len(wrong):
        return
    element = tuple(int(i) for i in wrong[0])
    cycle = None
    if tensor >= 0 and other.result is not None:
        cycle = written_in(program, other.result, tensor, element)
    yield Difference(other.engine, tensor, name, element, int(expected[element]),
                     int(found[element]), len(wrong), cycle)


def written_in(program: Program, result: Result, tensor: int, element: tuple[int, ...]
               ) -> int | None:
    """Cycle of the last write to an element until its tensor was complete."""
    lies = _lies(program, tensor, element)
    if result.writes is None or lies is None:
        return None
    address, index = lies
    row, cell = divmod(address, program.config.row_codes)
    until = int(result.ends[index])
    writes = result.writes
    hits = (writes.row == row) & writes.mask[:, cell] & (writes.cycle <= until)
    return int(writes.cycle[hits][-1]) if hits.any() else None


def _lies(program: Program, tensor: int, element: tuple[int, ...]) -> tuple[int, int] | None:
    """Address of an element where it first lies in the activation memory, and the instruction that
    completes it there; None for one that never is there."""
    _, _, channel, y, _ = element
    for index, place in chip_places(program, tensor):
        if place.box is None or place.box.has(channel, y):
            return int(place.around(*element)) % program.config.memory_codes, index
    return None


def mistiming(program: Program, base: Result, other: Result) -> Mistiming | None:
    """The earliest start, end or `done` in which two machines differ."""
    found = []
    for what, expected, got in (("start", base.starts, other.starts),
                                ("end", base.ends, other.ends)):
        for index in np.flatnonzero(expected != got):
            instruction = program.instructions[index]
            unit = "" if instruction.UNIT is None else f" ({Unit(instruction.UNIT).name})"
            found.append((int(min(expected[index], got[index])), Mistiming(
                other.engine, base.engine, int(index), f"instruction {index}{unit}", what,
                int(expected[index]), int(got[index]))))
    if found:
        return min(found, key=lambda pair: (pair[0], pair[1].index))[1]
    if base.cycles != other.cycles:
        return Mistiming(other.engine, base.engine, -1, "the program", "done", base.cycles,
                         other.cycles)
    return None
