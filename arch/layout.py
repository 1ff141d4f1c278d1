"""How the elements of a part of a tensor lie in a memory, and codes as bytes of external memory."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .kind import Shape

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Distances from element to element. Addresses are code addresses.

    Element (n, c, y, x) of digit plane j lies at
    base + n*image + c*channel + j*plane + (y div split)*row + (x div split)*column
         + (y mod split)*phase_y + (x mod split)*phase_x.
    """

    base: int                 # address of element (0, 0, 0, 0) of plane 0
    first_row: int            # the allocation: first memory row (2P codes) and number of rows
    rows: int
    channel: int              # strides
    plane: int
    image: int
    row: int
    column: int
    split: int = 1            # s: phase planes in each direction
    phase_y: int = 0
    phase_x: int = 0

    def offset(self, y: Ints | int, x: Ints | int) -> Ints:
        """Address of (y, x) relative to (0, 0); pads included, so it may be negative."""
        return (np.floor_divide(y, self.split) * self.row
                + np.mod(y, self.split) * self.phase_y
                + np.floor_divide(x, self.split) * self.column
                + np.mod(x, self.split) * self.phase_x)

    def ends(self, shape: Shape) -> tuple[int, int]:
        """The lowest and the highest of `addresses`, without making them all."""
        *counts, height, width = shape
        strides = self.plane, self.image, self.channel
        axes = [np.array([0, (count - 1) * stride])
                for count, stride in zip(counts, strides, strict=True)]
        axes += [self.offset(_ends(height, self.split), 0),
                 self.offset(0, _ends(width, self.split))]
        return (self.base + sum(int(axis.min()) for axis in axes),
                self.base + sum(int(axis.max()) for axis in axes))

    def addresses(self, shape: Shape) -> Ints:
        """Code address of every element: int64 (planes, N, C, H, W), not yet modulo the memory."""
        plane, image, channel, y, x = np.ogrid[tuple(map(slice, shape))]
        return (self.base + plane * self.plane + image * self.image + channel * self.channel
                + self.offset(y, x)).astype(np.int64)


def _ends(count: int, split: int) -> Ints:
    """The first and the last of every phase."""
    return np.unique(np.concatenate([np.arange(min(split, count)),
                                     np.arange(max(0, count - split), count)]))


def pack(codes: Ints, config: Config) -> NDArray[np.uint8]:
    """Codes (whole rows) to bytes of external memory: two a byte (low nibble first) at AB = 4."""
    flat = np.asarray(codes).astype(np.uint8).ravel()
    if config.codes_per_byte == 1:
        return flat
    return (flat[0::2] | flat[1::2] << 4).astype(np.uint8)


def unpack(data: NDArray[np.uint8], config: Config) -> Ints:
    """Inverse of `pack`."""
    if config.codes_per_byte == 1:
        return data.astype(np.int64)
    return np.stack([data & 15, data >> 4], axis=1).astype(np.int64).ravel()
