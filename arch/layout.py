"""Where a tensor's elements lie in the activation memory, and its image in external memory."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .config import Config

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Placement of one tensor. Addresses are code addresses, modulo the memory's size.

    Element (n, c, y, x) of digit plane j lies at
    base + n*image + c*channel + j*plane + (y div split)*row + (x div split)*column
         + (y mod split)*phase_y + (x mod split)*phase_x.
    """

    base: int                 # address of element (0, 0, 0, 0) of plane 0
    first_row: int            # the allocation: first memory row (2P codes) and number of rows
    rows: int
    images: int               # N
    channels: int             # C
    height: int               # H
    width: int                # W
    channel: int              # strides
    plane: int
    image: int
    row: int
    column: int
    split: int = 1            # s: phase planes in each direction
    phase_y: int = 0
    phase_x: int = 0
    planes: int = 1           # radix planes; 1 also for a tensor of codes
    bits: int = 0             # w of a radix tensor, 0 for a tensor of codes
    pad: int = 0              # code of the cells around the elements
    order: int = 0            # number of codes below zero

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.images, self.channels, self.height, self.width

    def addresses(self, memory_codes: int) -> Ints:
        """Code address of every element: int64 (planes, N, C, H, W)."""
        y, x = np.arange(self.height), np.arange(self.width)
        rows = (y // self.split) * self.row + (y % self.split) * self.phase_y
        columns = (x // self.split) * self.column + (x % self.split) * self.phase_x
        out = (self.base
               + np.arange(self.planes)[:, None, None, None, None] * self.plane
               + np.arange(self.images)[:, None, None, None] * self.image
               + np.arange(self.channels)[:, None, None] * self.channel
               + rows[:, None] + columns)
        return out.astype(np.int64) % memory_codes


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


def to_image(codes: Ints, layout: Layout, config: Config) -> NDArray[np.uint8]:
    """External-memory image of a tensor's allocation, pads included.

    codes: (planes, N, C, H, W). Returns uint8 of layout.rows * config.row_bytes.
    """
    cells = np.full(layout.rows * config.row_codes, layout.pad, np.int64)
    cells[_within(layout, config)] = codes
    return pack(cells, config)


def from_image(data: NDArray[np.uint8], layout: Layout, config: Config) -> Ints:
    """Inverse of `to_image`: codes of shape (planes, N, C, H, W)."""
    return unpack(data, config)[_within(layout, config)]


def _within(layout: Layout, config: Config) -> Ints:
    at = layout.addresses(config.memory_codes) - layout.first_row * config.row_codes
    return at % config.memory_codes
