"""Do the instructions compute what the layer table says, for every input?

The reference executes the layer table, the machines execute instructions, streams and tables. Both
are in a binary, so it is checked that they mean the same, in program order:

- a RUN belongs to one layer, and its operands, the factors, scales, biases and thresholds that it
  finds are the layer's;
- it writes elements of the layer's output, all RUNs of the layer together every element once,
  inside the piece whose scales it has;
- at its first position its taps read the elements that the layer's taps name, through decode tables
  that hold their tensor's values, and every further position is as far from it in the memory as the
  layer's strides say;
- the cells that it reads hold elements of its sources, and the pad code around them;
- what a STORE gives to the host are the elements of the output tensor.

So the reference tells what every machine computes. Nothing here is a matter of timing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from . import effects, fixed, hazards, reference, tables
from .errors import FormatError
from .isa import UNIT_BYTES, Fill, Instruction, Load, Mode, Run, Store
from .kind import Kind
from .program import Layer, Piece, Program

Ints = NDArray[np.int64]
# what a cell of the activation memory holds: a code below TENSOR, or an element of a tensor
TENSOR = 1 << 8
FOREIGN = -1
# places of a tap among those of one cell and sign: fits pair 0, both, pair 1 (by its bits)
PAIR_ORDER = np.array([3, 0, 2, 1])
TIES = 4


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """The outputs of a RUN: the first channel, and n, y, x of every position of the raster.

    n: (images, 1, width); y: (1, height, 1); x: (1, 1, width).
    """

    first: int
    n: Ints
    y: Ints
    x: Ints


class Agreement:
    """Takes the instructions of a program with a layer table one by one, in program order.

    flats: the stream of every RUN, by its index. Raises FormatError, here and in every method, for
    what is not as the layer table says.
    """

    def __init__(self, program: Program, flats: Mapping[int, effects.Flat]) -> None:
        self.program, self.flats = program, flats
        self.memory = program.config.memory_codes
        self.cells = np.full(self.memory, FOREIGN, np.int64)
        self.written = {layer.output: np.zeros(_elements(program, layer.output), bool)
                        for layer in program.layers}
        self.owner = _owners(program)
        self.pads: tuple[int, list[Ints]] = FOREIGN, []      # of one layer, the one at work

    def step(self, index: int, ins: Instruction, operands: hazards.Operands | None) -> None:
        """The next instruction; operands: what a RUN finds in the tables."""
        if isinstance(ins, Load):
            self._load(index, ins)
        elif isinstance(ins, Store):
            self._store(index, ins)
        elif isinstance(ins, Fill):
            self.cells[self._rows(ins)] = ins.code
        elif isinstance(ins, Run) and operands is not None:
            number = self.owner[index]
            try:
                self._run(number, ins, self.flats[index], operands)
            except _Differs as error:
                raise FormatError(
                    f"layer {self.program.layers[number].name!r}: {error} of instruction "
                    f"{index} (RUN); recompile the network") from None

    def end(self) -> None:
        """Behind the last instruction everything is computed."""
        for layer in self.program.layers:
            if not self.written[layer.output].all():
                raise FormatError(f"layer {layer.name!r}: its RUNs do not write all outputs; "
                                  "recompile the network")

    def _rows(self, ins: Load | Store | Fill) -> slice:
        row_codes = self.program.config.row_codes
        return slice(ins.row * row_codes, (ins.row + ins.rows) * row_codes)

    # ---- transfers ----------------------------------------------------------------------------
    def _load(self, index: int, ins: Load) -> None:
        tensor = _port(self.program, index, ins)
        self.cells[self._rows(ins)] = self.program.tensors[tensor].kind.pad
        self.cells[self._addresses(tensor)] = TENSOR + tensor

    def _addresses(self, tensor: int) -> Ints:
        return self.program.tensors[tensor].addresses(self.program.config)

    def _store(self, index: int, ins: Store) -> None:
        tensor = _port(self.program, index, ins)
        if (self.cells[self._addresses(tensor)] != TENSOR + tensor).any():
            raise _refused(index, ins, "stores other cells than the elements of tensor "
                                       f"{self.program.tensors[tensor].name!r}")

    # ---- RUNs ---------------------------------------------------------------------------------
    def _run(self, number: int, ins: Run, flat: effects.Flat, found: hazards.Operands) -> None:
        layer = self.program.layers[number]
        _same_operands(self.program, layer, ins)
        cells = effects.writes(ins, self.memory)
        outputs = self._outputs(layer, ins, cells)
        _same_parameters(_piece(layer, outputs), outputs.first, flat)
        _same_thresholds(layer, found)
        for source in range(len(layer.sources)):
            _same_steps(self.program, layer, source, ins, outputs)
        self._readable(number)
        _same_taps(self.program, layer, ins, outputs, flat, found)
        self.cells[cells] = TENSOR + layer.output

    def _outputs(self, layer: Layer, ins: Run, cells: Ints) -> _Outputs:
        """What the RUN writes into `cells` (channels, digits, images, height, width)."""
        kind = self.program.tensors[layer.output].kind
        index = np.full(self.memory, FOREIGN, np.int64)
        where = self._addresses(layer.output).ravel()
        index[where] = np.arange(where.size)
        elements = index[cells]
        _require(bool((elements >= 0).all()), "an output lies outside its tensor in the writes")
        size = kind.height * kind.width
        n, k, rest = (elements[0, 0] // (kind.channels * size),
                      elements[0, 0] // size % kind.channels, elements[0, 0] % size)
        y, x = rest // kind.width, rest % kind.width
        first = int(k.ravel()[0])
        outputs = _Outputs(first, n[:, :1], y[:1, :, :1], x[:1, :1])
        steps = (np.arange(ins.digits)[:, None, None, None] * _size(kind)
                 + np.arange(ins.channels)[:, None, None, None, None] * size)
        straight = ((outputs.n * kind.channels + first) * size + outputs.y * kind.width
                    + outputs.x)
        _require(bool((elements == straight + steps).all()),
                 "outputs are in another order in the writes")
        written = self.written[layer.output]
        _require(not written[elements].any(), "an output is written twice in the writes")
        written[elements] = True
        return outputs

    def _readable(self, number: int) -> None:
        """Sources are intact, with their pads around them as far as taps reach."""
        layer = self.program.layers[number]
        if self.pads[0] != number:
            self.pads = number, _pads(self.program, layer)
        for source, pads in zip(layer.sources, self.pads[1], strict=True):
            kind = self.program.tensors[source.tensor].kind
            whole = self.cells[self._addresses(source.tensor)] == TENSOR + source.tensor
            _require(bool(whole.all()), "a source is not complete in the reads")
            _require(bool((self.cells[pads] == kind.pad).all()),
                     "cells around a source hold no pads in the reads")


class _Differs(Exception):
    """What a RUN does otherwise than its layer."""


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise _Differs(sentence)


def _refused(index: int, ins: Load | Store | Run, sentence: str) -> FormatError:
    return FormatError(f"instruction {index} ({ins.OP.name}): {sentence}; recompile the network")


def _elements(program: Program, tensor: int) -> int:
    return program.tensors[tensor].kind.size


def _size(kind: Kind) -> int:
    return kind.images * kind.channels * kind.height * kind.width


def _owners(program: Program) -> dict[int, int]:
    """Layer of every RUN."""
    owner: dict[int, int] = {}
    for number, layer in enumerate(program.layers):
        for index in layer.runs:
            if owner.setdefault(index, number) != number or layer.runs.count(index) > 1:
                raise FormatError(f"layer {layer.name!r}: instruction {index} is named twice by "
                                  "layers; recompile the network")
    for index, ins in enumerate(program.instructions):
        if isinstance(ins, Run) and index not in owner:
            raise _refused(index, ins, "belongs to no layer of the layer table")
    return owner


def _port(program: Program, index: int, ins: Load | Store) -> int:
    """Tensor of the input or output that a transfer moves."""
    for port in program.inputs if isinstance(ins, Load) else program.outputs:
        layout = program.tensors[port.tensor].layout
        here = port.address, layout.first_row, layout.rows
        if here == (ins.address * UNIT_BYTES, ins.row, ins.rows):
            return port.tensor
    raise _refused(index, ins, "moves something else than an input or output, of which the layer "
                               "table says nothing")


# ---- numbers ---------------------------------------------------------------------------------
def _same_operands(program: Program, layer: Layer, ins: Run) -> None:
    order = program.tensors[layer.sources[0].tensor].kind.order
    wanted = {"mode": layer.mode, "shift": layer.shift // 2, "digits": layer.digits,
              "radix_width": layer.radix_width,
              "order": order if layer.mode == Mode.PASS else 0}
    for name, value in wanted.items():
        _require(getattr(ins, name) == value, f"{name} is {value}, not {getattr(ins, name)} as")


def _piece(layer: Layer, outputs: _Outputs) -> Piece | None:
    """The piece that the outputs lie in; None for a maximum, which has none."""
    y, x = outputs.y, outputs.x
    for piece in layer.pieces:
        if (piece.y <= y.min() and y.max() < piece.y + piece.height
                and piece.x <= x.min() and x.max() < piece.x + piece.width):
            return piece
    _require(layer.op == "max", "no piece holds the outputs")
    return None


def _same_parameters(piece: Piece | None, first: int, flat: effects.Flat) -> None:
    part = slice(first, first + len(flat.scales))
    zeros = [0] * len(flat.scales)
    for name, said, found in (
            ("scale", piece.scale[part] if piece else zeros, flat.scales),
            ("bias", piece.bias[part] if piece else zeros, flat.biases)):
        bad = np.flatnonzero(np.array(said, np.int64) != found)
        _require(not bad.size, f"the {name} of channel {first + bad[:1].sum()} is not that of the "
                               "stream")


def _same_thresholds(layer: Layer, found: hazards.Operands) -> None:
    if layer.mode == Mode.CODE:
        same = (np.array_equal(tables.value(found.clusters[1:]), layer.thresholds)
                and np.array_equal(tables.code(found.clusters), layer.codes))
        _require(same, "thresholds or codes are not those of the CLUSTER table")


# ---- taps ------------------------------------------------------------------------------------
def _same_steps(program: Program, layer: Layer, number: int, ins: Run, outputs: _Outputs) -> None:
    """From position to position every tap moves in the memory as it does in the source."""
    source = layer.sources[number]
    layout, memory = program.tensors[source.tensor].layout, program.config.memory_codes
    mine = layer.taps.source == number
    y, x, zero = outputs.y.ravel(), outputs.x.ravel(), np.zeros(1, np.int64)
    down = np.unique(layer.taps.dy[mine])[:, None]
    across = np.unique(layer.taps.dx[mine])[:, None]
    images = outputs.n[:, 0, 0] * layout.image
    for moves, step in (
            (images, ins.image_rows * ins.pitch),
            (layout.offset(y * source.stride_y + down, zero), ins.pitch),
            (layout.offset(zero, x * source.stride_x + across)
             + outputs.n[0, 0] * layout.image, 1)):
        late = moves - np.arange(moves.shape[-1]) * step
        _require(bool(((late - late[..., :1]) % memory == 0).all()),
                 "the way over its sources is not that")


def _same_taps(program: Program, layer: Layer, ins: Run, outputs: _Outputs, flat: effects.Flat,
               found: hazards.Operands) -> None:
    """Factors, and the cell, sign and decode table of each tap, cluster by cluster in any order."""
    taps, memory = layer.taps, program.config.memory_codes
    channel_clusters = taps.channel_clusters[outputs.first:outputs.first + ins.channels + 1]
    clusters = slice(int(channel_clusters[0]), int(channel_clusters[-1]))
    cluster_taps = taps.cluster_taps[clusters.start:clusters.stop + 1]
    part = slice(int(cluster_taps[0]), int(cluster_taps[-1]))
    _require(np.array_equal(channel_clusters - clusters.start, flat.channel_clusters)
             and np.array_equal(cluster_taps - part.start, flat.cluster_taps),
             "clusters are not those of the stream")
    _require(np.array_equal(taps.cluster_factor[clusters], flat.factors),
             "a factor is not that of the stream")
    cells, fits = _reads(program, layer, part, outputs, found)
    cluster = np.repeat(np.arange(len(flat.factors)), np.diff(flat.cluster_taps))
    # PAIR_ORDER puts what only the first pair fits before what only the second one does
    said = _key(cluster, cells % memory, taps.negative[part], PAIR_ORDER[fits], memory)
    does = _key(cluster, (found.starts + ins.origin) % memory, flat.negative, found.pairs, memory)
    by_said, by_does = np.argsort(said), np.argsort(does)
    same = said[by_said] // TIES == does[by_does] // TIES
    _require(bool(same.all()), "taps are not those of the stream")
    _require(bool((fits[by_said] >> found.pairs[by_does] & 1).all()),
             "a tap's DECODE table does not hold the values of its source in the stream")


def _key(cluster: Ints, cell: Ints, negative: NDArray, last: Ints, memory: int) -> Ints:
    return ((cluster * memory + cell) * 2 + negative) * TIES + last


def _reads(program: Program, layer: Layer, part: slice, outputs: _Outputs,
           found: hazards.Operands) -> tuple[Ints, Ints]:
    """Of some taps at the first position of a RUN: the cell, and a bit for each decode pair that
    holds the values of the source."""
    taps = layer.taps
    cells = np.zeros(part.stop - part.start, np.int64)
    fits = np.zeros_like(cells)
    for number, source in enumerate(layer.sources):
        mine = np.flatnonzero(taps.source[part] == number)
        at = mine + part.start
        layout = program.tensors[source.tensor].layout
        y = int(outputs.y[0, 0, 0]) * source.stride_y + taps.dy[at]
        x = int(outputs.x[0, 0, 0]) * source.stride_x + taps.dx[at]
        cells[mine] = (layout.base + int(outputs.n[0, 0, 0]) * layout.image + layout.offset(y, x)
                       + taps.channel[at] * layout.channel + taps.plane[at] * layout.plane)
        fits[mine] = _fitting(program, layer, source.tensor, found.decode)[taps.plane[at]]
    return cells, fits


def _fitting(program: Program, layer: Layer, tensor: int, decode: Ints) -> Ints:
    """For every plane of a tensor a bit for each decode pair that holds its values: (planes,)."""
    code_bits, kind = program.config.code_bits, program.tensors[tensor].kind
    values = reference.decode_tables(program, tensor)
    occurs = np.ones(values.shape, bool)
    if layer.op == "max":
        values = fixed.rank(np.arange(1 << code_bits), kind.order, code_bits)[None]
    elif kind.bits:
        occurs = _occurring(kind.planes, kind.bits, code_bits)
    same = (decode[:, None] == tables.decode(values)) | ~occurs
    return same.all(axis=-1).T @ (1 << np.arange(len(decode)))


@functools.cache
def _occurring(planes: int, bits: int, code_bits: int) -> NDArray[np.bool_]:
    """Which codes integers of so many bits have in each plane: (planes, 2^AB)."""
    found = np.zeros((planes, 1 << code_bits), bool)
    limit = 1 << (bits - 1)
    digits = fixed.radix_digits(np.arange(-limit, limit), planes, bits, code_bits)
    for plane in range(planes):
        found[plane, digits[plane]] = True
    return found


# ---- pads ------------------------------------------------------------------------------------
def _pads(program: Program, layer: Layer) -> list[Ints]:
    """For every source the cells outside its elements that taps of the layer reach."""
    memory = program.config.memory_codes
    _, _, rows, columns = program.tensors[layer.output].kind.shape
    found = []
    for number, source in enumerate(layer.sources):
        kind, layout = program.tensors[source.tensor].kind, program.tensors[source.tensor].layout
        mine = layer.taps.source == number
        y = _lines(layer.taps.dy[mine], rows, source.stride_y)
        x = _lines(layer.taps.dx[mine], columns, source.stride_x)
        outside = (((y < 0) | (y >= kind.height))[:, None] | (x < 0) | (x >= kind.width))
        at, to = np.nonzero(outside)
        cells = layout.base + layout.offset(y[at], x[to])
        for count, step in ((kind.images, layout.image), (kind.channels, layout.channel),
                            (kind.planes, layout.plane)):
            cells = cells + np.arange(count).reshape(-1, *[1] * cells.ndim) * step
        found.append(cells.ravel() % memory)
    return found


def _lines(offsets: Ints, count: int, stride: int) -> Ints:
    """All rows or columns that taps reach from `count` outputs."""
    return np.unique(np.unique(offsets)[:, None] + np.arange(count) * stride)
