"""What a RUN reads of a source: how far its taps reach from its outputs, and which elements those
are, with the pads around them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .kind import Kind
from .place import Place
from .program import Layer, Source

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The outputs of a RUN: its channels, and n, y, x of every position (images, height, width)."""

    channels: slice
    n: Ints
    y: Ints
    x: Ints

    @property
    def first(self) -> tuple[int, int, int]:
        """(n, y, x) of the first position."""
        return int(self.n.flat[0]), int(self.y.flat[0]), int(self.x.flat[0])


@dataclasses.dataclass(frozen=True)
class Reach:
    """What some channels of a layer read of a source: their taps' dy and dx, each pair once, and
    the channels and planes."""

    dy: Ints
    dx: Ints
    channels: Ints
    planes: Ints


@dataclasses.dataclass(frozen=True)
class Part:
    """All combinations of some planes, images, channels, lines and columns of a tensor, the last
    two also beside it."""

    planes: Ints
    images: Ints
    channels: Ints
    lines: Ints
    columns: Ints

    @property
    def axes(self) -> tuple[Ints, ...]:
        """The five lists."""
        return self.planes, self.images, self.channels, self.lines, self.columns

    def addresses(self, place: Place) -> Ints:
        """Code address of every cell, not reduced."""
        return place.around(*np.ix_(*self.axes))

    def inside(self, kind: Kind) -> NDArray[np.bool_]:
        """Which cells are elements, not pads."""
        lines, columns = _inside(self.lines, kind.height), _inside(self.columns, kind.width)
        shape = tuple(len(axis) for axis in self.axes)
        return np.broadcast_to(lines[:, None] & columns, shape)

    def within(self, place: Place, kind: Kind) -> bool:
        """Do the elements lie in the place's box?"""
        box, lines = place.box, self.lines[_inside(self.lines, kind.height)]
        return box is None or bool(
            _inside(lines - box.y, box.height).all()
            and _inside(self.channels - box.channel, box.channels).all())


def _inside(values: Ints, limit: int) -> NDArray[np.bool_]:
    return (values >= 0) & (values < limit)


def taps_of(layer: Layer, channels: slice) -> slice:
    """The taps of some output channels."""
    clusters = layer.taps.channel_clusters[[channels.start, channels.stop]]
    first, end = layer.taps.cluster_taps[clusters].tolist()
    return slice(first, end)


def reaches(layer: Layer, channels: slice) -> list[Reach]:
    """What these output channels read of every source."""
    points = layer.taps.points
    used = np.zeros(len(points), bool)
    used[layer.taps.point[taps_of(layer, channels)]] = True
    read, found = points.take(used), []
    for number in range(len(layer.sources)):
        mine = read.take(read.source == number)
        found.append(Reach(*_pairs(mine.dy, mine.dx), distinct(mine.channel),
                           distinct(mine.plane)))
    return found


def _pairs(dy: Ints, dx: Ints) -> tuple[Ints, Ints]:
    """Each pair once."""
    if not dy.size:
        return dy, dx
    low = int(dx.min())
    width = int(dx.max()) - low + 1
    y, x = np.divmod(distinct(dy * width + dx - low), width)
    return y, x + low


def part(source: Source, reach: Reach, outputs: Outputs) -> Part:
    """What the taps of these outputs read."""
    lines, columns = (distinct(np.add.outer(distinct(at) * stride, distinct(distances)))
                      for at, stride, distances in (
                          (outputs.y, source.stride_y, reach.dy),
                          (outputs.x, source.stride_x, reach.dx)))
    return Part(reach.planes, distinct(outputs.n), reach.channels, lines, columns)


def distinct(values: Ints) -> Ints:
    """The values in ascending order, each once; they lie close together."""
    if not values.size:
        return values.ravel()
    low = int(values.min())
    found = np.zeros(int(values.max()) - low + 1, bool)
    found[values - low] = True
    return np.flatnonzero(found) + low
