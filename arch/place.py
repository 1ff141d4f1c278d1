"""Where a part of a tensor lies, and from when until when.

A tensor may have several places: all of it in the activation memory; or a home in external memory,
and windows of some lines or channels of it on chip, one after the other.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .kind import Kind, Shape
from .layout import Ints, Layout, pack
from .region import Space


@dataclasses.dataclass(frozen=True)
class Box:
    """Lines y to y + height - 1 of channels c to c + channels - 1, of all planes and images."""

    y: int
    height: int
    channel: int
    channels: int

    def has(self, channel: int, y: int) -> bool:
        """Is the line of the channel in the box?"""
        return (0 <= y - self.y < self.height
                and 0 <= channel - self.channel < self.channels)

    @property
    def part(self) -> tuple[slice, ...]:
        """The box in an array (planes, N, C, H, W)."""
        return (slice(None), slice(None), slice(self.channel, self.channel + self.channels),
                slice(self.y, self.y + self.height))


@dataclasses.dataclass(frozen=True)
class Place:
    """A box of a tensor in a memory; `layout` counts lines and channels from the box's first.

    box: None for the whole tensor. space: ROWS, where addresses wrap around, or EXTERNAL, where the
    code address of a byte is its address times the codes in a byte. since, until: the instructions
    after which the elements are there, and that reads them last; -1 where the layer table tells.
    """

    layout: Layout
    box: Box | None = None
    space: Space = Space.ROWS
    since: int = -1
    until: int = -1

    @property
    def whole(self) -> bool:
        """All of the tensor, in the activation memory, for as long as the layer table says."""
        return (self.box is None and self.space == Space.ROWS
                and self.since == self.until == -1)

    def shape(self, kind: Kind) -> Shape:
        """(planes, N, C, H, W) of the part that lies here."""
        if self.box is None:
            return kind.codes
        return kind.planes, kind.images, self.box.channels, self.box.height, kind.width

    def part(self, kind: Kind) -> tuple[slice, ...]:
        """What lies here in the codes (planes, N, C, H, W) of the tensor."""
        return (slice(None),) if self.box is None else self.box.part

    def addresses(self, kind: Kind, config: Config) -> Ints:
        """Code address of every element of the part, (planes, N, C, H, W)."""
        found = self.layout.addresses(self.shape(kind))
        return found % config.memory_codes if self.space == Space.ROWS else found

    def at(self, address: int, config: Config) -> Place:
        """A place outside whose layout counts from the start of its area, at the area's address."""
        base = self.layout.base + address * config.codes_per_byte
        return dataclasses.replace(self, layout=dataclasses.replace(self.layout, base=base))

    def around(self, plane: Ints | int, image: Ints | int, channel: Ints | int, y: Ints | int,
               x: Ints | int) -> Ints:
        """Code address of elements of the tensor, and of cells around them, where the part and its
        layout have them; not reduced."""
        box, at = self.box or Box(0, 0, 0, 0), self.layout
        return np.asarray(at.base + plane * at.plane + image * at.image
                          + (channel - box.channel) * at.channel + at.offset(y - box.y, x))

    def in_force(self, index: int) -> bool:
        """May the RUN that is instruction `index` read it?"""
        return self.space == Space.ROWS and (self.whole or self.since < index <= self.until)

    @property
    def said(self) -> str:
        """The place in words."""
        if self.space == Space.EXTERNAL:
            return "its home"
        if self.box is None:
            return "its rows"
        box = self.box
        return (f"its window of lines {box.y} to {box.y + box.height - 1} of channels "
                f"{box.channel} to {box.channel + box.channels - 1}")

    def moved(self, address: int, config: Config) -> Place:
        """The image of the place's rows at a byte address of external memory."""
        first = self.layout.first_row * config.row_codes
        at = (self.layout.base - first) % config.memory_codes + address * config.codes_per_byte
        return dataclasses.replace(self, layout=dataclasses.replace(self.layout, base=at),
                                   space=Space.EXTERNAL)

    def read(self, memory: NDArray[np.uint8], kind: Kind, config: Config) -> Ints:
        """Codes (planes, N, C, H, W) of the part, which lies in this external memory."""
        at = self.addresses(kind, config)
        if config.codes_per_byte == 1:
            return memory[at].astype(np.int64)
        return (memory[at >> 1] >> (at & 1) * 4 & 15).astype(np.int64)


def image(codes: Ints, kind: Kind, place: Place, address: int, config: Config
          ) -> NDArray[np.uint8]:
    """A whole tensor as the bytes of external memory that begin at a byte address, pads included.

    codes: (planes, N, C, H, W); place: where it lies there. Returns uint8 of
    place.layout.rows * config.row_bytes.
    """
    cells = np.full(place.layout.rows * config.row_codes, kind.pad, np.int64)
    cells[place.addresses(kind, config) - address * config.codes_per_byte] = codes
    return pack(cells, config)
