"""One step of a plan: an instruction to be, with all that it reads and writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from ...arch import effects, isa
from ...arch.config import Config
from ...arch.effects import Regions
from ...arch.program import Layer, Tensor
from ...arch.region import Region, Space


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """What one unit does, before tokens and external addresses are known.

    instruction: without tokens; what a LOAD or STORE moves counts from the start of its area.
    reads, writes: beside constants. data: the constants, which are the stream of a RUN and the
    entries of a TABLE. layer: that a RUN or FILL belongs to.
    """

    instruction: isa.Instruction
    reads: Regions
    writes: Regions
    data: bytes = b""
    area: int | None = None
    layer: int | None = None

    @property
    def unit(self) -> isa.Unit:
        """The queue that executes it."""
        assert self.instruction.UNIT is not None
        return self.instruction.UNIT


def move(instruction: isa.Load | isa.Store, area: int, config: Config) -> Step:
    """Rows from or to an area of external memory."""
    return Step(instruction, *effects.regions(instruction, config, area), area=area)


def entries(instruction: isa.TableLoad, data: bytes, config: Config) -> Step:
    """Entries of a table, from `data`; none for a RAMP."""
    return Step(instruction, *effects.regions(instruction, config), data)


def fill(tensor: Tensor, layer: int, config: Config) -> Step:
    """The pad code wherever a tensor will lie."""
    layout = tensor.layout
    return pads(layout.first_row, layout.rows, tensor.kind.pad, layer, config)


def pads(row: int, rows: int, code: int, layer: int, config: Config) -> Step:
    """A code in all cells of some rows."""
    instruction = isa.Fill(row, rows, code)
    return Step(instruction, *effects.regions(instruction, config), layer=layer)


def run(instruction: isa.Run, stream: bytes, pairs: Iterable[int], number: int,
        touched: tuple[Regions, Regions], config: Config) -> Step:
    """A RUN of layer `number`. pairs: its decode tables; touched: the rows it reads and writes."""
    reads, writes = touched
    return Step(instruction, reads + effects.banks(instruction, pairs, config), writes, stream,
                layer=number)


def whole(layer: Layer, tensors: Sequence[Tensor]) -> tuple[Regions, Regions]:
    """The rows of a layer's sources and of its output, which are on chip."""
    sources = dict.fromkeys(source.tensor for source in layer.sources)
    return tuple(rows(tensors[source]) for source in sources), (rows(tensors[layer.output]),)


def uses_memory(step: Step) -> bool:
    """Does it read or write rows of the activation memory?"""
    return any(region.space == Space.ROWS for region in (*step.reads, *step.writes))


def rows(tensor: Tensor) -> Region:
    """Where a tensor lies, pads included."""
    layout = tensor.layout
    return Region(Space.ROWS, 0, layout.first_row, layout.first_row + layout.rows)
