"""Which tensors are cut into phase planes, and which layers read a copy instead.

A RUN advances all its sources by one raster step: a source that is read with stride s by a layer that
computes every q-th output at a time must be split in s * q phases. So the splits of the tensors of a layer hang
together, over all layers; where no split up to 4 suits everybody, a layer reads a copy of its own.

With N > 1 images, tensors that only layers of 1 x 1 outputs read hold their images interleaved, so that
the images fill the lanes; if others read them too, the former read a copy.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from ..arch.fixed import PRODUCT_SHIFT
from ..arch.isa import Mode
from ..arch.program import Layer, Piece, Source
from .errors import CompileError
from .lower import over_planes, taps
from .lowered import Value
from .quantised import Radix
from .scaling import Scaled, group, passing

SPLIT_MAX = 4


@dataclasses.dataclass(frozen=True)
class Walk:
    """How a layer's RUNs go over the outputs: residues mod (qy, qx), or along the images (flat)."""

    qy: int = 1
    qx: int = 1
    flat: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A network with its copies; per value: split (y, x), interleaved, pad code; per layer its walk."""

    net: Scaled
    splits: tuple[tuple[int, int], ...]
    interleaved: tuple[bool, ...]
    pads: tuple[int, ...]
    walks: tuple[Walk, ...]


@dataclasses.dataclass(frozen=True)
class _Bond:
    """A layer that reads by raster. sources: (value, sy, sx); rows, columns: None where the layer's
    outputs advance through this direction, else their number (each gets RUNs of its own)."""

    sources: tuple[tuple[int, int, int], ...]
    rows: int | None = None
    columns: int | None = None


def split(net: Scaled, batch: int, codes: int) -> Split:
    """Choose splits, walks and copies. codes: 2^AB. Raises CompileError where no way is left."""
    return _Splitting(net, batch, codes).split()


def outside(layer: Layer, index: int, values: Sequence[Value]) -> bool:
    """Does the layer read padding of its source number `index`?"""
    source = layer.sources[index]
    height, width = values[source.tensor].shape[1:]
    _, rows, columns = values[layer.output].shape
    mine = layer.taps.source == index
    return (_leaves(layer.taps.dy[mine], source.stride_y, rows, height)
            or _leaves(layer.taps.dx[mine], source.stride_x, columns, width))


def _leaves(offsets: np.ndarray, stride: int, count: int, size: int) -> bool:
    return bool(offsets.size and (offsets.min() < 0
                                  or offsets.max() + (count - 1) * stride >= size))


class _Splitting:
    """The state of one call. copies[value]: its copies so far."""

    def __init__(self, net: Scaled, batch: int, codes: int) -> None:
        self.codes = codes
        self.values = list(net.values)
        self.net = net
        self.layers: list[Layer] = []
        self.paths: list[str] = []
        self.bonds: list[_Bond | None] = []        # per layer; None: flat
        self.copies: dict[int, list[int]] = {}
        self.pads: dict[int, int] = {}
        self.interleaved = _interleaved(net) if batch > 1 else set()
        self.batch = batch

    def split(self) -> Split:
        for layer, path in zip(self.net.layers, self.net.paths, strict=True):
            if self._flat(layer):
                self._add_flat(layer, path)
            else:
                self._add_raster(layer, path)
        solution = _solve([bond for bond in self.bonds if bond])
        assert solution is not None
        splits = [solution.get(i, (1, 1)) for i in range(len(self.values))]
        return Split(
            dataclasses.replace(self.net, values=tuple(self.values), layers=tuple(self.layers),
                                paths=tuple(self.paths)),
            tuple(splits), tuple(i in self.interleaved for i in range(len(splits))),
            tuple(self.pads.get(i, 0) for i in range(len(splits))),
            tuple(_walk(bond, splits) for bond in self.bonds))

    def _flat(self, layer: Layer) -> bool:
        return self.batch > 1 and self.values[layer.output].shape[1:] == (1, 1)

    def _append(self, layer: Layer, path: str, bond: _Bond | None) -> None:
        self.layers.append(layer)
        self.paths.append(path)
        self.bonds.append(bond)

    # ---- flat layers ------------------------------------------------------------------------
    def _add_flat(self, layer: Layer, path: str) -> None:
        sources = []
        for source in layer.sources:
            value = source.tensor
            if value not in self.interleaved:
                value = next((c for c in self.copies.get(value, ()) if c in self.interleaved),
                             None) or self._copy(value, True)
            sources.append(dataclasses.replace(source, tensor=value))
        self._append(dataclasses.replace(layer, sources=tuple(sources)), path, None)

    # ---- raster layers ----------------------------------------------------------------------
    def _add_raster(self, layer: Layer, path: str) -> None:
        _, rows, columns = self.values[layer.output].shape
        free = (1 if rows == 1 else None, 1 if columns == 1 else None)
        ways = [free, (free[0] or rows, free[1]), (free[0], free[1] or columns)]
        for (rows_alone, columns_alone), choice in itertools.product(ways, self._choices(layer)):
            chosen = [source.tensor if value is None else value
                      for source, value in zip(layer.sources, choice, strict=True)]
            bond = _Bond(tuple((value, source.stride_y, source.stride_x) for value, source
                               in zip(chosen, layer.sources, strict=True)),
                         rows_alone, columns_alone)
            # a copy to come has no other reader: give it a number of its own
            trial = dataclasses.replace(bond, sources=tuple(
                (-1 - i if choice[i] is None else v, sy, sx)
                for i, (v, sy, sx) in enumerate(bond.sources)))
            pads = self._pads(layer, [value for value, _, _ in trial.sources])
            if pads is not None and _solve([*filter(None, self.bonds), trial]) is not None:
                return self._accept(layer, path, bond, choice)
        strides = sorted({(s.stride_y, s.stride_x) for s in layer.sources})
        raise CompileError(f"layer {path}: its strides {strides} need a split above {SPLIT_MAX}; "
                           f"use strides up to {SPLIT_MAX}")

    def _choices(self, layer: Layer) -> Iterator[tuple[int | None, ...]]:
        """Which value each source reads, None for a new copy; fewest new copies first."""
        options = []
        for source in layer.sources:
            own = [] if source.tensor in self.interleaved else [source.tensor]
            more = [c for c in self.copies.get(source.tensor, ()) if c not in self.interleaved]
            options.append([*own, *more, None])
        if len(options) > 4:                       # members of a concatenation: all or none
            columns = [tuple(o[0] for o in options), tuple(None for _ in options)]
            return iter(columns)
        return iter(sorted(itertools.product(*options), key=lambda c: sum(v is None for v in c)))

    def _pads(self, layer: Layer, chosen: Sequence[int]) -> dict[int, int] | None:
        """Pad codes that the layer wants of the values, or None where others want another."""
        wanted: dict[int, int] = {}
        for i, value in enumerate(chosen):
            if not outside(layer, i, self.values):
                continue
            order = self.values[layer.sources[i].tensor].order
            code = -order % self.codes if layer.op == "max" else 0
            if self.pads.get(value, wanted.get(value, code)) != code:
                return None
            wanted[value] = code
        return wanted

    def _accept(self, layer: Layer, path: str, bond: _Bond, choice: tuple[int | None, ...]) -> None:
        chosen = [self._copy(source.tensor, False) if value is None else value
                  for source, value in zip(layer.sources, choice, strict=True)]
        self.pads.update(self._pads(layer, chosen) or {})
        sources = tuple(dataclasses.replace(source, tensor=value)
                        for source, value in zip(layer.sources, chosen, strict=True))
        bond = dataclasses.replace(bond, sources=tuple(
            (s.tensor, s.stride_y, s.stride_x) for s in sources))
        self._append(dataclasses.replace(layer, sources=sources), path, bond)

    # ---- copies -------------------------------------------------------------------------------
    def _copy(self, value: int, interleaved: bool) -> int:
        """A new value with the same contents, and the layer that makes it."""
        old = self.values[value]
        copies = self.copies.setdefault(value, [])
        name = f"{old.name}.layout{len(copies) + 1}"
        index = len(self.values)
        self.values.append(dataclasses.replace(old, name=name, node=""))
        copies.append(index)
        if interleaved:
            self.interleaved.add(index)
        layer = copy_layer(name, value, index, old)
        if value in self.interleaved:
            self._append(layer, old.name, None)
        else:
            _, rows, columns = old.shape
            self._append(layer, old.name, _Bond(((value, 1, 1),), 1 if rows == 1 else None,
                                                1 if columns == 1 else None))
        return index


def copy_layer(name: str, source: int, output: int, value: Value) -> Layer:
    """The layer that passes a value on: codes as a maximum of one, radix planes by 2 * x * 2^15."""
    channels, height, width = value.shape
    terms = over_planes(taps(np.arange(channels), np.arange(channels)), np.array([value.planes]))
    meaning = value.meaning
    if not isinstance(meaning, Radix):
        return passing(name, "Copy", (Source(source),), output, terms, channels)
    piece = Piece(0, 0, height, width, (1 << (PRODUCT_SHIFT - 1),) * channels, (0,) * channels)
    return Layer(name, "Copy", "sum", (Source(source),), output,
                 group(terms, np.full(len(terms), 2), channels), (piece,), int(Mode.RADIX), 0,
                 digits=meaning.planes, radix_width=meaning.bits)


def _interleaved(net: Scaled) -> set[int]:
    """Values that some layer reads, and only layers of 1 x 1 outputs."""
    flat, others = set(), set()
    for layer in net.layers:
        one = net.values[layer.output].shape[1:] == (1, 1)
        (flat if one else others).update(source.tensor for source in layer.sources)
    return flat - others


def _walk(bond: _Bond | None, splits: Sequence[tuple[int, int]]) -> Walk:
    if bond is None:
        return Walk(flat=True)
    value, sy, sx = bond.sources[0]
    return Walk(bond.rows or splits[value][0] // sy, bond.columns or splits[value][1] // sx)


# ---- solving ------------------------------------------------------------------------------------
def _solve(bonds: Sequence[_Bond]) -> dict[int, tuple[int, int]] | None:
    """Least splits (y, x) of all values that suit every bond, or None.

    A split is (a, a), (1, a) or (a, 1): others the layout's phase strides cannot express.
    """
    down = _ratios([[(v, sy) for v, sy, _ in b.sources] for b in bonds if b.rows is None])
    across = _ratios([[(v, sx) for v, _, sx in b.sources] for b in bonds if b.columns is None])
    if down is None or across is None:
        return None
    values = sorted({v for b in bonds for v, _, _ in b.sources})
    factors: dict[tuple[int, int], int] = {}
    while True:
        found = {}
        settled = True
        for value in values:
            pair = []
            for axis, ratios in enumerate((down, across)):
                part, ratio = ratios.get(value, (None, 1))
                pair.append((axis, part, ratio * factors.get((axis, part), 1) if part is not None
                             else 1))
            (_, part_y, y), (_, part_x, x) = pair
            if max(y, x) > SPLIT_MAX:
                return None
            found[value] = (y, x)
            if y != x and min(y, x) > 1:
                both = math.lcm(y, x)
                factors[0, part_y] = factors.get((0, part_y), 1) * (both // y)
                factors[1, part_x] = factors.get((1, part_x), 1) * (both // x)
                settled = False
        if settled:
            return found


def _ratios(bonds: list[list[tuple[int, int]]]) -> dict[int, tuple[int, int]] | None:
    """Per value: its connected part and the least split (all q of the part integers), or None."""
    split: dict[int, tuple[int, Fraction]] = {}
    walks: list[tuple[int, Fraction]] = []
    by_value: dict[int, list[int]] = {}
    for i, bond in enumerate(bonds):
        for value, _ in bond:
            by_value.setdefault(value, []).append(i)
    seen: set[int] = set()
    for start in range(len(bonds)):
        if start in seen:
            continue
        queue = [(start, Fraction(1))]
        seen.add(start)
        while queue:
            i, q = queue.pop()
            walks.append((start, q))
            for value, stride in bonds[i]:
                if value in split:
                    if split[value][1] != q * stride:
                        return None
                    continue
                split[value] = (start, q * stride)
                for other in by_value[value]:
                    if other not in seen:
                        seen.add(other)
                        step = next(s for v, s in bonds[other] if v == value)
                        queue.append((other, q * stride / step))
    least: dict[int, Fraction] = {}
    for start in {s for s, _ in walks}:
        qs = [q for s, q in walks if s == start]
        denominator = math.lcm(*(q.denominator for q in qs))
        least[start] = Fraction(denominator, math.gcd(*(int(q * denominator) for q in qs)))
    return {v: (part, int(ratio * least[part])) for v, (part, ratio) in split.items()}
