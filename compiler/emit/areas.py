"""Areas of external memory: what the host gives and takes, and what a program puts aside."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from ...arch import isa
from ...arch.config import Config
from ...arch.layout import Layout
from ...arch.program import Tensor
from ...arch.region import Space
from .step import Step, move


class Role(enum.Enum):
    """Who fills an area of external memory, and who wants it."""

    INPUT = "input"          # the host fills it before the program starts
    OUTPUT = "output"        # the host reads it behind the program's end
    BETWEEN = "between"      # the program itself, and nobody else


@dataclasses.dataclass(frozen=True)
class Area:
    """A stretch of external memory that transfers use. tensor: what it holds; size: in bytes."""

    name: str
    role: Role
    tensor: int
    size: int


def area(role: Role, name: str, number: int, layout: Layout, config: Config) -> Area:
    """Room for all rows of a tensor."""
    return Area(name, role, number, layout.rows * config.row_bytes)


def transfers(areas: Sequence[Area], role: Role, tensors: Sequence[Tensor], config: Config
              ) -> list[Step]:
    """LOADs of all inputs on chip or STOREs of all outputs there, whole."""
    kind = isa.Load if role == Role.INPUT else isa.Store
    steps = []
    for number, found in enumerate(areas):
        kept = tensors[found.tensor].places[0]
        if found.role == role and kept.space == Space.ROWS:
            layout = kept.layout
            steps.append(move(kind(0, layout.first_row, layout.rows), number, config))
    return steps
