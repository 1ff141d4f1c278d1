"""What a program moves between chip and external memory for every layer."""

from __future__ import annotations

import dataclasses

from .isa import Load, Run, Store
from .program import Program, Tensor


@dataclasses.dataclass
class Moved:
    """Bytes that LOADs and STOREs of a layer move, and the bands in which it is computed: RUNs
    without a move between them are one."""

    loaded: int = 0
    stored: int = 0
    bands: int = 0


def moved(program: Program) -> list[Moved]:
    """Of every layer. A LOAD is for the layer of the next RUN, a STORE of that of the last one, or
    of the first layer where none has been."""
    owner = {index: number for number, layer in enumerate(program.layers) for index in layer.runs}
    found = [Moved() for _ in program.layers]
    loaded, last, between = 0, -1, True
    for index, ins in enumerate(program.instructions):
        if isinstance(ins, Run):
            between |= owner[index] != last
            last = owner[index]
            found[last].loaded += loaded
            found[last].bands += between
            loaded, between = 0, False
        elif isinstance(ins, Load | Store):
            between = True
            size = ins.rows * program.config.row_bytes
            if isinstance(ins, Load):
                loaded += size
            else:
                found[max(last, 0)].stored += size
    return found


def kept(tensor: Tensor) -> str:
    """Where a tensor is between layers: on chip, or outside by lines or planes."""
    home = tensor.home
    if home is None:
        return "chip"
    return "lines" if home.layout.row >= home.layout.channel else "planes"
