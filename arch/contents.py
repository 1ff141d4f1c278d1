"""What every code of both memories is while a program runs, whatever the inputs are.

A cell is FOREIGN, holds a known code (code + 1), or an element of a tensor by its number: elements
of all tensors are counted one behind the other, from ELEMENT on.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from . import effects
from .errors import FormatError
from .isa import Fill, Load, Store
from .place import Place
from .program import Program

Cells = NDArray[np.int32]
Ints = NDArray[np.int64]
FOREIGN = 0
ELEMENT = 1 + (1 << 8)
MOST = np.iinfo(np.int32).max


class Contents:
    """The cells of both memories. Before the first instruction external memory holds the inputs.

    chip: of the activation memory; outside: of external memory from program.data_base on.
    """

    def __init__(self, program: Program) -> None:
        sizes = (tensor.kind.size for tensor in program.tensors)
        *self.first, end = itertools.accumulate(sizes, initial=ELEMENT)
        if end > MOST:
            raise FormatError(f"program: its tensors have {end - ELEMENT} elements, more than "
                              f"{MOST - ELEMENT}; recompile the network")
        self.program, self.config = program, program.config
        self.chip: Cells = np.zeros(self.config.memory_codes, np.int32)
        size = program.memory_bytes - program.data_base
        # pages that nothing touches cost nothing
        self.outside: Cells = np.zeros(size * self.config.codes_per_byte, np.int32)
        for port in program.inputs:
            tensor = program.tensors[port.tensor]
            place = tensor.outside(port.address, self.config)
            size = place.layout.rows * self.config.row_bytes
            self.outside[self._codes(port.address, port.address + size)] = tensor.kind.pad + 1
            self.outside[self._at(port.tensor, place)] = self.elements(port.tensor, place)

    def _codes(self, start: int, end: int) -> slice:
        """Bytes of external memory as a part of `outside`."""
        size, base = self.config.codes_per_byte, self.program.data_base
        return slice((start - base) * size, (end - base) * size)

    def _at(self, tensor: int, place: Place) -> Ints:
        """Where the elements of a part in external memory are in `outside`."""
        found = place.addresses(self.program.tensors[tensor].kind, self.config)
        return found - self.program.data_base * self.config.codes_per_byte

    def elements(self, tensor: int, place: Place) -> Cells:
        """The cells of a place that holds what it should: (planes, N, C, H, W) of the part."""
        kind = self.program.tensors[tensor].kind
        part = (*place.part(kind), *[slice(None)] * len(kind.codes))
        return self.numbers(tensor, *(np.arange(size)[cut] for size, cut in zip(
            kind.codes, part, strict=False)))

    def numbers(self, tensor: int, *axes: Ints) -> Cells:
        """The elements at all of these planes, images, channels, lines and columns."""
        shape = self.program.tensors[tensor].kind.codes
        found = np.full(1, self.first[tensor], np.int32)
        for axis, at in enumerate(axes):
            found = np.add.outer(found, (at * math.prod(shape[axis + 1:])).astype(np.int32))
        return found[0]

    # ---- instructions -------------------------------------------------------------------------
    def move(self, ins: Load | Store | Fill) -> None:
        """What a transfer or a FILL does."""
        read, written = effects.regions(ins, self.config)
        if isinstance(ins, Fill):
            self.chip[written[0].items(self.config.row_codes)] = ins.code + 1
            return
        outside, rows = (*read, *written)[::1 if isinstance(ins, Load) else -1]
        cells = rows.items(self.config.row_codes)
        bytes_ = self._codes(outside.first, outside.end)
        if isinstance(ins, Store):
            self.outside[bytes_] = self.chip[cells]
            return
        # below are instructions, streams and tables
        self.chip[cells] = FOREIGN
        self.chip[cells.start - min(0, bytes_.start):cells.stop] = (
            self.outside[max(0, bytes_.start):max(0, bytes_.stop)])

    def expected(self, tensor: int, place: Place) -> Cells:
        """The activation memory if it held a part in its place, and nothing else."""
        found: Cells = np.zeros(self.config.memory_codes, np.int32)
        at = place.addresses(self.program.tensors[tensor].kind, self.config)
        found[at] = self.elements(tensor, place)
        return found

    def holds(self, tensor: int, place: Place) -> bool:
        """Are all elements of a part in its place, in the activation memory?"""
        at = place.addresses(self.program.tensors[tensor].kind, self.config)
        return bool((self.chip[at] == self.elements(tensor, place)).all())

    def holds_outside(self, tensor: int, place: Place) -> bool:
        """The same in external memory."""
        found = self.outside[self._at(tensor, place)]
        return bool((found == self.elements(tensor, place)).all())
