"""Areas of external memory: what the host gives and takes, and what a program puts aside."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from ...arch import isa
from ...arch.config import Config
from ...arch.program import Tensor
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


def area(role: Role, name: str, number: int, tensors: Sequence[Tensor], config: Config) -> Area:
    """Room for all rows of a tensor."""
    return Area(name, role, number, tensors[number].layout.rows * config.row_bytes)


def transfers(areas: Sequence[Area], role: Role, tensors: Sequence[Tensor], config: Config
              ) -> list[Step]:
    """LOADs of all inputs or STOREs of all outputs, whole."""
    kind = isa.Load if role == Role.INPUT else isa.Store
    layouts = [tensors[found.tensor].layout for found in areas]
    return [move(kind(0, layout.first_row, layout.rows), number, config)
            for number, (found, layout) in enumerate(zip(areas, layouts, strict=True))
            if found.role == role]
