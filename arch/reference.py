"""The integer meaning of a program: its layer table, executed exactly.

It never looks at instructions, addresses or tables, so the machines and this check each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from . import fixed
from .errors import FormatError
from .isa import Mode
from .keys import keys, occurring
from .program import Layer, Piece, Program, Taps

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]

# up to where every integer is a floating point number, so that sums in any order are exact
EXACT: dict[type[np.number], int] = {np.float32: 1 << 24, np.float64: 1 << 53}
# numbers gathered at once for one matrix product
GATHER = 1 << 22
# images that `outputs` computes together at most, and numbers of all their tensors
AT_ONCE = 50
TOGETHER = 1 << 25


def run(program: Program, inputs: Sequence[Ints]) -> dict[int, Ints]:
    """Codes (planes, N, C, H, W) of every tensor, by index, from those of the inputs.

    inputs: one array of codes an input, in the program's order. Raises FormatError where the
    program has no layer table.
    """
    tensors = _start(program, inputs)
    for layer in program.layers:
        tensors[layer.output] = _layer(program, layer, tensors)
    return tensors


def tensors(program: Program, inputs: Sequence[Ints]) -> dict[int, Ints]:
    """Like `run` for any number of images; the machine's N is not used."""
    return run(_for_images(program, np.shape(inputs[0])[1]), inputs)


def outputs(program: Program, inputs: Sequence[Ints], at_once: int | None = None) -> list[Ints]:
    """Codes (planes, n, C, H, W) of every output for any number n of images.

    at_once: images computed together, by default as many as fit some 256 MiB, AT_ONCE at most; the
    machine's N is not used.
    """
    count = np.shape(inputs[0])[1]
    if at_once is None:
        at_once = max(1, min(AT_ONCE, TOGETHER // _numbers(program)))
    parts = []
    for first in range(0, count, at_once):
        found = tensors(program, [np.asarray(codes)[:, first:first + at_once] for codes in inputs])
        parts.append([found[port.tensor] for port in program.outputs])
    return [np.concatenate(codes, axis=1) for codes in zip(*parts, strict=True)]


def _numbers(program: Program) -> int:
    """Numbers of one image in all tensors."""
    kinds = [tensor.kind for tensor in program.tensors]
    return sum(kind.planes * kind.channels * kind.height * kind.width for kind in kinds)


def _for_images(program: Program, images: int) -> Program:
    """The same layers on tensors of another number of images, which lie nowhere."""
    return dataclasses.replace(program, tensors=tuple(
        dataclasses.replace(tensor, kind=dataclasses.replace(tensor.kind, images=images), places=())
        for tensor in program.tensors))


def extremes(program: Program, inputs: Sequence[Ints]) -> list[tuple[int, int]]:
    """Largest |S| and |T| of every layer of op "sum" (0, 0 for others), for these inputs.

    S is looked at after a cluster's last tap, not in between.
    """
    tensors = run(program, inputs)
    return [_extremes(program, layer, tensors) for layer in program.layers]


def _start(program: Program, inputs: Sequence[Ints]) -> dict[int, Ints]:
    if not program.layers:
        raise FormatError("the program has no layer table, which the reference executes; "
                          "recompile without --strip")
    if len(inputs) != len(program.inputs):
        raise FormatError(f"the program has {len(program.inputs)} inputs, {len(inputs)} were "
                          "given; give one array of codes for each")
    tensors = {}
    for port, codes in zip(program.inputs, inputs, strict=True):
        wanted = program.tensors[port.tensor].kind.codes
        if np.shape(codes) != wanted:
            raise FormatError(f"input {port.name!r}: codes have the shape {np.shape(codes)}, "
                              f"{wanted} was expected")
        tensors[port.tensor] = np.asarray(codes, np.int64)
    return tensors


def _layer(program: Program, layer: Layer, tensors: dict[int, Ints]) -> Ints:
    code_bits = program.config.code_bits
    shape = program.tensors[layer.output].kind.shape
    if layer.op == "max":
        return _maximum(program, layer, tensors)[None]
    total = _sums(program, layer, tensors, cluster_channels(layer.taps), layer.taps.cluster_factor)
    planes = program.tensors[layer.output].kind.planes
    out = np.zeros((planes, *shape), np.int64)
    for piece in layer.pieces:
        area = np.s_[..., piece.y:piece.y + piece.height, piece.x:piece.x + piece.width]
        v = _requantize(total[area], layer, piece)
        if layer.mode == Mode.RADIX:
            out[area] = fixed.radix_digits(v, layer.digits, layer.radix_width, code_bits)
        else:
            out[area] = fixed.cluster(v, np.array(layer.thresholds), np.array(layer.codes))
    return out


def _requantize(total: Ints, layer: Layer, piece: Piece) -> Ints:
    """v of one piece; total: (N, K, h, w)."""
    scale = np.array(piece.scale, np.int64)[:, None, None]
    bias = np.array(piece.bias, np.int64)[:, None, None]
    return fixed.requantize(total, layer.shift, scale, bias)


def _extremes(program: Program, layer: Layer, tensors: dict[int, Ints]) -> tuple[int, int]:
    if layer.op != "sum":
        return 0, 0
    taps = layer.taps
    count = len(taps.cluster_factor)
    sums = _sums(program, layer, tensors, np.arange(count), np.ones(count, np.int64), count)
    totals = _sums(program, layer, tensors, cluster_channels(taps), taps.cluster_factor)
    return int(np.abs(sums).max(initial=0)), int(np.abs(totals).max(initial=0))


def cluster_channels(taps: Taps) -> Ints:
    """Output channel of every cluster: (R,)."""
    return np.repeat(np.arange(len(taps.channel_clusters) - 1), np.diff(taps.channel_clusters))


# ---- what taps read --------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class _View:
    """A source with its pad around it: values (planes, N, C, height, width).

    Element (y, x) of the tensor is at (y + top, x + left); output (i, j) of a tap reads
    (i*stride_y + dy, j*stride_x + dx) of the tensor.
    """

    values: NDArray
    top: int
    left: int
    stride_y: int
    stride_x: int

    def window(self, plane: int, channel: int, dy: int, dx: int, images: slice, first: int,
               height: int, width: int) -> NDArray:
        """What one tap reads for `height` output rows from `first` on: (n, height, width)."""
        y = self.top + dy + first * self.stride_y
        x = self.left + dx
        return self.values[plane, images, channel,
                           y:y + (height - 1) * self.stride_y + 1:self.stride_y,
                           x:x + (width - 1) * self.stride_x + 1:self.stride_x]


def _view(program: Program, layer: Layer, index: int, tables: NDArray, tensors: dict[int, Ints]
          ) -> _View:
    """Source number `index` with tables[plane][code] for codes, pads as far as taps reach."""
    source, points = layer.sources[index], layer.taps.points
    kind = program.tensors[source.tensor].kind
    _, _, rows, columns = program.tensors[layer.output].kind.shape
    mine = points.source == index
    top, bottom = reach(points.dy[mine], rows, source.stride_y, kind.height)
    left, right = reach(points.dx[mine], columns, source.stride_x, kind.width)
    planes, images, channels, height, width = tensors[source.tensor].shape
    values = np.empty((planes, images, channels, top + height + bottom, left + width + right),
                      tables.dtype)
    for plane in range(planes):
        values[plane] = tables[plane, kind.pad]
        values[plane, :, :, top:top + height, left:left + width] = (
            tables[plane][tensors[source.tensor][plane]])
    return _View(values, top, left, source.stride_y, source.stride_x)


def reach(offsets: Ints, outputs: int, stride: int, size: int) -> tuple[int, int]:
    """Cells read before the first and behind the last element."""
    if not offsets.size:
        return 0, 0
    last = (outputs - 1) * stride + int(offsets.max())
    return max(0, -int(offsets.min())), max(0, last + 1 - size)


def decode_tables(program: Program, tensor: int) -> Ints:
    """What a tap reads for every code of every plane of a tensor: (planes, 2^AB)."""
    kind, config = program.tensors[tensor].kind, program.config
    if kind.values:
        return np.array([kind.values], np.int64)
    return np.stack([fixed.read_table(plane, kind.planes, kind.bits, config.code_bits,
                                      config.value_bits) for plane in range(kind.planes)])


def _blocks(images: int, rows: int, cells: int) -> Iterator[tuple[slice, int, int]]:
    """Parts of the output (images, first row, rows) of at most GATHER cells where possible.

    cells: how many numbers one output row of one image needs.
    """
    whole = GATHER // max(1, cells * rows)
    if whole:
        for n in range(0, images, whole):
            yield slice(n, min(images, n + whole)), 0, rows
        return
    step = max(1, GATHER // max(1, cells))
    for n in range(images):
        for y in range(0, rows, step):
            yield slice(n, n + 1), y, min(step, rows - y)


# ---- sums ------------------------------------------------------------------------------------
def _sums(program: Program, layer: Layer, tensors: dict[int, Ints], target: Ints, factor: Ints,
          targets: int | None = None) -> Ints:
    """Sum over clusters r of factor[r] * S_r into target[r]: int64 (N, targets, H, W)."""
    images, channels, height, width = program.tensors[layer.output].kind.shape
    out = np.zeros((images, channels if targets is None else targets, height, width), np.int64)
    tables = [decode_tables(program, source.tensor) for source in layer.sources]
    largest = max(int(np.abs(table).max()) for table in tables)
    groups = list(_groups(layer.taps, target, factor, out.shape[1]))
    bound = max((int(np.abs(g.weight).sum(axis=1).max()) for g in groups), default=0) * largest
    real = next((kind for kind, exact in EXACT.items() if bound <= exact), np.int64)
    views = [_view(program, layer, i, table.astype(real), tensors)
             for i, table in enumerate(tables)]
    for group in groups:
        weight = group.weight.astype(real)
        for part, first, rows in _blocks(images, height, width * len(group.places)):
            x = _gather(views, group.places, part, first, rows, width, real)
            t = weight @ x.reshape(len(group.places), -1)
            t = t.reshape(len(weight), -1, rows, width).transpose(1, 0, 2, 3)
            out[part, group.targets, first:first + rows] = t
    return out


@dataclasses.dataclass(frozen=True)
class _Group:
    """Targets that read the same places: an integer matrix (targets, places)."""

    targets: Ints
    places: list[tuple[int, int, int, int, int]]    # source, plane, channel, dy, dx
    weight: Ints


def _groups(taps: Taps, target: Ints, factor: Ints, targets: int) -> Iterator[_Group]:
    """Targets fall into groups that share no source channel (those of a grouped convolution)."""
    cluster = np.repeat(np.arange(len(taps.cluster_factor)), np.diff(taps.cluster_taps))
    row = target[cluster]
    weight = factor[cluster] * np.where(taps.negative, -1, 1)
    points = taps.points
    label = _components(row, keys(points.source, points.channel)[taps.point], targets)[row]
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    for mine in np.split(order, cuts) if order.size else []:
        rows, row_at = occurring(row[mine])
        which, place_at = occurring(taps.point[mine])
        cells = np.bincount(row_at * len(which) + place_at, weight[mine], len(rows) * len(which))
        matrix = cells.astype(np.int64).reshape(len(rows), len(which))
        read = points.take(which)
        places = zip(read.source.tolist(), read.plane.tolist(), read.channel.tolist(),
                     read.dy.tolist(), read.dx.tolist(), strict=True)
        yield _Group(rows, list(places), matrix)


def _components(row: Ints, column: Ints, rows: int) -> Ints:
    """Label (rows,) of every row; rows that share a column share a label."""
    label = np.arange(rows)
    while True:
        least = np.full(int(column.max(initial=0)) + 1, rows)
        np.minimum.at(least, column, label[row])
        new = label.copy()
        np.minimum.at(new, row, least[column])
        if np.array_equal(new, label):
            return label
        label = new


def _gather(views: Sequence[_View], places: Sequence[tuple[int, int, int, int, int]],
            images: slice, first: int, rows: int, width: int, kind: type) -> NDArray:
    """What every place reads: (places, n, rows, width)."""
    out = np.empty((len(places), images.stop - images.start, rows, width), kind)
    for at, (source, plane, channel, dy, dx) in enumerate(places):
        out[at] = views[source].window(plane, channel, dy, dx, images, first, rows, width)
    return out


# ---- maximum -----------------------------------------------------------------------------------
def _maximum(program: Program, layer: Layer, tensors: dict[int, Ints]) -> Ints:
    """The code of largest rank of every output: (N, K, H, W)."""
    code_bits = program.config.code_bits
    shape = program.tensors[layer.output].kind.shape
    orders = {program.tensors[source.tensor].kind.order for source in layer.sources}
    if len(orders) != 1:
        raise FormatError(f"layer {layer.name!r}: its sources have the orders {sorted(orders)}, "
                          "a maximum needs one; recompile the network")
    order = orders.pop()
    ranks = fixed.rank(np.arange(1 << code_bits), order, code_bits)
    views = [_view(program, layer, i,
                   np.tile(ranks, (program.tensors[source.tensor].kind.planes, 1)), tensors)
             for i, source in enumerate(layer.sources)]
    taps, (images, channels, height, width) = layer.taps, shape
    first_tap = taps.cluster_taps[taps.channel_clusters]
    best = np.full(shape, -1, np.int64)
    for k in range(channels):
        for i in range(int(first_tap[k]), int(first_tap[k + 1])):
            at, points = int(taps.point[i]), taps.points
            window = views[points.source[at]].window(
                int(points.plane[at]), int(points.channel[at]), int(points.dy[at]),
                int(points.dx[at]), slice(0, images), 0, height, width)
            np.maximum(best[:, k], window, out=best[:, k])
    if (best < 0).any():
        raise FormatError(f"layer {layer.name!r}: an output channel has no tap to take the "
                          "maximum of; recompile the network")
    return fixed.rank(best, -order, code_bits)
