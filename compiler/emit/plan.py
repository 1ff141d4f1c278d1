"""A plan: every step of a program in order, with what it reads and writes, before the bytes.

    step  what   of     writes      reads       tables                    bytes  after
    0     LOAD   x      rows 4..7   x 0..15                                   0
    1     FILL   conv1  rows 0..3                                             0  0
    2     TABLE                                 DECODE 0: 0..15              64
    ...
    6     RUN    conv1  rows 0..3   rows 4..7   BASE 0 OFFSET 0 DECODE 0    128  5

`bytes` counts a step's constants; `after` names the steps whose tokens it takes: `tokens.py`
derives them, `assemble.py` makes the program.
"""

from __future__ import annotations

import dataclasses
import functools

from ...arch.columns import columns
from ...arch.config import Config
from ...arch.effects import Regions
from ...arch.program import Layer, Tensor
from ...arch.region import TABLES, Region, Space
from ...arch.show import as_html, table
from . import tokens
from .areas import Area
from .step import Step

HEAD = ("step", "what", "of", "writes", "reads", "tables", "bytes", "after")


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """All that a program is made of.

    layers: without their RUNs, which the steps name. nodes: of the graph, one a tensor, or none.
    """

    config: Config
    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    areas: tuple[Area, ...]
    steps: tuple[Step, ...]
    nodes: tuple[str, ...] = ()

    @functools.cached_property
    def waits(self) -> list[list[int]]:
        """For every step the earlier ones whose tokens it takes."""
        return tokens.waits(self.steps)

    def __str__(self) -> str:
        """A line a step."""
        return columns(HEAD, [self._row(index) for index in range(len(self.steps))])

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        rows = map(self._row, range(len(self.steps)))
        return as_html([table("plan", HEAD, rows, range(len(HEAD)))])

    def _row(self, index: int) -> tuple[object, ...]:
        step = self.steps[index]
        return (str(index), step.instruction.OP.name, self._of(step), self._places(step.writes),
                self._places(step.reads), self._tables(step), len(step.data),
                ", ".join(map(str, self.waits[index])))

    def _of(self, step: Step) -> str:
        if step.area is not None:
            return self.areas[step.area].name
        return "" if step.layer is None else self.layers[step.layer].name

    def _places(self, regions: Regions) -> str:
        """Those of the activation memory and of external memory."""
        return ", ".join(self.said(region) for region in regions if region.space not in TABLES)

    def said(self, region: Region) -> str:
        """Which memory, and its items from first to last."""
        items = f"{region.first}..{region.end - 1}"
        if region.space == Space.ROWS:
            return f"rows {items}"
        if region.space == Space.EXTERNAL:
            return f"{self.areas[region.part].name} {items}"
        return f"{region.space.value} {region.part}: {items}"

    def _tables(self, step: Step) -> str:
        """What a TABLE writes, or the banks that a RUN reads."""
        written = [self.said(region) for region in step.writes if region.space in TABLES]
        banks: dict[str, str] = {}
        for region in step.reads:
            if region.space in TABLES:
                banks[region.space.value] = f"{banks.get(region.space.value, '')} {region.part}"
        return " ".join([*written, *(f"{name}{parts}" for name, parts in banks.items())])
