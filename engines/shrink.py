"""One layer of a program as a program of its own, to study a difference alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..arch import check, effects, isa
from ..arch.effects import Regions
from ..arch.errors import FormatError
from ..arch.isa import UNIT_BYTES, Fill, Load, Run, Store, Table, TableLoad
from ..arch.place import Place
from ..arch.program import ALIGN, Program, Tensor
from ..arch.region import Region, Space
from ..compiler.emit import step
from ..compiler.emit.areas import Role, area, transfers
from ..compiler.emit.assemble import assemble
from ..compiler.emit.plan import Plan
from ..compiler.emit.step import Step
from ..compiler.errors import InternalError

SPARE = -1
FREE = dict.fromkeys(isa.FLAGS, 0)      # of tokens


def single_layer(program: Program, number: int) -> Program:
    """The program that computes only layer `number`.

    Its inputs are the layer's source tensors, loaded to where they lay or in homes of their own,
    its output is the layer's output. Streams, tables, and what moves windows are the layer's.
    """
    alone = assemble(_Alone(program, number).plan())
    try:
        check.verify(alone)
    except FormatError as error:
        raise InternalError(f"layer {program.layers[number].name!r} alone: {error}") from error
    return alone


class _Alone:
    """The work on the plan of a layer.

    index: of its tensors, by their numbers in the program; starts: first byte there of those with
    homes. made: of every instruction that is kept, by its number there.
    """

    def __init__(self, program: Program, number: int) -> None:
        self.program, self.config, self.old = program, program.config, program.layers[number]
        sources = dict.fromkeys(source.tensor for source in self.old.sources)
        self.index = {tensor: at for at, tensor in enumerate([*sources, self.old.output])}
        self.layer = dataclasses.replace(
            self.old, sources=tuple(dataclasses.replace(s, tensor=self.index[s.tensor])
                                    for s in self.old.sources),
            output=self.index[self.old.output], runs=())
        self.starts: dict[int, int] = {}
        self.tensors = tuple(self._moved(number) for number in self.index)
        self.steps: list[Step] = []
        self.made: dict[int, int] = {}

    def _moved(self, number: int) -> Tensor:
        """A tensor where it lies on chip, or with a home that counts from its first byte on."""
        tensor, home = self.program.tensors[number], self.program.tensors[number].home
        if home is None:
            return tensor
        parts = _home(self.program, home, tensor)
        start = min(part.first for part in parts) // ALIGN * ALIGN
        rows = -(-(max(part.end for part in parts) - start) // self.config.row_bytes)
        base = home.layout.base - start * self.config.codes_per_byte
        self.starts[number] = start
        return dataclasses.replace(tensor, places=(dataclasses.replace(
            home, layout=dataclasses.replace(home.layout, base=base, rows=rows)),))

    def plan(self) -> Plan:
        """What the layer needs, in the order of the program."""
        areas = [area(Role.OUTPUT if tensor is self.tensors[-1] else Role.INPUT, tensor.name, at,
                      tensor.places[0].layout, self.config)
                 for at, tensor in enumerate(self.tensors)]
        self.steps += transfers(areas, Role.INPUT, self.tensors, self.config)
        if not self.tensors[-1].home:
            self.steps.append(step.fill(self.tensors[-1], 0, self.config))
        for at, kept in self._kept():
            if at != SPARE:
                self.made[at] = len(self.steps)
            self.steps.append(kept)
        self.steps += transfers(areas, Role.OUTPUT, self.tensors, self.config)
        tensors = tuple(dataclasses.replace(tensor, places=(*tensor.places, *self._windows(number)))
                        for number, tensor in zip(self.index, self.tensors, strict=True))
        return Plan(self.config, tensors, (self.layer,), tuple(areas), tuple(self.steps))

    # ---- what is kept -----------------------------------------------------------------------
    def _kept(self) -> list[tuple[int, Step]]:
        """The layer's instructions, from the last one back to all that they need."""
        stores = (place.until for place in self.program.tensors[self.old.output].places
                  if place.since in self.old.runs)
        needs, kept = _Needs(self._on_chip()), []
        for at in range(max((*self.old.runs, *stores)), -1, -1):
            found = self._step(at)
            if found is None:
                continue
            if needs.take(found):
                kept.append((at, found))
            elif needs.harmless(found):
                kept.append((SPARE, found))
        return _with_leading(kept[::-1])

    def _on_chip(self) -> np.ndarray:
        """Rows of tensors that are on chip as a whole; what others had there does not count."""
        rows = np.zeros(self.config.rows, bool)
        for tensor in self.tensors:
            if not tensor.home:
                rows[step.rows(tensor).items()] = True
        return rows

    def _step(self, at: int) -> Step | None:
        """An instruction, if it can be one of the layer's."""
        instruction = self.program.instructions[at]
        if isinstance(instruction, Run):
            return self._run(at, instruction) if at in self.old.runs else None
        if isinstance(instruction, TableLoad):
            return _entries(self.program, instruction)
        if isinstance(instruction, Fill):
            return step.pads(instruction.row, instruction.rows, instruction.code, 0, self.config)
        if isinstance(instruction, Load | Store):
            return self._move(instruction)
        return None

    def _run(self, at: int, instruction: Run) -> Step:
        start = instruction.stream * UNIT_BYTES - self.program.stream_base
        stream = self.program.streams[start:start + instruction.stream_units * UNIT_BYTES]
        reads = tuple(_rows(place) for number in self.index if number != self.old.output
                      for place in self.program.tensors[number].places if place.in_force(at))
        return step.run(dataclasses.replace(instruction, stream=0, **FREE), stream,
                        range(self.config.table_pairs), 0,
                        (reads, (self._written(instruction),)), self.config)

    def _written(self, run: Run) -> Region:
        rows = effects.writes(run, self.config.memory_codes) // self.config.row_codes
        return Region(Space.ROWS, 0, int(rows.min()), int(rows.max()) + 1)

    def _move(self, instruction: Load | Store) -> Step | None:
        """A LOAD from a source's home or a STORE to the output's."""
        region = _outside(self.program, instruction)
        for number, start in self.starts.items():
            stores = number == self.old.output
            if isinstance(instruction, Store) == stores and region.meets(
                    _elements(self.program, self.program.tensors[number])):
                address = instruction.address - start // UNIT_BYTES
                return step.move(dataclasses.replace(instruction, address=address, **FREE),
                                 self.index[number], self.config)
        return None

    # ---- places -----------------------------------------------------------------------------
    def _windows(self, number: int) -> Iterator[Place]:
        """The windows that the layer's RUNs read or write, from and until where they are now."""
        for place in self.program.tensors[number].places:
            users = [at for at in self.made if place.since <= at <= place.until]
            if number != self.old.output:
                users = [at for at in self.old.runs if place.in_force(at)]
            elif place.since not in self.old.runs:
                continue
            if users and place.box is not None:
                since = max((now for at, now in self.made.items() if at <= place.since), default=0)
                yield dataclasses.replace(place, since=since, until=self.made[max(users)])


class _Needs:
    """What the steps behind read, and no step between writes. given: rows that need no step."""

    def __init__(self, given: np.ndarray) -> None:
        self.given, self.rows = given, np.zeros_like(given)
        self.tables: set[Region] = set()
        self.hidden: list[Region] = []

    def take(self, found: Step) -> bool:
        """Is the step before them needed? Then they need what it reads."""
        if isinstance(found.instruction, Run | Store):
            self._read(found.reads)
            return True
        region, = found.writes
        if region.space == Space.ROWS:
            needed = bool(self.rows[region.items()].any())
            self.rows[region.items()] = False
            return needed
        needed = any(region.meets(other) for other in self.tables) and not any(
            other.holds(region) for other in self.hidden)
        if needed:
            self.hidden.append(region)
        return needed

    def harmless(self, found: Step) -> bool:
        """Is it a FILL of rows that nobody needs?"""
        return isinstance(found.instruction, Fill) and not any(
            self.given[region.items()].any() for region in found.writes)

    def _read(self, reads: Regions) -> None:
        for region in reads:
            if region.space == Space.ROWS:
                self.rows[region.items()] = ~self.given[region.items()]
            else:
                self.tables.add(region)
                self.hidden = []


def _with_leading(kept: list[tuple[int, Step]]) -> list[tuple[int, Step]]:
    """The steps without spare FILLs, but for those that lead from LOAD to STORE or back: between
    these two there is no token (docs/machine.md)."""
    found: list[tuple[int, Step]] = []
    last, spare = None, None
    for at, one in kept:
        if at == SPARE:
            spare = at, one
            continue
        if step.uses_memory(one):
            if spare is not None and {last, type(one.instruction)} == {Load, Store}:
                found.append(spare)
            last, spare = type(one.instruction), None
        found.append((at, one))
    return found


def _rows(place: Place) -> Region:
    return Region(Space.ROWS, 0, place.layout.first_row, place.layout.first_row + place.layout.rows)


def _outside(program: Program, instruction: Load | Store) -> Region:
    """The bytes that a transfer moves from or to."""
    return next(region for regions in effects.regions(instruction, program.config)
                for region in regions if region.space == Space.EXTERNAL)


def _elements(program: Program, tensor: Tensor) -> Region:
    """The bytes of a home from its first to its last element."""
    assert tensor.home is not None
    low, high = tensor.home.layout.ends(tensor.kind.codes)
    size = program.config.codes_per_byte
    return Region(Space.EXTERNAL, 0, low // size, high // size + 1)


def _home(program: Program, home: Place, tensor: Tensor) -> list[Region]:
    """The elements of a home, and what is moved with some of them, pads included."""
    elements = _elements(program, tensor)
    moves = (_outside(program, ins) for ins in program.instructions
             if isinstance(ins, Load | Store))
    return [elements, *(region for region in moves if region.meets(elements))]


def _entries(program: Program, instruction: TableLoad) -> Step:
    start = instruction.address * UNIT_BYTES - program.table_base
    data = b""
    if instruction.kind != Table.RAMP:
        data = program.tables[start:start + isa.ENTRY_BYTES * instruction.count]
    return step.entries(dataclasses.replace(instruction, address=0, **FREE), data, program.config)
