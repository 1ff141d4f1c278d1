"""Which tensors are cut into phase planes, and which layers read a copy instead.

A RUN advances all its sources by one raster step: a source that is read with stride s by a layer
that computes every q-th output at a time must be split in s * q phases. So the splits of the
tensors of a layer hang together, over all layers; where no split up to 4 suits everybody, a layer
reads a copy of its own.

With N > 1 images, tensors that only layers of 1 x 1 outputs read hold their images interleaved, so
that the images fill the lanes; if others read them too, the former read a copy.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import networkx as nx
import numpy as np

from ...arch.columns import columns, dims
from ...arch.fixed import PRODUCT_SHIFT
from ...arch.isa import Mode
from ...arch.program import Layer, Piece, Source
from ..errors import CompileError, InternalError
from ..ir.layers import MOST_STRIDE
from ..ir.quantised import Radix
from ..lower.lower import over_planes, taps
from ..lower.lowered import Value, reading
from ..lower.scaling import SCALE_MAX, Scaled, group, passing


@dataclasses.dataclass(frozen=True)
class Walk:
    """How a layer's RUNs go over the outputs: residues mod (qy, qx), or along the images (flat)."""

    qy: int = 1
    qx: int = 1
    flat: bool = False

    def __str__(self) -> str:
        if self.flat:
            return "along the images"
        return "" if self.qy == self.qx == 1 else f"every {self.qy},{self.qx}"


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A network with its copies. splits (y, x), interleaved, pads: per value; walks: per layer.

    scaled: the network without copies.
    """

    scaled: Scaled
    net: Scaled
    splits: tuple[tuple[int, int], ...]
    interleaved: tuple[bool, ...]
    pads: tuple[int, ...]
    walks: tuple[Walk, ...]

    def __str__(self) -> str:
        """A line a value, copies among them, and a line a layer."""
        values = columns(("value", "makes", "phases", "images", "pad", "copy"), (
            (value.name, dims(value.shape), dims(cut), "interleaved" if among else "",
             pad, "" if value.node else "yes")
            for value, cut, among, pad in zip(self.net.values, self.splits, self.interleaved,
                                              self.pads, strict=True)))
        layers = columns(("layer", "kind", "reads", "makes", "outputs of a RUN"), (
            (layer.name, layer.kind, ", ".join(
                reading(self.net.values[s.tensor], s.stride_y, s.stride_x) for s in layer.sources),
             self.net.values[layer.output].name, walk)
            for layer, walk in zip(self.net.layers, self.walks, strict=True)))
        return f"{values}\n\n{layers}"


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
    points = layer.taps.points
    mine = points.source == index
    return (_leaves(points.dy[mine], source.stride_y, rows, height)
            or _leaves(points.dx[mine], source.stride_x, columns, width))


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
            self.net,
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
        largest = max(max(s.stride_y, s.stride_x) for s in layer.sources)
        if largest > MOST_STRIDE:
            raise CompileError(f"layer {path}: its stride is {largest}, and a tensor has at most "
                               f"{MOST_STRIDE} x {MOST_STRIDE} phases; use strides up to "
                               f"{MOST_STRIDE}")
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
        raise InternalError(f"{layer.name}: no split serves its sources, not even copies of them")

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


def with_packed(split: Split, numbers: Sequence[int]) -> tuple[Split, set[int]]:
    """The network in which each of these layers reads copies of its own of all it reads, in the
    same phases; and the copies."""
    net = split.net
    values, layers, paths = list(net.values), [], []
    splits, interleaved, pads, walks = (list(split.splits), list(split.interleaved),
                                        list(split.pads), [])
    copies: set[int] = set()
    for number, (layer, path, walk) in enumerate(zip(net.layers, net.paths, split.walks,
                                                     strict=True)):
        if number in numbers:
            mine = {}
            for value in dict.fromkeys(source.tensor for source in layer.sources):
                mine[value] = index = len(values)
                old = values[value]
                name = f"{old.name}.packed{len(copies) + 1}"
                values.append(dataclasses.replace(old, name=name, node=""))
                splits.append(splits[value])
                interleaved.append(False)
                pads.append(pads[value])
                copies.add(index)
                layers.append(copy_layer(name, value, index, old))
                paths.append(old.name)
                walks.append(Walk(*splits[value]))
            layer = dataclasses.replace(layer, sources=tuple(
                dataclasses.replace(source, tensor=mine[source.tensor])
                for source in layer.sources))
        layers.append(layer)
        paths.append(path)
        walks.append(walk)
    net = dataclasses.replace(net, values=tuple(values), layers=tuple(layers), paths=tuple(paths))
    return Split(split.scaled, net, tuple(splits), tuple(interleaved), tuple(pads),
                 tuple(walks)), copies


def copy_layer(name: str, source: int, output: int, value: Value) -> Layer:
    """The layer that passes a value on: codes as a maximum of one, radix planes as a sum of one.

    Of an |x| below 2^15, x * SCALE_MAX and a half of 2^16 make x again.
    """
    channels, height, width = value.shape
    terms = over_planes(taps(np.arange(channels), np.arange(channels)), np.array([value.planes]))
    meaning = value.meaning
    if not isinstance(meaning, Radix):
        return passing(name, "Copy", (Source(source),), output, terms, channels)
    piece = Piece(0, 0, height, width, (SCALE_MAX,) * channels,
                  (1 << (PRODUCT_SHIFT - 1),) * channels)
    copied = group(terms, np.ones(len(terms), np.int64), channels)
    return Layer(name, "Copy", "sum", (Source(source),), output, copied, (piece,),
                 int(Mode.RADIX), 0, digits=meaning.planes, radix_width=meaning.bits)


def _interleaved(net: Scaled) -> set[int]:
    """Values that some layer reads, and only layers of 1 x 1 outputs."""
    flat: set[int] = set()
    others: set[int] = set()
    for layer in net.layers:
        one = net.values[layer.output].shape[1:] == (1, 1)
        (flat if one else others).update(source.tensor for source in layer.sources)
    return flat - others


def _walk(bond: _Bond | None, splits: Sequence[tuple[int, int]]) -> Walk:
    if bond is None:
        return Walk(flat=True)
    value, sy, sx = bond.sources[0]
    return Walk(bond.rows or splits[value][0] // sy, bond.columns or splits[value][1] // sx)


# ---- solving ---------------------------------------------------------------------------------
def _solve(bonds: Sequence[_Bond]) -> dict[int, tuple[int, int]] | None:
    """Least splits (y, x) of all values that suit every bond, or None.

    A split is (a, a), (1, a) or (a, 1): others the layout's phase strides cannot express.
    """
    down = _parts([[(v, sy) for v, sy, _ in b.sources] for b in bonds if b.rows is None])
    across = _parts([[(v, sx) for v, _, sx in b.sources] for b in bonds if b.columns is None])
    if down is None or across is None:
        return None
    found = {v: (1, 1) for b in bonds for v, _, _ in b.sources}
    while True:
        found = {v: (down.split(v), across.split(v)) for v in found}
        if any(max(pair) > MOST_STRIDE for pair in found.values()):
            return None
        odd = next((v for v, (y, x) in found.items() if y != x and min(y, x) > 1), None)
        if odd is None:
            return found
        both = math.lcm(*found[odd])
        down.grow(odd, both)
        across.grow(odd, both)


@dataclasses.dataclass
class _Parts:
    """Values whose splits have fixed ratios: the part of each, its least split, a part's factor."""

    part: dict[int, int]
    least: dict[int, int]
    factor: dict[int, int]

    def split(self, value: int) -> int:
        """1 for a value that no bond holds."""
        return self.least.get(value, 1) * self.factor.get(self.part.get(value, -1), 1)

    def grow(self, value: int, split: int) -> None:
        """Multiply the splits of the value's part so that the value's becomes this one."""
        self.factor[self.part[value]] *= split // self.split(value)


def _parts(bonds: list[list[tuple[int, int]]]) -> _Parts | None:
    """The parts of bonds [(value, stride)] with split = stride * q, all q least; None if none can.

    In the graph of values and bonds an edge is a stride; along it q and splits follow from another.
    """
    graph: nx.Graph = nx.Graph()
    for i, bond in enumerate(bonds):
        graph.add_edges_from((("bond", i), ("value", v), {"stride": s}) for v, s in bond)
    out = _Parts({}, {}, {})
    for number, members in enumerate(nx.connected_components(graph)):
        start = min(members)
        size = {start: Fraction(1)}
        for a, b in nx.bfs_edges(graph, start):
            stride = graph.edges[a, b]["stride"]
            size[b] = size[a] * stride if b[0] == "value" else size[a] / stride
        qs = [size[m] for m in members if m[0] == "bond"]
        denominator = math.lcm(*(q.denominator for q in qs))
        unit = Fraction(denominator, math.gcd(*(int(q * denominator) for q in qs)))
        for kind, i in members:
            if kind == "value":
                out.part[i], out.least[i] = number, int(size[kind, i] * unit)
            elif any(size["value", v] != size[kind, i] * s for v, s in bonds[i]):
                return None
        out.factor[number] = 1
    return out
