"""Memory rows for every tensor: first fit over the time in which it lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ...arch.layout import Layout
from ...arch.place import Box
from .bands import Bands
from .homes import Home, Window
from .layouts import Placed, packed
from .lives import Life

# one part of the memory in so many may hold lines that are about to be packed
STAGE = 8


def first_fit(tensors: list[Life], order: list[int]) -> list[int]:
    """First rows when tensors are placed in this order, each as low as it fits."""
    first = [0] * len(tensors)
    done: list[int] = []
    for i in order:
        taken = sorted((first[j], first[j] + tensors[j].rows) for j in done
                       if tensors[i].meets(tensors[j]))
        at = 0
        for low, high in taken:
            if at + tensors[i].rows <= low:
                break
            at = max(at, high)
        first[i] = at
        done.append(i)
    return first


def pack(tensors: list[Life]) -> tuple[list[int], int]:
    """First rows and the rows needed in all; the best of a few orders."""
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (tensors[i].birth, -tensors[i].rows, i),
        lambda i: (-tensors[i].rows, i),
        lambda i: (tensors[i].birth - tensors[i].death, -tensors[i].rows, i)]
    plans = [first_fit(tensors, sorted(range(len(tensors)), key=key)) for key in keys]
    sizes = [max(f + t.rows for f, t in zip(plan, tensors, strict=True)) for plan in plans]
    best = sizes.index(min(sizes))
    return plans[best], sizes[best]


@dataclasses.dataclass(frozen=True, eq=False)
class Arrangement:
    """First rows of the values on chip and the rows that these take in all, the bands of every
    layer and the windows of its values outside; failing: the first layer without room."""

    first: list[int]
    taken: int
    bands: tuple[tuple[Box, ...], ...]
    windows: tuple[dict[int, Window], ...]
    failing: int | None


def arrange(placed: Placed) -> Arrangement:
    """Rows for everything, bands as large as they can be beside what stays on chip."""
    first, taken = pack(placed.lives)
    if taken > placed.config.rows:
        layer, _ = fullest(placed.lives, len(placed.split.net.layers))
        return Arrangement(first, taken, (), (), layer)
    if not placed.tiled:
        return Arrangement(first, taken, (), (), None)
    bands: list[tuple[Box, ...]] = []
    windows: list[dict[int, Window]] = []
    for number in range(len(placed.split.net.layers)):
        if placed.packs(number):                   # with the layer that it is for
            bands.append(())
            windows.append({})
            continue
        found = _windows(placed, number, first)
        if found is None:
            return Arrangement(first, taken, (), (), number)
        bands.append(found[0])
        windows.append(found[1])
        taken = max([taken, *(window.end for window in found[1].values())])
        for copy in placed.packing(number):
            windows[copy] = _staging(placed, copy, found[1])
    return Arrangement(first, taken, tuple(bands), tuple(windows), None)


def _windows(placed: Placed, number: int, first: list[int]
             ) -> tuple[tuple[Box, ...], dict[int, Window]] | None:
    """The largest bands of a layer whose windows fit between the values on chip."""
    bands = Bands(placed, number)
    gaps = _gaps([(first[value], first[value] + life.rows)
                  for value, life in enumerate(placed.lives)
                  if life.birth <= number <= life.death], placed.config.rows)
    copies = [Bands(placed, copy) for copy in placed.packing(number)]
    for size in bands.sizes():
        rows = bands.rows(size)
        lines = {copy.layer.output: bands.most(copy.layer.output, size) for copy in copies}
        stages = {_stage(copy.number): _stage_rows(copy, lines[copy.layer.output])
                  for copy in copies}
        windows = _into(gaps, rows | stages)
        if windows is not None:
            return bands.cut(size), {
                value: dataclasses.replace(window, lines=lines.get(value, 0))
                for value, window in windows.items()}
    return None


def _stage(copy: int) -> int:
    """The key of the window in which a layer that packs lines finds them."""
    return -1 - copy


def _stage_rows(copy: Bands, lines: int) -> int:
    """Rows of it: of as many lines as take a small part of the memory."""
    value = copy.layer.sources[0].tensor
    line = copy.rows((1, copy.placed.kinds[value].channels))[value]
    return line * max(1, min(lines, copy.placed.config.rows // STAGE // line))


def _staging(placed: Placed, copy: int, windows: dict[int, Window]) -> dict[int, Window]:
    """The windows of a layer that packs lines, taken from those of the layer that it is for."""
    layer = placed.split.net.layers[copy]
    return {layer.sources[0].tensor: windows.pop(_stage(copy)),
            layer.output: windows[layer.output]}


def _gaps(taken: list[tuple[int, int]], rows: int) -> list[tuple[int, int]]:
    """Stretches of rows that nothing takes."""
    found, at = [], 0
    for low, high in [*sorted(taken), (rows, rows)]:
        if low > at:
            found.append((at, low))
        at = max(at, high)
    return found


def _into(gaps: list[tuple[int, int]], rows: dict[int, int]) -> dict[int, Window] | None:
    """Windows of so many rows, the largest first, each in the smallest gap that has them."""
    free = list(gaps)
    found = {}
    for value in sorted(rows, key=lambda value: -rows[value]):
        fitting = [gap for gap in free if gap[1] - gap[0] >= rows[value]]
        if not fitting:
            return None
        gap = min(fitting, key=lambda gap: gap[1] - gap[0])
        found[value] = Window(gap[0], rows[value])
        free[free.index(gap)] = (gap[0] + rows[value], gap[1])
    return found


def allocate(placed: Placed) -> Placed:
    """The layouts with addresses, in as many rows as that takes; bands and windows."""
    found = arrange(placed)
    assert found.failing is None
    return dataclasses.replace(
        placed, taken=found.taken, bands=found.bands, windows=found.windows,
        layouts=tuple(_laid(placed, value, found) for value in range(len(placed.layouts))))


def _laid(placed: Placed, value: int, found: Arrangement) -> Layout:
    """The layout of a value on chip at its rows, of a packed one with its window's lines."""
    layout, row = placed.layouts[value], found.first[value]
    if placed.homes[value] == Home.CHIP:
        return dataclasses.replace(layout, first_row=row,
                                   base=layout.base + row * placed.config.row_codes)
    if placed.homes[value] == Home.PACKED:
        return packed(placed, value, next(windows[value].lines for windows in found.windows
                                          if value in windows))
    return layout


def fullest(tensors: list[Life], layers: int) -> tuple[int, list[int]]:
    """The first of the layers at which most rows are taken, and the tensors then, largest first."""
    taken = [sum(t.rows for t in tensors if t.birth <= i <= t.death) for i in range(layers)]
    layer = taken.index(max(taken))
    then = [i for i, t in enumerate(tensors) if t.birth <= layer <= t.death]
    return layer, sorted(then, key=lambda i: -tensors[i].rows)
