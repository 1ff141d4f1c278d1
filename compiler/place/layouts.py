"""Where the elements of each tensor lie inside its allocation.

A tensor is a stack of raster planes: digit planes, channels, phases, images, rows, columns, from
the outside in. The pitch of a row holds the larger of the left and right reach beside the elements,
the rows of a plane the larger of the top and bottom reach, because neighbours share their pads.

What does not fit the activation memory has a home outside (`tile.py` says what): all channels of a
line behind one another (LINES), or planes as on chip, where groups of channels take whole rows
(PLANES), so that transfers bring lines or channels.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...arch.columns import columns, dims
from ...arch.config import Config
from ...arch.kind import Kind
from ...arch.layout import Layout
from ...arch.place import Box
from ...arch.program import Layer
from ..ir.quantised import Radix
from ..lower.lowered import Ints, Value
from .homes import Home, Window, channel_step, unit_codes
from .lives import Life, lives
from .splits import Split, Walk, outside


@dataclasses.dataclass
class Margin:
    """What readers want of a raster: cells around it, and a least size of it in steps of theirs."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    height: int = 1
    width: int = 1
    padded: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """A network whose tensors have kinds and layouts.

    pitches, rows: raster positions from row to row and rows from image to image, per value.
    margins: around it. leads: cells in front of the first one of a line outside. homes: where each
    value is kept between layers; the layout of one outside counts from the start of its area.
    taken: rows of the memory in all; 0 before allocate, and first_row of every layout on chip too.
    bands, windows: of every layer of a tiled network, from allocate on.
    """

    split: Split
    config: Config
    batch: int
    kinds: tuple[Kind, ...]
    layouts: tuple[Layout, ...]
    pitches: tuple[int, ...]
    rows: tuple[int, ...]
    margins: tuple[Margin, ...]
    leads: tuple[int, ...]
    homes: tuple[Home, ...]
    taken: int = 0
    bands: tuple[tuple[Box, ...], ...] = ()
    windows: tuple[dict[int, Window], ...] = ()

    @property
    def tiled(self) -> bool:
        """Is some value kept outside?"""
        return any(home != Home.CHIP for home in self.homes)

    @functools.cached_property
    def lives(self) -> list[Life]:
        """When each tensor is kept; those outside take no rows."""
        return lives(self.split.net, [
            layout.rows if home == Home.CHIP else 0
            for layout, home in zip(self.layouts, self.homes, strict=True)])

    def bands_of(self, number: int) -> tuple[Box, ...]:
        """The bands of a layer; all of its output where there are none."""
        if self.bands:
            return self.bands[number]
        channels, height, _ = self.split.net.values[self.split.net.layers[number].output].shape
        return (Box(0, height, 0, channels),)

    def packing(self, number: int) -> list[int]:
        """The layers that copy lines for each band of this one, those before it."""
        net = self.split.net
        wanted = {source.tensor for source in net.layers[number].sources
                  if self.homes[source.tensor] == Home.PACKED}
        return [other for other in range(number) if net.layers[other].output in wanted]

    def packs(self, number: int) -> bool:
        """Does a layer copy lines for the bands of another one?"""
        return self.homes[self.split.net.layers[number].output] == Home.PACKED

    def by_lines(self, number: int) -> bool:
        """Does a layer read lines of its sources? Otherwise whole planes."""
        return any(self.homes[source.tensor] == Home.LINES
                   for source in self.split.net.layers[number].sources)

    def walk(self, number: int) -> Walk:
        """How a layer's RUNs go over its outputs; lines are consecutive where it reads lines."""
        walk = self.split.walks[number]
        return dataclasses.replace(walk, qy=1) if self.by_lines(number) else walk

    def __str__(self) -> str:
        """A line a tensor: its raster, where it is kept, what it takes of the memory, and when; and
        a line a layer that works in bands."""
        parts = [columns(
            ("tensor", "makes", "planes", "phases", "pad", "pitch", "lines", "channel", "image",
             "home", "first row", "rows", "from", "until"),
            map(self._row, range(len(self.layouts))))]
        if self.bands and self.tiled:
            parts.append(columns(("layer", "bands", "of", "windows"), [
                self._bands(number) for number, windows in enumerate(self.windows) if windows]))
        if self.taken:
            parts.append(f"{self.taken:,} of {self.config.rows:,} rows of "
                         f"{self.config.row_codes} codes")
        return "\n\n".join(parts)

    def _row(self, number: int) -> tuple[object, ...]:
        net, layout, life = self.split.net, self.layouts[number], self.lives[number]
        value, home = net.values[number], self.homes[number]
        return (value.name, dims(value.shape), value.planes, dims(self.split.splits[number]),
                self.kinds[number].pad if self.margins[number].padded else None,
                self.pitches[number], self.rows[number], layout.channel, layout.image, home.value,
                layout.first_row if self.taken and home == Home.CHIP else None, layout.rows,
                "input" if life.birth < 0 else net.layers[life.birth].name,
                "output" if life.death == len(net.layers) else net.layers[life.death].name)

    def _bands(self, number: int) -> tuple[object, ...]:
        """How many bands, of what, and the rows of each window."""
        bands, net = self.bands[number], self.split.net
        one = bands[0]
        whole = net.values[net.layers[number].output].shape
        of = (f"{one.height} lines" if one.height < whole[1] else
              f"{one.channels} channels" if one.channels < whole[0] else "all")
        return (net.layers[number].name, len(bands), of, ", ".join(
            f"{net.values[value].name} {window.first_row}..{window.end - 1}"
            for value, window in self.windows[number].items()))


def layouts(split: Split, config: Config, batch: int) -> Placed:
    """A layout for every value of the network."""
    values = split.net.values
    needs = [Margin() for _ in values]
    parent = list(range(len(values)))
    for layer, walk in zip(split.net.layers, split.walks, strict=True):
        if not walk.flat:
            _look_at(layer, walk, split, needs)
            unite(parent, [source.tensor for source in layer.sources])
    pitches, rows = _rasters(split, needs, parent)
    found = []
    for i, value in enumerate(values):
        if split.interleaved[i]:
            found.append(_interleaved(value, batch, config))
        else:
            found.append(_raster(value, split.splits[i], needs[i], pitches[i], rows[i],
                                 batch, config))
    kinds = tuple(_kind(value, pad, batch, config)
                  for value, pad in zip(values, split.pads, strict=True))
    return Placed(split, config, batch, kinds, tuple(found), tuple(pitches), tuple(rows),
                  tuple(needs), _leads(needs, parent), (Home.CHIP,) * len(values))


def _kind(value: Value, pad: int, batch: int, config: Config) -> Kind:
    """What a value is on the machine."""
    meaning = value.meaning
    kind = Kind(batch, *value.shape, scale=float(meaning.scale), planes=value.planes, pad=pad,
                order=value.order)
    if isinstance(meaning, Radix):
        return dataclasses.replace(kind, bits=meaning.bits)
    return dataclasses.replace(kind, values=tuple(meaning.by_code(config.codes).tolist()))


def _look_at(layer: Layer, walk: Walk, split: Split, needs: list[Margin]) -> None:
    """Add what one layer reads to the needs of its sources."""
    _, rows, columns = split.net.values[layer.output].shape
    for i, source in enumerate(layer.sources):
        need = needs[source.tensor]
        _, height, width = split.net.values[source.tensor].shape
        cut_y, cut_x = split.splits[source.tensor]
        points = layer.taps.points
        mine = points.source == i
        top, bottom = _reach(points.dy[mine], source.stride_y, walk.qy, rows, height, cut_y)
        left, right = _reach(points.dx[mine], source.stride_x, walk.qx, columns, width, cut_x)
        need.top, need.bottom = max(need.top, top), max(need.bottom, bottom)
        need.left, need.right = max(need.left, left), max(need.right, right)
        need.height = max(need.height, -(-rows // walk.qy))
        need.width = max(need.width, -(-columns // walk.qx))
        need.padded |= outside(layer, i, split.net.values)


def _reach(offsets: Ints, stride: int, q: int, count: int, size: int, cut: int) -> tuple[int, int]:
    """Raster lines read before the first and behind the last one of a tensor's phase planes."""
    before = behind = 0
    for residue in range(min(q, count)):
        steps = -(-(count - residue) // q)
        for line in np.unique(offsets) + stride * residue:
            before = max(before, -(line // cut))
            behind = max(behind, line // cut + steps - -(-size // cut))
    return int(before), int(behind)


def unite(parent: list[int], members: list[int]) -> None:
    """Make one set of those that the members are in."""
    roots = {root_of(parent, m) for m in members}
    for root in roots:
        parent[root] = min(roots)


def root_of(parent: list[int], member: int) -> int:
    """The least member of the set that this one is in."""
    while parent[member] != member:
        member = parent[member]
    return member


def _rasters(split: Split, needs: list[Margin], parent: list[int]) -> tuple[list[int], list[int]]:
    """Pitch and rows per image of every value: the most that any of those read together wants."""
    pitches: dict[int, int] = {}
    rows: dict[int, int] = {}
    for i, (value, need) in enumerate(zip(split.net.values, needs, strict=True)):
        root = root_of(parent, i)
        height, width = _lines(value, split.splits[i])
        pitches[root] = max(pitches.get(root, 1), width + max(need.left, need.right), need.width)
        rows[root] = max(rows.get(root, 1), height + max(need.top, need.bottom), need.height)
    roots = [root_of(parent, i) for i in range(len(needs))]
    return [pitches[r] for r in roots], [rows[r] for r in roots]


def _leads(needs: list[Margin], parent: list[int]) -> tuple[int, ...]:
    """The largest left margin of any of those read together, so that lines of as many cells are as
    far apart."""
    roots = [root_of(parent, i) for i in range(len(needs))]
    return tuple(max(need.left for need, other in zip(needs, roots, strict=True) if other == root)
                 for root in roots)


def _lines(value: Value, cut: tuple[int, int]) -> tuple[int, int]:
    return -(-value.shape[1] // cut[0]), -(-value.shape[2] // cut[1])


def _whole_rows(cells: int, config: Config) -> int:
    return -(-cells // config.row_codes)


def _interleaved(value: Value, batch: int, config: Config) -> Layout:
    """Images side by side: the innermost stride is the image's. Nobody reads pads of it."""
    channels, height, width = value.shape
    plane = channels * height * width * batch
    return Layout(
        0, 0, _whole_rows(plane * value.planes, config), channel=height * width * batch,
        plane=plane, image=1, row=width * batch, column=batch)


# ---- outside -----------------------------------------------------------------------------------
def at_home(placed: Placed, number: int, home: Home) -> Layout:
    """How a value lies in an area of its own outside, counted from the start of it."""
    value, margin = placed.split.net.values[number], placed.margins[number]
    cut, pitch, config = placed.split.splits[number], placed.pitches[number], placed.config
    if home == Home.PACKED:
        return packed(placed, number, value.shape[1])
    if home == Home.LINES:
        return _line_by_line(value, cut[1], placed.leads[number], pitch, placed.batch, config)
    return _by_groups(_raster(value, cut, margin, pitch, placed.rows[number], placed.batch, config),
                      value, config)


def packed(placed: Placed, number: int, lines: int) -> Layout:
    """So many lines of a value as planes, the first one at line 0."""
    value, margin = placed.split.net.values[number], placed.margins[number]
    channels, _, width = value.shape
    cut = placed.split.splits[number]
    return _raster(dataclasses.replace(value, shape=(channels, lines, width)), cut,
                   Margin(left=margin.left, right=margin.right), placed.pitches[number],
                   -(-lines // cut[0]), placed.batch, placed.config)


def _by_groups(layout: Layout, value: Value, config: Config) -> Layout:
    """The layout with planes, and groups of channels, in whole rows. What is around the last
    channel of a group is in front of the next one."""
    channels, unit = value.shape[0], unit_codes(config)
    step = channel_step(layout.channel, channels, config)
    channel = -(-layout.channel // step) * step
    plane = -(-channels * channel // unit) * unit
    return dataclasses.replace(layout, channel=channel, plane=plane,
                               rows=value.planes * plane // config.row_codes)


def _line_by_line(value: Value, cut: int, left: int, pitch: int, batch: int, config: Config
                  ) -> Layout:
    """Lines of whole rows: planes, channels, phases of columns, images, columns."""
    channels, height, _ = value.shape
    channel = cut * batch * pitch
    unit = unit_codes(config)
    line = -(-(left + value.planes * channels * channel) // unit) * unit
    return Layout(
        left, 0, height * line // config.row_codes, channel=channel, plane=channels * channel,
        image=pitch, row=cut * line, column=1, split=cut, phase_y=line if cut > 1 else 0,
        phase_x=batch * pitch if cut > 1 else 0)


def _raster(value: Value, cut: tuple[int, int], need: Margin, pitch: int, rows: int, batch: int,
            config: Config) -> Layout:
    channels = value.shape[0]
    cut_y, cut_x = cut
    lines, columns = _lines(value, cut)
    image = rows * pitch
    phase = batch * image
    channel = cut_y * cut_x * phase
    split = max(cut)
    lead = need.top * pitch + need.left
    cells = (lead + value.planes * channels * channel - image
             + (lines + need.bottom - 1) * pitch + columns + need.right)
    return Layout(
        lead, 0, _whole_rows(cells, config), channel=channel, plane=channels * channel, image=image,
        row=pitch if cut_y == split else split * pitch,
        column=1 if cut_x == split else split, split=split,
        phase_y=0 if split == 1 else cut_x * phase if cut_y == split else pitch,
        phase_x=0 if split == 1 else phase if cut_x == split else 1)
