"""Canonical, quantised graph to logical steps: every layer becomes taps with coefficients.

A Concat becomes no step, its readers read its members as so many sources; only one that is an
output of the network is copied into a tensor of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ...arch.program import Points
from ..errors import CompileError, InternalError
from ..ir import graph as ir
from ..ir.layers import divisors
from ..ir.quantised import ClusteredWeight, Codebook, Quantised, Radix
from .lowered import Area, Floats, Ints, Lowered, Read, Step, Terms, Value

Meaning = Codebook | Radix


def lower(quantised: Quantised) -> Lowered:
    """The network as steps on values; raises CompileError for what no taps can express."""
    return _Lowering(quantised).lowered()


def _same_codes(a: Meaning, b: Codebook) -> bool:
    """Codes of one stand for the same numbers in the other."""
    return isinstance(a, Codebook) and a.scale == b.scale and np.array_equal(a.values, b.values)


def taps(k: Ints, channel: Ints, dy: Ints | int = 0, dx: Ints | int = 0,
         coefficient: Floats | float = 1.0, negative: ArrayLike = 0, source: Ints | int = 0,
         plane: int = 0, wide: bool = False) -> Terms:
    """Terms from arrays of one length, or single numbers that stand for all."""
    n = len(k)

    def full(values: object, kind: type) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, kind), n).copy()

    points = Points(*(full(column, np.int64) for column in (source, channel, plane, dy, dx)))
    return Terms(full(k, np.int32), full(coefficient, np.float64), points,
                 np.arange(n, dtype=np.uint32), full(negative, bool), full(wide, bool))


def over_planes(terms: Terms, planes: Ints) -> Terms:
    """Every tap repeated for each plane of its source. planes: per source."""
    if planes.max(initial=1) == 1:
        return terms
    n = planes[terms.source]
    parts = []
    for plane in range(int(planes.max(initial=1))):
        points = dataclasses.replace(terms.points, plane=np.full(len(terms.points), plane))
        parts.append(dataclasses.replace(terms, points=points).take(n > plane))
    return Terms.join(parts).sorted()


def inside(terms: Terms, reads: list[tuple[tuple[int, int], tuple[int, int, int]]],
           output: tuple[int, int, int]) -> Terms:
    """The taps that read an element for at least one output; the others only ever read padding.

    reads: (stride, shape) per source.
    """
    points = terms.points
    keep = np.ones(len(points), bool)
    for i, (stride, shape) in enumerate(reads):
        mine = points.source == i
        for offsets, step, size, count in (
                (points.dy, stride[0], shape[1], output[1]),
                (points.dx, stride[1], shape[2], output[2])):
            first = np.maximum(0, -(offsets // step))     # the first output with y*step + d >= 0
            hit = (first < count) & (first * step + offsets < size)
            keep &= hit | ~mine
    return terms if keep.all() else terms.take(keep[terms.point])


class _Lowering:
    """The state of one call: values and steps made so far, and what every node's channels are."""

    def __init__(self, quantised: Quantised) -> None:
        self.quantised = quantised
        self.graph = quantised.graph
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.views: dict[str, list[int]] = {}      # node -> values whose channels follow each other

    def lowered(self) -> Lowered:
        makers: dict[type, Callable[..., None]] = {
            ir.Input: self._input, ir.Conv: self._conv, ir.AvgPool: self._average,
            ir.MaxPool: self._maximum, ir.Add: self._add, ir.Concat: self._concat}
        inputs, outputs = [], []
        for node in self.graph:
            if isinstance(node.op, ir.Output):
                outputs.append((node.name, self._single(self.graph.inputs(node.name)[0], node)))
            elif type(node.op) in makers:
                makers[type(node.op)](node, self.graph.inputs(node.name))
            else:
                raise InternalError(f"{node.name}: {type(node.op).__name__} is not canonical")
            if isinstance(node.op, ir.Input):
                inputs.append((node.name, self.views[node.name][0]))
        if not self.steps:
            raise CompileError("the network computes nothing: no layer lies between input and "
                               "output; compile a model with at least one layer")
        return Lowered(tuple(self.values), tuple(self.steps), tuple(inputs), tuple(outputs))

    # ---- values ---------------------------------------------------------------------------
    def _value(self, name: str, node: str, shape: tuple[int, int, int], meaning: Meaning) -> int:
        self.values.append(Value(name, node, shape, meaning))
        return len(self.values) - 1

    def _output(self, node: ir.Node, meaning: Meaning) -> int:
        index = self._value(node.name, node.name, node.shape, meaning)
        self.views[node.name] = [index]
        return index

    def _reads(self, members: list[int], stride: tuple[int, int], first: int = 0
               ) -> tuple[list[Read], Ints, Ints]:
        """Reads of a node's members; source number (from `first`) and channel of its channels."""
        counts = [self.values[v].shape[0] for v in members]
        source = np.repeat(np.arange(len(members)) + first, counts)
        channel = np.concatenate([np.arange(n) for n in counts])
        return [Read(v, stride) for v in members], source, channel

    def _step(self, node: ir.Node, kind: str, op: str, reads: list[Read], terms: Terms,
              meaning: Meaning, **more: object) -> None:
        """Finish the taps (planes, dropped padding) and append the step with its output value.

        Where there is one output, the stride does not matter and becomes 1.
        """
        one = [size == 1 for size in node.shape[1:]]
        reads = [dataclasses.replace(r, stride=(1 if one[0] else r.stride[0],
                                                1 if one[1] else r.stride[1])) for r in reads]
        shapes = [(r.stride, self.values[r.value].shape) for r in reads]
        terms = inside(terms, shapes, node.shape)
        terms = over_planes(terms, np.array([self.values[r.value].planes for r in reads]))
        output = self._output(node, meaning)
        more.setdefault("bias", np.zeros(node.shape[0]))
        more.setdefault("areas", (Area(0, 0, *node.shape[1:]),))
        self.steps.append(Step(node.name, node.path, kind, op, tuple(reads), output, terms,
                               **more))      # type: ignore[arg-type]

    # ---- nodes ----------------------------------------------------------------------------
    def _input(self, node: ir.Node, sources: list[str]) -> None:
        self._output(node, self.quantised.tensors[node.name])

    def _conv(self, node: ir.Node, sources: list[str]) -> None:
        op = node.op
        assert isinstance(op, ir.Conv)
        weight = self.quantised.weights[node.name]
        reads, source, channel = self._reads(self.views[sources[0]], op.stride)
        terms = _conv_taps(op, weight, source, channel)
        outputs = int(np.prod(node.shape[1:]))
        dense, left = op.weight.size * outputs, int((weight.index > 0).sum()) * outputs
        if len(sources) == 2:
            skip, source, channel = self._reads(self.views[sources[1]], op.skip.stride, len(reads))
            reads = reads + skip
            added = _skip_taps(op.skip, node.shape[0], source, channel)
            terms = Terms.join([terms, added])
            dense, left = (n + len(added) * outputs for n in (dense, left))
        self._step(node, op.kind, "sum", reads, terms, self.quantised.tensors[node.name],
                   bias=weight.bias_of(op.bias), function=op.function,
                   dense_macs=dense, macs=left)

    def _add(self, node: ir.Node, sources: list[str]) -> None:
        op = node.op
        assert isinstance(op, ir.Add)
        reads: list[Read] = []
        parts = []
        for name in sources:
            more, source, channel = self._reads(self.views[name], (1, 1), len(reads))
            reads += more
            parts.append(taps(np.arange(node.shape[0]), channel, source=source))
        macs = 2 * int(np.prod(node.shape))
        self._step(node, "Add", "sum", reads, Terms.join(parts),
                   self.quantised.tensors[node.name], function=op.function,
                   dense_macs=macs, macs=macs)

    def _average(self, node: ir.Node, sources: list[str]) -> None:
        op = node.op
        assert isinstance(op, ir.AvgPool)
        reads, source, channel = self._reads(self.views[sources[0]], op.stride)
        terms = _window(op.kernel, (1, 1), op.padding, source, channel)
        areas = _areas(divisors(op, self.graph[sources[0]].shape, node.shape))
        macs = int(np.prod(op.kernel) * np.prod(node.shape))
        self._step(node, "AvgPool2d", "sum", reads, terms, self.quantised.tensors[node.name],
                   areas=areas, function=op.function, dense_macs=macs, macs=macs)

    def _maximum(self, node: ir.Node, sources: list[str]) -> None:
        op = node.op
        assert isinstance(op, ir.MaxPool)
        reads, source, channel = self._reads(self.views[sources[0]], op.stride)
        macs = int(np.prod(op.kernel) * np.prod(node.shape))
        self._step(node, "MaxPool2d", "max", reads,
                   _window(op.kernel, op.dilation, op.padding, source, channel),
                   self._codebook(node, sources[0]), dense_macs=macs, macs=macs)

    def _concat(self, node: ir.Node, sources: list[str]) -> None:
        self.views[node.name] = [value for name in sources for value in self.views[name]]

    # ---- concatenations ---------------------------------------------------------------------
    def _codebook(self, node: ir.Node, source: str) -> Codebook:
        """The codebook of all members of `source`, so that their codes can be passed on."""
        meaning = self.quantised.tensors[node.name]
        members = [self.values[v].meaning for v in self.views[source]]
        if isinstance(meaning, Radix) or not all(_same_codes(m, meaning) for m in members):
            raise InternalError(f"{node.name}: it passes codes on, but not all of one codebook")
        return meaning

    def _single(self, name: str, node: ir.Node) -> int:
        """One value that holds all channels of a node, for an output: a concatenation is copied."""
        members = self.views[name]
        if len(members) == 1:
            return members[0]
        reads, source, channel = self._reads(members, (1, 1))
        concat = self.graph[name]
        self._step(concat, "Concat", "max", reads,
                   taps(np.arange(len(channel)), channel, source=source),
                   self._codebook(concat, name))
        return self.views[name][0]


def _conv_taps(op: ir.Conv, weight: ClusteredWeight, source: Ints, channel: Ints) -> Terms:
    """One tap for each weight that is left. source, channel: of every input channel."""
    outputs, inputs, height, width = weight.index.shape
    index = weight.index.reshape(outputs, -1)
    at = np.flatnonzero(index)
    k, column = np.divmod(at, index.shape[1])
    c, y, x = (n.ravel() for n in np.indices((inputs * op.groups, height, width)))
    points = Points(source[c], channel[c], np.zeros_like(c), y * op.dilation[0] - op.padding[0],
                    x * op.dilation[1] - op.padding[1])
    if op.groups > 1:
        column += k // (outputs // op.groups) * index.shape[1]
    factor = weight.channel_scale[k]
    return Terms(k.astype(np.int32), weight.magnitudes[index.ravel()[at] - 1] * np.abs(factor),
                 points, column.astype(np.uint32), weight.negative.ravel()[at] ^ (factor < 0),
                 np.zeros(len(at), bool))


def _skip_taps(skip: ir.Skip, channels: int, source: Ints, channel: Ints) -> Terms:
    """A tap for every output channel that something is added to."""
    reads = np.arange(channels) if skip.channels is None else skip.channels
    k = np.flatnonzero(reads >= 0)
    return taps(k, channel[reads[k]], *skip.offset, source=source[reads[k]], wide=True)


def _window(kernel: tuple[int, int], dilation: tuple[int, int], padding: ir.Padding, source: Ints,
            channel: Ints) -> Terms:
    """One tap for each cell of a pooling window of every channel."""
    k, y, x = (i.ravel() for i in np.meshgrid(np.arange(len(channel)), np.arange(kernel[0]),
                                              np.arange(kernel[1]), indexing="ij"))
    return taps(k, channel[k], y * dilation[0] - padding[0], x * dilation[1] - padding[1],
                source=source[k])


def _areas(divisor: Ints) -> tuple[Area, ...]:
    """Rectangles of equal divisor. divisor: (height, width), a product of rows and columns."""
    def cuts(axis: int) -> list[tuple[int, int]]:
        change = np.flatnonzero((np.diff(divisor, axis=axis) != 0).any(axis=1 - axis)) + 1
        edges = [0, *change.tolist(), divisor.shape[axis]]
        return list(zip(edges, np.diff(edges).tolist(), strict=False))

    return tuple(Area(y, x, height, width, int(divisor[y, x]))
                 for y, height in cuts(0) for x, width in cuts(1))
