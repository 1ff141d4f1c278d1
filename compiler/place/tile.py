"""Which values stay in the activation memory, and where the others are kept outside.

If all fit, all stay. Otherwise values that a layer reads together are kept in one form, whole
planes or lines: planes where they, with the least of what the layer makes, fit the memory and
chunks fill the lanes no worse, since planes pack short rows; else lines. Of those in planes as many
stay in the memory as can, the others are loaded for each reader: so a tail of small layers stays on
chip whole. What is made beside them comes in bands (`bands.py`), as large as the memory left takes.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from ...arch.cost import Shape
from ...arch.program import Layer
from .allocate import arrange
from .bands import Bands
from .homes import Home
from .layouts import Placed, at_home, layouts, root_of, unite
from .lives import lives
from .splits import with_packed


def tile(placed: Placed) -> Placed:
    """The network with homes for all values: all on chip if they fit, otherwise as few clocks as
    can be told; unchanged where nothing fits, which `arrange` tells."""
    if arrange(placed).failing is None:
        return placed
    return _packed(placed, _Tiling(placed, set()).chosen())


def with_homes(placed: Placed, homes: list[Home]) -> Placed:
    """The network with values kept so, and their layouts there. placed: all on chip."""
    return dataclasses.replace(placed, homes=tuple(homes), layouts=tuple(
        layout if home == Home.CHIP else at_home(placed, number, home)
        for number, (layout, home) in enumerate(zip(placed.layouts, homes, strict=True))))


class _Tiling:
    """The state of one choice. together: of every value the set that is read in one form; planes:
    sets in planes; spilled: values in planes outside; forced: sets in planes at any price."""

    def __init__(self, placed: Placed, copies: set[int]) -> None:
        self.placed = placed
        self.copies = copies
        self.net = placed.split.net
        self.together = _together(placed)
        self.fixed = {value for value, among in enumerate(placed.split.interleaved) if among}
        self.planes: set[int] = {self.together[value] for value in self.fixed}
        # what is copied line by line stays in lines
        self.lines = {self.together[layer.sources[0].tensor] for layer in self.net.layers
                      if layer.output in copies} | {self.together[copy] for copy in copies}
        self.barred = set(self.lines)
        self.forced: set[int] = set()
        self.spilled: set[int] = set()
        self.lives = lives(self.net, [layout.rows for layout in placed.layouts])

    def chosen(self) -> Placed:
        """Homes for which everything has its rows."""
        self._prefer_planes()
        while True:
            found = with_homes(self.placed, self._homes())
            failing = arrange(found).failing
            if failing is None or not (self._spill(failing) or self._to_lines(failing)
                                       or self._to_planes(failing)):
                return found

    def _homes(self) -> list[Home]:
        return [Home.PACKED if value in self.copies else
                Home.LINES if root not in self.planes else
                Home.PLANES if value in self.spilled else Home.CHIP
                for value, root in enumerate(self.together)]

    # ---- planes or lines --------------------------------------------------------------------
    def _prefer_planes(self) -> None:
        """Planes wherever they fit and pay, until nothing changes: a layer that makes planes may
        read planes too, or lines."""
        readers = defaultdict(list)
        for number, layer in enumerate(self.net.layers):
            readers[self.together[layer.sources[0].tensor]].append(number)
        makers = defaultdict(list)
        for number, layer in enumerate(self.net.layers):
            makers[self.together[layer.output]].append(number)
        wanted = [root for root in sorted(set(self.together)) if root not in self.planes
                  and root not in self.barred and self._packs(readers[root])]
        before = -1
        while before != len(self.planes):
            before = len(self.planes)
            for root in wanted:
                if root not in self.planes | self.barred and self._fits(
                        root, readers[root], makers[root]):
                    self.planes.add(root)

    def _packs(self, readers: list[int]) -> bool:
        """Do chunks in planes fill the lanes no worse than lines do?"""
        clocks = [0, 0]
        for number in readers:
            work = _work(self.net.layers[number], self.placed)
            clocks[0] += work * chunks_of_planes(self.placed, number)
            clocks[1] += work * chunks_of_lines(self.placed, number)
        return clocks[0] <= clocks[1]

    def _fits(self, root: int, readers: list[int], makers: list[int]) -> bool:
        """Can all readers and makers do their work if nothing else is in the memory?"""
        self.planes.add(root)
        homes = [Home.PLANES if home == Home.CHIP and value not in self.fixed else home
                 for value, home in enumerate(self._homes())]
        self.planes.discard(root)
        found = with_homes(self.placed, homes)
        return all(_least_rows(found, number, self.placed) <= self.placed.config.rows
                   for number in (*readers, *makers))

    # ---- on chip or not -----------------------------------------------------------------------
    def _spill(self, failing: int) -> bool:
        """Put one more value outside that takes rows while a layer finds too few; the largest
        that the layer does not touch, or else one that it touches."""
        layer = self.net.layers[failing]
        touched = {layer.output, *(source.tensor for source in layer.sources)}
        homes = self._homes()
        there = [value for value, life in enumerate(self.lives)
                 if life.birth <= failing <= life.death and homes[value] == Home.CHIP
                 and value not in self.fixed]
        if not there:
            return False
        idle = [value for value in there if value not in touched]
        self.spilled.add(max(idle, key=lambda value: self.lives[value].rows) if idle else
                         min(there, key=lambda value: self._rows_without(value, failing)))
        return True

    def _rows_without(self, value: int, number: int) -> int:
        """Rows that a layer takes at least with one more value outside."""
        self.spilled.add(value)
        found = _least_rows(with_homes(self.placed, self._homes()), number)
        self.spilled.discard(value)
        return found

    def _to_lines(self, failing: int) -> bool:
        """Let a layer that finds no rows read, or make, lines."""
        layer = self.net.layers[failing]
        for value in (layer.sources[0].tensor, layer.output):
            root = self.together[value]
            if root in self.planes and not self.fixed & {
                    v for v, other in enumerate(self.together) if other == root}:
                self.planes.discard(root)
                self.barred.add(root)
                return True
        return False


    def _to_planes(self, failing: int) -> bool:
        """Let a layer that finds no rows for lines read planes and make some, so that it can go by
        channels; planes may then be made in passes that each load all lines again."""
        layer = self.net.layers[failing]
        roots = {self.together[value] for value in (layer.sources[0].tensor, layer.output)}
        if roots <= self.planes or roots & (self.forced | self.lines):
            return False
        self.forced |= roots
        self.planes |= roots
        return True


# ---- packing -----------------------------------------------------------------------------------
def _packed(placed: Placed, found: Placed) -> Placed:
    """The network in which layers that read lines get them packed as planes, band by band, where
    that gains more than the copies cost. placed: all on chip; found: with homes."""
    numbers = [number for number, layer in enumerate(found.split.net.layers)
               if placed.batch == 1 and found.by_lines(number)
               and chunks_of_planes(placed, number) < chunks_of_lines(placed, number)]
    while numbers:
        halves, copies = with_packed(placed.split, numbers)
        whole = layouts(halves, placed.config, placed.batch)
        tried = _Tiling(whole, copies).chosen()
        rows = arrange(tried)
        at = {found.split.net.layers[number].name: number for number in numbers}
        names = [layer.name for layer in halves.net.layers]
        if rows.failing is not None:
            bad = {at.get(names[rows.failing])}
            bad |= {at[name] for name in at if tried.packing(names.index(name)) and rows.failing in
                    tried.packing(names.index(name))}
            kept = [number for number in numbers if number not in bad]
            numbers = kept if len(kept) < len(numbers) else numbers[:-1]
            continue
        arranged = dataclasses.replace(tried, bands=rows.bands, windows=rows.windows)
        kept = [number for name, number in at.items()
                if _gain(arranged, names.index(name), chunks_of_lines(placed, number)) > 0]
        if len(kept) == len(numbers):
            return tried
        numbers = kept
    return found


def _gain(placed: Placed, number: int, lines: int) -> int:
    """Clocks that a packed layer gains over one that takes so many chunks of lines."""
    layer = placed.split.net.layers[number]
    clocks = _work(layer, placed) * (lines - sum(
        _chunks_of_band(placed, number, band.height) for band in placed.bands[number]))
    for copy in placed.packing(number):
        value = placed.split.net.layers[copy].output
        there = placed.windows[number][value]
        chunks = -(-placed.split.net.values[value].shape[2] // placed.config.lanes)
        clocks -= len(placed.bands[number]) * (
            there.lines * chunks * _work(placed.split.net.layers[copy], placed) + there.rows)
    return clocks


def _chunks_of_band(placed: Placed, number: int, height: int) -> int:
    walk, layer = placed.split.walks[number], placed.split.net.layers[number]
    source = layer.sources[0].tensor
    width = placed.split.net.values[layer.output].shape[2]
    return sum(Shape(1, placed.rows[source], placed.pitches[source], lines, columns).chunks(
        placed.config.lanes) for lines in _residues(height, walk.qy)
        for columns in _residues(width, walk.qx))


def _together(placed: Placed) -> list[int]:
    """Of every value the least one that is read together with it, directly or not."""
    parent = list(range(len(placed.kinds)))
    for layer in placed.split.net.layers:
        unite(parent, [source.tensor for source in layer.sources])
    return [root_of(parent, value) for value in range(len(parent))]


def _least_rows(placed: Placed, number: int, kept: Placed | None = None) -> int:
    """Rows that a layer takes with the smallest bands: windows, and what of it stays on chip.

    kept: the network with all values on chip, if one in planes may be so where that takes less.
    """
    bands = Bands(placed, number)
    least = bands.least()
    layer = placed.split.net.layers[number]
    windows = bands.rows(least)
    rows = 0
    for value in {layer.output, *(source.tensor for source in layer.sources)}:
        mine = windows.get(value, placed.layouts[value].rows)
        if kept is not None and placed.homes[value] == Home.PLANES:
            mine = min(mine, kept.layouts[value].rows)
        rows += mine
    return rows


# ---- chunks ----------------------------------------------------------------------------------
def _work(layer: Layer, placed: Placed) -> int:
    """Clocks that a chunk of all channels takes, about: taps, or the drain."""
    taps = np.diff(layer.taps.cluster_taps[layer.taps.channel_clusters])
    return int(np.maximum(taps, placed.config.drain_steps * layer.digits).sum())


def chunks_of_planes(placed: Placed, number: int) -> int:
    """Chunks of P positions of a layer that reads whole planes."""
    walk = placed.split.walks[number]
    layer = placed.split.net.layers[number]
    source = layer.sources[0].tensor
    _, height, width = placed.split.net.values[layer.output].shape
    return sum(Shape(placed.batch, placed.rows[source], placed.pitches[source],
                     lines, columns).chunks(placed.config.lanes)
               for lines in _residues(height, walk.qy) for columns in _residues(width, walk.qx))


def chunks_of_lines(placed: Placed, number: int) -> int:
    """Chunks of P positions of a layer that reads lines, each by itself."""
    walk = placed.split.walks[number]
    layer = placed.split.net.layers[number]
    pitch = placed.pitches[layer.sources[0].tensor]
    _, height, width = placed.split.net.values[layer.output].shape
    return height * sum(
        Shape(1, placed.batch, pitch, placed.batch, columns).chunks(placed.config.lanes)
        for columns in _residues(width, walk.qx))


def _residues(count: int, q: int) -> list[int]:
    """How many of so many lines are 0, 1, ... modulo q; none that are none."""
    return [n for n in (-(-(count - first) // q) for first in range(q)) if n > 0]
