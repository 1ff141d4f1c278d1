"""What bands of a layer's outputs take of the tensors outside.

A band is some lines of all output channels, or some channels of all lines: lines where the layer
reads or writes a value whose home is LINES, else channels. Planes that are made of lines may come
in passes: a few channels, all of whose lines are made band by band, then the next ones. The windows
of a band hold what it reads and what it makes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from ...arch.layout import Layout
from ...arch.place import Box, Place
from ...arch.program import Layer
from ..lower.lowered import Ints
from .homes import Home, group_size, line_codes, unit_codes
from .layouts import Placed, packed

Span = tuple[int, int]         # first, one past the last
Size = tuple[int, int]         # lines, channels
# homes of which windows hold lines
BY_LINES = (Home.LINES, Home.PACKED)


class Reads:
    """Which lines and channels of its sources a layer reads."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    @functools.cached_property
    def _reach(self) -> dict[int, list[tuple[int, int, int]]]:
        """Of every value: stride, least and largest dy of each source that it is."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for number, source in enumerate(self.layer.sources):
            points = self.layer.taps.points
            dy = points.dy[points.source == number]
            reach = (int(dy.min()), int(dy.max())) if dy.size else (0, 0)
            found.setdefault(source.tensor, []).append((source.stride_y, *reach))
        return found

    def lines(self, value: int, band: Box) -> Span:
        """Lines of a value that a band reads, pads among them."""
        last = band.y + band.height - 1
        return (min(band.y * stride + low for stride, low, _ in self._reach[value]),
                max(last * stride + high for stride, _, high in self._reach[value]) + 1)

    @functools.cached_property
    def _channels(self) -> dict[int, tuple[Ints, Ints]]:
        """Of every value: the least and the largest channel that each output channel reads."""
        taps = self.layer.taps
        edges = taps.cluster_taps[taps.channel_clusters]
        k = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        found = {}
        for value in self._reach:
            of = np.array([source.tensor == value for source in self.layer.sources])
            mine = of[taps.source]
            low = np.full(len(edges) - 1, np.iinfo(np.int64).max)
            high = np.full(len(edges) - 1, -1)
            np.minimum.at(low, k[mine], taps.channel[mine])
            np.maximum.at(high, k[mine], taps.channel[mine])
            found[value] = low, high
        return found

    def channels(self, value: int, band: Box) -> Span:
        """Channels of a value that a band reads; at least one."""
        low, high = self._channels[value]
        part = slice(band.channel, band.channel + band.channels)
        first, end = int(low[part].min()), int(high[part].max()) + 1
        return (first, end) if first < end else (0, 1)

    def most_channels(self, value: int, size: int, unit: int, channels: int) -> int:
        """Channels of a value that bands of so many channels read at most, in whole units."""
        low, high = self._channels[value]
        firsts = np.arange(0, len(low), size)
        first = np.minimum.reduceat(low, firsts) // unit * unit
        end = np.minimum(channels, -(-(np.maximum.reduceat(high, firsts) + 1) // unit) * unit)
        return max(1, int((end - first).max()))


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """What a band has of a value in a window.

    layout: of the part, from row 0 of the window on, if it had no ends: it counts lines and
    channels from the tensor's first. span: lines (LINES) or channels (PLANES), pads among them.
    rows: that it takes; the last ones, of which `tail` tells how many, hold pads alone.
    """

    layout: Layout
    span: Span
    rows: int
    tail: int


class Bands:
    """The bands of one layer, whatever memory there is."""

    def __init__(self, placed: Placed, number: int) -> None:
        self.placed, self.number = placed, number
        self.layer = placed.split.net.layers[number]
        self.reads = Reads(self.layer)
        self._tails: dict[int, int] = {}
        self.outside = [value for value in dict.fromkeys(
            [*(source.tensor for source in self.layer.sources), self.layer.output])
            if placed.homes[value] != Home.CHIP]

    @functools.cached_property
    def along_lines(self) -> bool:
        """Are they lines?"""
        return any(self.placed.homes[value] in BY_LINES for value in self.outside)

    @functools.cached_property
    def _shape(self) -> tuple[int, int]:
        """Channels and lines of the output."""
        return self.placed.split.net.values[self.layer.output].shape[:2]

    @functools.cached_property
    def step(self) -> int | None:
        """Codes from what an output line reads to what the next one does; None where that differs
        from source to source, so that a RUN computes one line."""
        steps = {source.stride_y * line_codes(self.placed.layouts[source.tensor])
                 for source in self.layer.sources}
        return steps.pop() if len(steps) == 1 else None

    def sizes(self) -> Iterator[Size]:
        """Bands that are about equal, of as many channels as can be, and then as many lines."""
        channels, height = self._shape
        if not self.outside:
            yield height, channels
            return
        cuts = not self.along_lines or self._planes
        passes = _equal(channels, self._unit) if cuts else [channels]
        lines = [height] if not self.along_lines else [1] if self._one_line else _equal(height, 1)
        yield from ((some, few) for few in passes for some in lines)

    def least(self) -> Size:
        """The smallest bands in one pass."""
        *_, (lines, channels) = self.sizes()
        return lines, self._shape[0] if self.along_lines else channels

    @property
    def _one_line(self) -> bool:
        return self.placed.by_lines(self.number) and self.step is None

    @property
    def _planes(self) -> bool:
        return self.placed.homes[self.layer.output] == Home.PLANES

    @property
    def _unit(self) -> int:
        """Passes are of multiples of so many channels."""
        made = self.placed.layouts[self.layer.output]
        return group_size(made, self._units) if self._planes else 1

    def cut(self, size: Size) -> tuple[Box, ...]:
        """The bands of this size, pass after pass."""
        lines, some = size
        channels, height = self._shape
        return tuple(Box(y, min(lines, height - y), k, min(some, channels - k))
                     for k in range(0, channels, some) for y in range(0, height, lines))

    def completes(self, band: Box) -> bool:
        """Is what the window of the output holds complete behind this band? Planes that come in
        lines are with the last one."""
        whole = self._planes and self.along_lines
        return not whole or band.y + band.height == self._shape[1]

    def part(self, value: int, band: Box) -> Part:
        """What a band has of a value outside."""
        home, span = self.placed.layouts[value], self._span(value, band)
        rows = self._rows(value, span)
        if self.placed.homes[value] == Home.PACKED:      # for as many lines as any band reads
            home = packed(self.placed, value, self.placed.windows[self.number][value].lines)
            skipped, rows = int(home.offset(span[0], 0)), home.rows
        elif self.placed.homes[value] == Home.LINES:
            skipped = span[0] * line_codes(home)
        else:
            skipped = span[0] * home.channel
            home = dataclasses.replace(home, plane=self._plane(value, span))
        return Part(dataclasses.replace(home, base=home.base - skipped, rows=rows), span, rows,
                    self._tail(value))

    def _span(self, value: int, band: Box) -> Span:
        """The lines or channels of a value that a band reads or makes, at least one that is no
        pad."""
        made = value == self.layer.output
        if self.placed.homes[value] in BY_LINES:
            if made:
                return band.y, band.y + band.height
            first, end = self.reads.lines(value, band)
            first, end = min(first, self.placed.kinds[value].height - 1), max(end, 1)
            return (first, end) if self.placed.homes[value] == Home.LINES else (
                self._all_lines(value, band, first, end))
        if made:
            return band.channel, band.channel + band.channels
        return self._groups(value, self.reads.channels(value, band))

    def _all_lines(self, value: int, band: Box, first: int, end: int) -> Span:
        """These lines of a value that is packed, from where phases begin on, and those up to the
        next band that nobody reads: all of it is packed once at least."""
        height, behind = self.placed.kinds[value].height, band.y + band.height
        if band.y == 0:
            first = min(first, 0)
        end = max(end, height if behind == self._shape[1] else self.reads.lines(
            value, dataclasses.replace(band, y=behind, height=1))[0])
        return first - first % self.placed.split.splits[value][0], end

    def _plane(self, value: int, span: Span) -> int:
        """Codes of so many channels, in whole rows."""
        return -(-(span[1] - span[0]) * self.placed.layouts[value].channel // self._units) * (
            self._units)

    def _rows(self, value: int, span: Span) -> int:
        """Rows of a window for so many lines or channels."""
        codes = self.placed.config.row_codes
        if self.placed.homes[value] == Home.PACKED:
            return packed(self.placed, value, span[1] - span[0]).rows
        if self.placed.homes[value] == Home.LINES:
            return (span[1] - span[0]) * line_codes(self.placed.layouts[value]) // codes
        planes = self.placed.kinds[value].planes
        return planes * self._plane(value, span) // codes + self._tail(value)

    @functools.cached_property
    def _units(self) -> int:
        return unit_codes(self.placed.config)

    def _groups(self, value: int, span: Span) -> Span:
        """The whole groups of channels that hold these."""
        channels = self.placed.kinds[value].channels
        size = group_size(self.placed.layouts[value], self._units)
        return span[0] // size * size, min(channels, -(-span[1] // size) * size)

    def _tail(self, value: int) -> int:
        """Rows behind the last channel of a window that hold pads of it."""
        if value not in self._tails:
            self._tails[value] = self._pads_behind(value)
        return self._tails[value]

    def _pads_behind(self, value: int) -> int:
        placed, home, margin = self.placed, self.placed.layouts[value], self.placed.margins[value]
        if value == self.layer.output or placed.homes[value] in BY_LINES:
            return 0
        cut_y, cut_x = placed.split.splits[value]
        kind, pitch = placed.kinds[value], placed.pitches[value]
        reached = (home.base + (cut_y * cut_x * placed.batch - 1) * home.image
                   + (-(-kind.height // cut_y) + margin.bottom - 1) * pitch
                   + -(-kind.width // cut_x) + margin.right)
        return max(0, -(-(reached - home.channel) // placed.config.row_codes))

    def packed_lines(self, copy: Bands, band: Box) -> Iterator[Box]:
        """The lines that a layer packs for a band of this one, as many at a time as its window
        holds."""
        value = copy.layer.output
        channels, height, _ = self.placed.split.net.values[value].shape
        first, end = self._span(value, band)
        source = copy.layer.sources[0].tensor
        most = self.placed.windows[copy.number][source].rows // copy.rows((1, channels))[source]
        first, end = max(0, first), min(height, end)
        for y in range(first, end, most):
            yield Box(y, min(most, end - y), 0, channels)

    def rows(self, size: Size) -> dict[int, int]:
        """Rows of every window that holds the parts of all bands of this size."""
        return {value: self._rows(value, (0, self.most(value, size))) for value in self.outside}

    def most(self, value: int, size: Size) -> int:
        """Lines or channels of a value that a band of this size reads or makes at most."""
        if not self.along_lines and value != self.layer.output:
            channels = self.placed.kinds[value].channels
            unit = group_size(self.placed.layouts[value], self._units)
            return self.reads.most_channels(value, size[1], unit, channels)
        bands = self.cut(size)             # all but the first and the last are alike, strides aside
        spans = [self._span(value, band) for band in {bands[0], bands[-1], *bands[-2:-1]}]
        return max(end - first for first, end in spans)


def _equal(count: int, unit: int) -> list[int]:
    """Sizes of about equal parts of a count, in units, the largest first."""
    return list(dict.fromkeys(min(count, -(-count // (n * unit)) * unit)
                              for n in range(1, count + 1)))


def layout_in(placed: Placed, value: int, part: Part, first_row: int) -> Layout:
    """The layout of a part whose window begins at a row; it counts from the tensor's first line
    and channel."""
    return dataclasses.replace(part.layout, first_row=first_row,
                               base=part.layout.base + first_row * placed.config.row_codes)


def clipped(placed: Placed, value: int, span: Span) -> Box | None:
    """The elements among the lines or channels of a part; None where there are pads alone."""
    channels, height, _ = placed.split.net.values[value].shape
    if placed.homes[value] not in BY_LINES:
        return Box(0, height, span[0], span[1] - span[0])
    first, end = max(0, span[0]), min(height, span[1])
    return Box(first, end - first, 0, channels) if first < end else None


def place(layout: Layout, box: Box, since: int, until: int) -> Place:
    """The place of a box; layout: of the whole tensor."""
    base = layout.base + int(layout.offset(box.y, 0)) + box.channel * layout.channel
    return Place(dataclasses.replace(layout, base=base), box, since=since, until=until)


