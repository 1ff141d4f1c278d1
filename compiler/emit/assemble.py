"""Plan to program: tokens, streams, tables and areas put into external memory, addresses.

The one place where a program is put together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ...arch import isa
from ...arch.meta import Meta
from ...arch.program import Layer, Port, Program, Tensor, align
from ...arch.region import Space
from . import tokens
from .areas import Role
from .plan import Plan
from .step import Step


class Section:
    """A part of external memory: pieces at multiples of `unit` bytes, equal ones stored once."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.data = bytearray()
        self.at: dict[bytes, int] = {}           # piece -> its offset

    def add(self, piece: bytes) -> None:
        if piece not in self.at:
            self.at[piece] = len(self.data)
            self.data += piece + bytes(-len(piece) % self.unit)


class _Memory:
    """External memory: instructions, streams, tables, areas."""

    def __init__(self, plan: Plan) -> None:
        unit = max(isa.UNIT_BYTES, plan.config.port_bytes)
        self.streams, self.tables = Section(unit), Section(unit)
        for step in plan.steps:
            if step.data:
                self._section(step).add(step.data)
        self.stream_base = align(
            isa.size(step.instruction for step in plan.steps) + isa.End.BYTES)
        self.table_base = align(self.stream_base + len(self.streams.data))
        self.end = align(self.table_base + len(self.tables.data))
        self.areas = []
        for area in plan.areas:
            self.areas.append(self.end)
            self.end = align(self.end + area.size)

    def _section(self, step: Step) -> Section:
        return self.streams if isinstance(step.instruction, isa.Run) else self.tables

    def address(self, step: Step) -> tokens.Flags:
        """The field that says where a step's constants or area bytes lie, if it has one."""
        if isinstance(step.instruction, isa.Run):
            at = self.stream_base + self.streams.at[step.data]
            return {"stream": at // isa.UNIT_BYTES}
        if step.data:
            at = self.table_base + self.tables.at[step.data]
            return {"address": at // isa.UNIT_BYTES}
        if isinstance(step.instruction, isa.Load | isa.Store) and step.area is not None:
            return {"address": step.instruction.address + self.areas[step.area] // isa.UNIT_BYTES}
        return {}

    def tensors(self, plan: Plan) -> tuple[Tensor, ...]:
        """The tensors, those outside at their addresses."""
        at = {area.tensor: address for area, address in zip(plan.areas, self.areas, strict=True)}
        return tuple(dataclasses.replace(tensor, places=tuple(
            place if place.space == Space.ROWS else place.at(at[number], plan.config)
            for place in tensor.places)) for number, tensor in enumerate(plan.tensors))

    def ports(self, plan: Plan, role: Role) -> tuple[Port, ...]:
        """The areas of this role."""
        return tuple(Port(area.name, area.tensor, at)
                     for area, at in zip(plan.areas, self.areas, strict=True) if area.role == role)


def assemble(plan: Plan) -> Program:
    """The program of a plan: its steps one by one, and END."""
    memory = _Memory(plan)
    instructions = [
        dataclasses.replace(step.instruction, **flags, **memory.address(step))
        for step, flags in zip(plan.steps, tokens.flags(plan.steps, plan.waits), strict=True)]
    return Program(
        plan.config, (*instructions, isa.End()), bytes(memory.streams.data),
        bytes(memory.tables.data), memory.tensors(plan), memory.ports(plan, Role.INPUT),
        memory.ports(plan, Role.OUTPUT),
        tuple(_owning(layer, number, plan.steps) for number, layer in enumerate(plan.layers)),
        memory.end, Meta(nodes=plan.nodes))


def _owning(layer: Layer, number: int, steps: Sequence[Step]) -> Layer:
    """The layer with the places of its RUNs."""
    return dataclasses.replace(layer, runs=tuple(
        index for index, step in enumerate(steps)
        if isinstance(step.instruction, isa.Run) and step.layer == number))
