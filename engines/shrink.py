"""One layer of a program as a program of its own, to study a difference alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..arch import isa
from ..arch.isa import UNIT_BYTES, Instruction, Run, Table, TableLoad, Unit
from ..arch.program import ALIGN, Layer, Port, Program, align


def single_layer(program: Program, number: int) -> Program:
    """The program that computes only layer `number`.

    Its inputs are the layer's source tensors, loaded to where they lay, its output is the layer's
    output; streams and tables are the layer's.
    """
    layer = program.layers[number]
    sources = list(dict.fromkeys(source.tensor for source in layer.sources))
    index = {tensor: at for at, tensor in enumerate([*sources, layer.output])}
    data = _Data(program)
    work = [data.copy(instruction) for instruction in _work(program, layer)]
    out = program.tensors[layer.output].layout
    first = next(at for at, instruction in enumerate(work) if isinstance(instruction, Run))
    work.insert(first, isa.Fill(row=out.first_row, rows=out.rows, code=out.pad))
    code = sum(ins.BYTES for ins in work) + (len(sources) + 2) * isa.SHORT_BYTES
    stream_base = align(code)
    table_base = align(stream_base + len(data.streams))
    ports, end = _ports(program, [*sources, layer.output], table_base + len(data.tables))
    loads = [isa.Load(**_place(program, port)) for port in ports[:-1]]
    store = isa.Store(**_place(program, ports[-1]))
    moved = [_moved(instruction, stream_base, table_base) for instruction in work]
    instructions = with_tokens([*loads, *moved, store])
    runs = tuple(at for at, ins in enumerate(instructions) if isinstance(ins, Run))
    ports = [dataclasses.replace(port, tensor=index[port.tensor]) for port in ports]
    return Program(
        program.config, (*instructions, isa.End()), bytes(data.streams), bytes(data.tables),
        tuple(program.tensors[tensor] for tensor in index), tuple(ports[:-1]), tuple(ports[-1:]),
        (_alone(layer, index, runs),), align(end))


class _Data:
    """Copies of streams and tables; copied instructions count units from their section's start."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.streams = bytearray()
        self.tables = bytearray()
        self.places: dict[int, int] = {}

    def copy(self, instruction: Instruction) -> Instruction:
        """The instruction with the place of its copied stream or table."""
        if isinstance(instruction, Run):
            return dataclasses.replace(instruction, stream=self._stream(instruction))
        if isinstance(instruction, TableLoad) and instruction.kind != Table.RAMP:
            start = instruction.address * UNIT_BYTES - self.program.table_base
            entries = self.program.tables[start:start + 4 * instruction.count]
            return dataclasses.replace(instruction, address=_append(self.tables, entries))
        return instruction

    def _stream(self, run: Run) -> int:
        if run.stream not in self.places:
            start = run.stream * UNIT_BYTES - self.program.stream_base
            entries = self.program.streams[start:start + run.stream_units * UNIT_BYTES]
            self.places[run.stream] = _append(self.streams, entries)
        return self.places[run.stream]


def _append(section: bytearray, data: bytes) -> int:
    """Add data at the next multiple of ALIGN; its unit of 16 bytes."""
    section += bytes(-len(section) % ALIGN)
    place = len(section)
    section += data
    return place // UNIT_BYTES


def _moved(instruction: Instruction, stream_base: int, table_base: int) -> Instruction:
    """Turn a unit counted from the section's start into an external address."""
    if isinstance(instruction, Run):
        return dataclasses.replace(
            instruction, stream=instruction.stream + stream_base // UNIT_BYTES)
    if isinstance(instruction, TableLoad) and instruction.kind != Table.RAMP:
        return dataclasses.replace(
            instruction, address=instruction.address + table_base // UNIT_BYTES)
    return instruction


def _work(program: Program, layer: Layer) -> list[Instruction]:
    """The layer's RUNs and the TABLE instructions that they need, in program order."""
    runs = [ins for ins in (program.instructions[i] for i in layer.runs) if isinstance(ins, Run)]
    banks = {Table.BASE: {run.base_bank for run in runs},
             Table.OFFSET: {run.offset_bank for run in runs},
             Table.CLUSTER: {run.cluster_bank for run in runs}, Table.DECODE: {0, 1}}
    kept: list[Instruction] = []
    later: list[tuple[Table, int, range]] = []
    for at in range(max(layer.runs), -1, -1):
        instruction = program.instructions[at]
        if at in layer.runs:
            kept.append(instruction)
            later = []
        elif isinstance(instruction, TableLoad):
            kind = Table.BASE if instruction.kind == Table.RAMP else Table(instruction.kind)
            entries = range(instruction.first, instruction.first + instruction.count)
            hidden = any(kind == k and instruction.bank == bank and entries[0] in other
                         and entries[-1] in other for k, bank, other in later)
            if instruction.bank in banks[kind] and not hidden:
                kept.append(instruction)
                later.append((kind, instruction.bank, entries))
    return kept[::-1]


def _ports(program: Program, tensors: Sequence[int], at: int) -> tuple[list[Port], int]:
    """A place in external memory for every tensor's image, and the end of the last."""
    ports = []
    for tensor in tensors:
        at = align(at)
        ports.append(Port(program.tensors[tensor].name, tensor, at))
        at += program.tensors[tensor].layout.rows * program.config.row_bytes
    return ports, at


def _place(program: Program, port: Port) -> dict[str, int]:
    layout = program.tensors[port.tensor].layout
    return {"address": port.address // UNIT_BYTES, "row": layout.first_row, "rows": layout.rows}


def with_tokens(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The instructions, ordered by tokens wherever the next one is of another unit.

    Neighbours must be LOAD and COMPUTE or COMPUTE and STORE units.
    """
    out = [dataclasses.replace(ins, pop_prev=0, pop_next=0, push_prev=0, push_next=0)
           for ins in instructions]
    for at, (first, second) in enumerate(zip(out, out[1:], strict=False)):
        if first.UNIT is None or second.UNIT is None or first.UNIT == second.UNIT:
            continue
        forward = Unit(first.UNIT) < Unit(second.UNIT)
        push, pop = ("push_next", "pop_prev") if forward else ("push_prev", "pop_next")
        out[at] = dataclasses.replace(out[at], **{push: 1})
        out[at + 1] = dataclasses.replace(out[at + 1], **{pop: 1})
    return out


def _alone(layer: Layer, index: dict[int, int], runs: tuple[int, ...]) -> Layer:
    """The layer with the tensors and instructions of its own program."""
    sources = tuple(dataclasses.replace(s, tensor=index[s.tensor]) for s in layer.sources)
    return dataclasses.replace(layer, sources=sources, output=index[layer.output], runs=runs)
