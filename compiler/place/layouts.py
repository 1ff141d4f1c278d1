"""Where the elements of each tensor lie inside its allocation.

A tensor is a stack of raster planes: digit planes, channels, phases, images, rows, columns, from
the outside in. The pitch of a row holds the larger of the left and right reach beside the elements,
the rows of a plane the larger of the top and bottom reach, because neighbours share their pads.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...arch.columns import columns, dims
from ...arch.config import Config
from ...arch.kind import Kind
from ...arch.layout import Layout
from ...arch.program import Layer
from ..ir.quantised import Radix
from ..lower.lowered import Ints, Value
from .lives import Life, lives
from .splits import Split, Walk, outside


@dataclasses.dataclass
class _Need:
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

    pitches, rows: raster positions from row to row and rows from image to image, per value. padded:
    some layer reads it outside its elements. taken: rows of the memory in all; 0 before allocate,
    and first_row of every layout too.
    """

    split: Split
    config: Config
    kinds: tuple[Kind, ...]
    layouts: tuple[Layout, ...]
    pitches: tuple[int, ...]
    rows: tuple[int, ...]
    padded: tuple[bool, ...]
    taken: int = 0

    @functools.cached_property
    def lives(self) -> list[Life]:
        """When each tensor is kept."""
        return lives(self.split.net, [layout.rows for layout in self.layouts])

    def __str__(self) -> str:
        """A line a tensor: its raster, what it takes of the memory, and when."""
        table = columns(
            ("tensor", "makes", "planes", "phases", "pad", "pitch", "lines", "channel", "image",
             "first row", "rows", "from", "until"), map(self._row, range(len(self.layouts))))
        config = self.config
        return table if not self.taken else (
            f"{table}\n\n{self.taken:,} of {config.rows:,} rows of {config.row_codes} codes")

    def _row(self, number: int) -> tuple[object, ...]:
        net, layout, life = self.split.net, self.layouts[number], self.lives[number]
        value = net.values[number]
        return (value.name, dims(value.shape), value.planes, dims(self.split.splits[number]),
                self.kinds[number].pad if self.padded[number] else None, self.pitches[number],
                self.rows[number], layout.channel, layout.image,
                layout.first_row if self.taken else None, layout.rows,
                "input" if life.birth < 0 else net.layers[life.birth].name,
                "output" if life.death == len(net.layers) else net.layers[life.death].name)


def layouts(split: Split, config: Config, batch: int) -> Placed:
    """A layout for every value of the network."""
    values = split.net.values
    needs = [_Need() for _ in values]
    parent = list(range(len(values)))
    for layer, walk in zip(split.net.layers, split.walks, strict=True):
        if not walk.flat:
            _look_at(layer, walk, split, needs)
            _unite(parent, [source.tensor for source in layer.sources])
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
    return Placed(split, config, kinds, tuple(found), tuple(pitches), tuple(rows),
                  tuple(need.padded for need in needs))


def _kind(value: Value, pad: int, batch: int, config: Config) -> Kind:
    """What a value is on the machine."""
    meaning = value.meaning
    kind = Kind(batch, *value.shape, scale=float(meaning.scale), planes=value.planes, pad=pad,
                order=value.order)
    if isinstance(meaning, Radix):
        return dataclasses.replace(kind, bits=meaning.bits)
    return dataclasses.replace(kind, values=tuple(meaning.by_code(config.codes).tolist()))


def _look_at(layer: Layer, walk: Walk, split: Split, needs: list[_Need]) -> None:
    """Add what one layer reads to the needs of its sources."""
    _, rows, columns = split.net.values[layer.output].shape
    for i, source in enumerate(layer.sources):
        need = needs[source.tensor]
        _, height, width = split.net.values[source.tensor].shape
        cut_y, cut_x = split.splits[source.tensor]
        mine = layer.taps.source == i
        top, bottom = _reach(layer.taps.dy[mine], source.stride_y, walk.qy, rows, height, cut_y)
        left, right = _reach(layer.taps.dx[mine], source.stride_x, walk.qx, columns, width, cut_x)
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


def _unite(parent: list[int], members: list[int]) -> None:
    roots = {_root(parent, m) for m in members}
    for root in roots:
        parent[root] = min(roots)


def _root(parent: list[int], member: int) -> int:
    while parent[member] != member:
        member = parent[member]
    return member


def _rasters(split: Split, needs: list[_Need], parent: list[int]) -> tuple[list[int], list[int]]:
    """Pitch and rows per image of every value: the most that any of those read together wants."""
    pitches: dict[int, int] = {}
    rows: dict[int, int] = {}
    for i, (value, need) in enumerate(zip(split.net.values, needs, strict=True)):
        root = _root(parent, i)
        height, width = _lines(value, split.splits[i])
        pitches[root] = max(pitches.get(root, 1), width + max(need.left, need.right), need.width)
        rows[root] = max(rows.get(root, 1), height + max(need.top, need.bottom), need.height)
    roots = [_root(parent, i) for i in range(len(needs))]
    return [pitches[r] for r in roots], [rows[r] for r in roots]


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


def _raster(value: Value, cut: tuple[int, int], need: _Need, pitch: int, rows: int, batch: int,
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
