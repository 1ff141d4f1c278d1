"""What a machine made of every tensor: parts, read from where they lie once they are complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .place import Place
from .program import Program, chip_places, completed_by
from .region import Space

Ints = NDArray[np.int64]
Due = tuple[int, Place]         # a tensor, and one of its places


def due(program: Program) -> dict[int, list[Due]]:
    """Places in the activation memory, by the instruction at whose end they are to be read.

    Not of a tensor with a home, which external memory holds behind END.
    """
    found = defaultdict(list)
    for number in completed_by(program):
        if not program.tensors[number].home:
            for index, place in chip_places(program, number):
                found[index].append((number, place))
    return dict(found)


def joined(program: Program, parts: Iterable[tuple[Due, Ints]], memory: NDArray[np.uint8]
           ) -> dict[int, Ints]:
    """Codes (planes, N, C, H, W) of every tensor; -1 for elements that lie nowhere.

    parts: what `due` names, with the codes (planes, N, C, H, W) of the part. memory: external
    memory behind END; what lies there is read from it.
    """
    found = {number: np.full(program.tensors[number].kind.codes, -1, np.int64)
             for number in completed_by(program)}
    for (number, place), codes in parts:
        found[number][place.part(program.tensors[number].kind)] = codes
    for number, codes in found.items():
        kind = program.tensors[number].kind
        for place in program.tensors[number].places:
            if place.space == Space.EXTERNAL:
                codes[place.part(kind)] = place.read(memory, kind, program.config)
    return found
