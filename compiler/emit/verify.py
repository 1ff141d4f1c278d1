"""What must hold of a plan, before a program is made of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arch import tables
from ...arch.isa import Table
from ...arch.region import TABLES, Region, Space
from ..errors import InternalError
from .areas import Role
from .plan import Plan

Written = dict[tuple[Space, int], NDArray[np.bool_]]
BANKS = 2


def verify(plan: Plan) -> None:
    """InternalError for a step that leaves its memory, that reads what nobody wrote or that no
    token can order, and for an output that is not stored whole."""
    written = _memories(plan)
    for index, step in enumerate(plan.steps):
        for regions, verb in ((step.reads, "reads"), (step.writes, "writes")):
            for region in regions:
                fault = _fault(written, region, verb)
                if fault:
                    raise InternalError(f"step {index} ({step.instruction.OP.name}) {verb} "
                                        f"{plan.said(region)}, {fault}")
        for region in step.writes:
            written[region.space, region.part][region.items()] = True
    for number, area in enumerate(plan.areas):
        if area.role == Role.OUTPUT and not written[Space.EXTERNAL, number].all():
            raise InternalError(f"output {area.name} is not stored whole")
    assert len(plan.waits) == len(plan.steps)       # or tokens.py has refused it


def _memories(plan: Plan) -> Written:
    """What is written before the first step: the inputs."""
    config = plan.config
    found = {(Space.ROWS, 0): np.zeros(config.rows, bool)}
    for number, area in enumerate(plan.areas):
        found[Space.EXTERNAL, number] = np.full(area.size, area.role == Role.INPUT)
    for space in TABLES:
        for bank in range(BANKS):
            found[space, bank] = np.zeros(tables.depth(Table[space.name], config), bool)
    return found


def _fault(written: Written, region: Region, verb: str) -> str:
    """What is wrong with an access. A RUN reads whole banks, of which it needs some entries."""
    memory = written[region.space, region.part]
    if region.end > len(memory):
        return f"and there are {len(memory)}"
    enough = np.any if region.space in TABLES else np.all
    if verb == "reads" and not enough(memory[region.items()]):
        return "which nothing before it wrote"
    return ""
