"""From a machine's trace to an `engine.Result`: stamps by instruction, tensors from writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arch.capture import due, joined
from ..arch.engine import Writes
from ..arch.isa import Unit
from ..arch.program import Program
from .benchfiles import EngineError

Ints = NDArray[np.int64]


def stamps(program: Program, marks: dict[Unit, Ints], engine: str, verb: str) -> Ints:
    """Cycle by instruction: a unit's k-th mark belongs to its k-th instruction; END has -1.

    verb: what the marks say that the unit did, for the EngineError when their number is wrong.
    """
    found = np.full(len(program.instructions), -1, np.int64)
    for unit, cycles in marks.items():
        wanted = [i for i, ins in enumerate(program.instructions) if ins.UNIT is unit]
        if len(cycles) != len(wanted):
            raise EngineError(f"engine {engine}: the {unit.name} unit {verb} {len(cycles)} "
                              f"instructions of its {len(wanted)}: the machine is faulty")
        found[wanted] = cycles
    return found


def tensors_from(program: Program, writes: Writes, ends: Ints, external: NDArray[np.uint8]
                 ) -> dict[int, Ints]:
    """Codes (planes, N, C, H, W) of every tensor when the instruction that completes it ends.

    writes: all writes of the activation memory, in order; ends: end stamps by instruction;
    external: external memory behind END.
    """
    config = program.config
    memory = np.zeros(config.memory_codes, np.int64)
    at, parts = 0, []
    for index, places in sorted(due(program).items(), key=lambda item: int(ends[item[0]])):
        end = int(ends[index])
        until = int(np.searchsorted(writes.cycle, end, side="right"))
        line, cell = np.nonzero(writes.mask[at:until])
        memory[writes.row[at:until][line] * config.row_codes + cell] = (
            writes.codes[at:until][line, cell])       # of a cell's writes the last one stays
        at = until
        for tensor, place in places:
            cells = place.addresses(program.tensors[tensor].kind, config)
            parts.append(((tensor, place), memory[cells]))
    return dict(sorted(joined(program, parts, external).items()))
