"""One layer of a program as a program of its own, to study a difference alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..arch import isa
from ..arch.isa import UNIT_BYTES, Run, Table, TableLoad
from ..arch.program import Layer, Program, Tensor
from ..arch.region import Region
from ..compiler.emit import step
from ..compiler.emit.areas import Role, area, transfers
from ..compiler.emit.assemble import assemble
from ..compiler.emit.plan import Plan
from ..compiler.emit.step import Step

FREE = dict.fromkeys(isa.FLAGS, 0)      # of tokens


def single_layer(program: Program, number: int) -> Program:
    """The program that computes only layer `number`.

    Its inputs are the layer's source tensors, loaded to where they lay, its output is the layer's
    output; streams and tables are the layer's.
    """
    config, layer = program.config, program.layers[number]
    sources = dict.fromkeys(source.tensor for source in layer.sources)
    index = {tensor: at for at, tensor in enumerate([*sources, layer.output])}
    tensors = tuple(program.tensors[tensor] for tensor in index)
    alone = _alone(layer, index)
    areas = tuple(area(Role.OUTPUT if tensor == layer.output else Role.INPUT, tensors[at].name, at,
                       tensors[at].layout, config) for tensor, at in index.items())
    steps = [*transfers(areas, Role.INPUT, tensors, config),
             step.fill(tensors[alone.output], 0, config),
             *_work(program, layer.runs, alone, tensors),
             *transfers(areas, Role.OUTPUT, tensors, config)]
    return assemble(Plan(config, tensors, (alone,), areas, tuple(steps)))


def _alone(layer: Layer, index: Mapping[int, int]) -> Layer:
    """The layer with the tensors of its own program."""
    sources = tuple(dataclasses.replace(s, tensor=index[s.tensor]) for s in layer.sources)
    return dataclasses.replace(layer, sources=sources, output=index[layer.output], runs=())


def _work(program: Program, runs: tuple[int, ...], layer: Layer, tensors: tuple[Tensor, ...]
          ) -> list[Step]:
    """The RUNs, and the TABLE instructions whose entries they may read, in program order."""
    kept: list[Step] = []
    wanted: set[Region] = set()          # what the RUNs behind read
    hidden: list[Region] = []            # what is written before the next of them
    for at in range(max(runs), -1, -1):
        instruction = program.instructions[at]
        if at in runs and isinstance(instruction, Run):
            kept.append(_run(program, instruction, layer, tensors))
            wanted |= set(kept[-1].reads)
            hidden = []
        elif isinstance(instruction, TableLoad):
            found = _entries(program, instruction)
            region, = found.writes
            if any(region.meets(other) for other in wanted) and not any(
                    other.holds(region) for other in hidden):
                kept.append(found)
                hidden.append(region)
    return kept[::-1]


def _run(program: Program, instruction: Run, layer: Layer, tensors: tuple[Tensor, ...]) -> Step:
    start = instruction.stream * UNIT_BYTES - program.stream_base
    stream = program.streams[start:start + instruction.stream_units * UNIT_BYTES]
    return step.run(dataclasses.replace(instruction, stream=0, **FREE), stream,
                    range(program.config.table_pairs), 0, step.whole(layer, tensors),
                    program.config)


def _entries(program: Program, instruction: TableLoad) -> Step:
    start = instruction.address * UNIT_BYTES - program.table_base
    data = b""
    if instruction.kind != Table.RAMP:
        data = program.tables[start:start + isa.ENTRY_BYTES * instruction.count]
    return step.entries(dataclasses.replace(instruction, address=0, **FREE), data, program.config)
