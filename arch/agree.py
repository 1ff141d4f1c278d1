"""Do the instructions compute what the layer table says, for every input?

The reference executes the layer table, the machines execute instructions, streams and tables. Both
are in a binary, so it is checked that they mean the same, in program order:

- a RUN belongs to one layer, and its operands, the factors, scales, biases and thresholds that it
  finds are the layer's;
- it writes elements of the layer's output to one of its places, all RUNs of the layer together
  every element once, inside the piece whose scales it has;
- at its first position its taps read the elements that the layer's taps name, through decode tables
  that hold their tensor's values, and every further position is as far from it in the memory as the
  layer's strides say;
- the cells that it reads hold those elements, and the pad code around them: what is in every cell
  of both memories is followed through transfers, FILLs and RUNs (`contents.py`);
- a place holds all its elements when it says so, and external memory all homes and outputs at the
  end.

So the reference tells what every machine computes. Nothing here is a matter of timing.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from . import effects, fixed, hazards, reference, tables
from .contents import Contents
from .errors import FormatError
from .isa import Fill, Instruction, Load, Mode, Run, Store
from .place import Box, Place
from .program import Layer, Piece, Program, Source, chip_places, completed_by
from .raster import raster_of
from .reach import Outputs, Part, Reach, distinct, part, reaches, taps_of

Ints = NDArray[np.int64]
# places of a tap among those of one cell and sign: fits pair 0, both, pair 1 (by its bits)
PAIR_ORDER = np.array([3, 0, 2, 1])
TIES = 4


class Agreement:
    """Takes the instructions of a program with a layer table one by one, in program order.

    flats: the stream of every RUN, by its index. Raises FormatError, here and in every method, for
    what is not as the layer table says.
    """

    def __init__(self, program: Program, flats: Mapping[int, effects.Flat]) -> None:
        self.program, self.flats = program, flats
        self.memory = program.config.memory_codes
        self.contents = Contents(program)
        self.written = {layer.output: np.zeros(program.tensors[layer.output].kind.size, bool)
                        for layer in program.layers}
        self.owner = _owners(program)
        self.same: set[tuple[object, ...]] = set()
        self.reach: dict[tuple[int, int, int], list[Reach]] = {}
        self.places = {number: chip_places(program, number) for number in completed_by(program)}
        self.due: dict[int, list[tuple[int, Place]]] = defaultdict(list)
        for number, places in self.places.items():
            for index, place in places:
                self.due[index].append((number, place))

    def step(self, index: int, ins: Instruction, operands: hazards.Operands | None) -> None:
        """The next instruction; operands: what a RUN finds in the tables."""
        if isinstance(ins, Load | Store | Fill):
            self.contents.move(ins)
        elif isinstance(ins, Run) and operands is not None:
            number = self.owner[index]
            try:
                self._run(number, index, ins, operands)
            except _Differs as error:
                raise FormatError(
                    f"layer {self.program.layers[number].name!r}: {error} of instruction "
                    f"{index} (RUN); recompile the network") from None
        for tensor, place in self.due.get(index, ()):
            if not self.contents.holds(tensor, place):
                raise _refused(index, ins, f"tensor {self.program.tensors[tensor].name!r} is not "
                                           f"complete in {place.said} behind it")

    def end(self) -> None:
        """Behind the last instruction everything is computed, and lies where it is looked for."""
        for layer in self.program.layers:
            if not self.written[layer.output].all():
                raise FormatError(f"layer {layer.name!r}: its RUNs do not write all outputs; "
                                  "recompile the network")
        for what, number, place in self._outside():
            if not self.contents.holds_outside(number, place):
                raise FormatError(f"{what}: external memory does not hold all of it behind END; "
                                  "recompile the network")

    def _outside(self) -> Iterator[tuple[str, int, Place]]:
        """What is to lie in external memory at the end: homes, and outputs without one."""
        for number in self.places:
            tensor = self.program.tensors[number]
            if tensor.home:
                yield f"tensor {tensor.name!r}", number, tensor.home
        for port in self.program.outputs:
            tensor = self.program.tensors[port.tensor]
            if not tensor.home:
                place = tensor.outside(port.address, self.program.config)
                yield f"output {port.name!r}", port.tensor, place

    # ---- RUNs ---------------------------------------------------------------------------------
    def _run(self, number: int, index: int, ins: Run, found: hazards.Operands) -> None:
        layer, flat = self.program.layers[number], self.flats[index]
        _same_operands(self.program, layer, ins)
        cells = effects.writes(ins, self.memory)
        outputs = self._outputs(layer, index, ins, cells)
        _same_parameters(_piece(layer, outputs), outputs.channels, flat)
        _same_thresholds(layer, found)
        places = [self._read(index, ins, layer.sources[source], reach, outputs)
                  for source, reach in enumerate(self._reach(number, outputs.channels))]
        key = self._key(number, ins, outputs, found, places)
        if key not in self.same:
            _same_taps(self.program, layer, ins, outputs, flat, found, places)
            self.same.add(key)

    def _key(self, number: int, ins: Run, outputs: Outputs, found: hazards.Operands,
             places: Sequence[Place | None]) -> tuple[object, ...]:
        """What decides whether the taps are those of the stream: two RUNs with one key read the
        same cells but for a distance, which is that of their origins."""
        layer, (n, y, x) = self.program.layers[number], outputs.first
        way: list[object] = []
        for source, place in zip(layer.sources, places, strict=True):
            if place is not None:
                at, box = place.layout, place.box or Box(0, 0, 0, 0)
                y_phase = (y * source.stride_y - box.y) % at.split
                x_phase = x * source.stride_x % at.split
                first = place.around(0, n, 0, y * source.stride_y - y_phase,
                                     x * source.stride_x - x_phase)
                way += (at.channel, at.plane, at.row, at.column, at.split, at.phase_y, at.phase_x,
                        y_phase, x_phase, int(first - ins.origin) % self.memory)
        return (number, outputs.channels.start, found.taps, found.decode.tobytes(), *way)

    def _outputs(self, layer: Layer, index: int, ins: Run, cells: Ints) -> Outputs:
        """What the RUN writes into `cells` (channels, digits, images, height, width)."""
        kind = self.program.tensors[layer.output].kind
        elements = self._elements(layer.output, index, cells)
        planes, images, channels, height, width = kind.codes
        place, x = np.divmod(elements[0, 0], width)
        place, y = np.divmod(place, height)
        n, k = np.divmod(place, channels)
        first = int(k.flat[0])
        size = height * width
        steps = (np.arange(ins.digits)[:, None, None, None] * (images * channels * size)
                 + np.arange(ins.channels)[:, None, None, None, None] * size)
        straight = bool((k == first).all() and (n < images).all() and ins.digits == planes
                        and first + ins.channels <= channels
                        and (elements == elements[0, 0] + steps).all())
        _require(straight, "outputs are in another order in the writes")
        written = self.written[layer.output]
        again = self.program.tensors[layer.output].passing
        _require(again or not written[elements].any(), "an output is written twice in the writes")
        written[elements] = True
        self.contents.chip[cells] = elements + self.contents.first[layer.output]
        return Outputs(slice(first, first + ins.channels), n, y, x)

    def _elements(self, tensor: int, index: int, cells: Ints) -> Ints:
        """Which elements the cells are to hold that a RUN writes: of the first place, by the time
        when it is complete, that has them all."""
        for since, place in self.places[tensor]:
            if since >= index:
                known = self.contents.expected(tensor, place)
                found = known[cells].astype(np.int64) - self.contents.first[tensor]
                if (found >= 0).all():
                    return found
        raise _Differs("an output lies outside its tensor in the writes")

    def _reach(self, number: int, channels: slice) -> list[Reach]:
        """What these output channels read of every source."""
        key = number, channels.start, channels.stop
        if key not in self.reach:
            self.reach[key] = reaches(self.program.layers[number], channels)
        return self.reach[key]

    def _read(self, index: int, ins: Run, source: Source, reach: Reach, outputs: Outputs
              ) -> Place | None:
        """The place that the RUN reads this source from; None where it reads nothing of it."""
        if not reach.dy.size:
            return None
        kind = self.program.tensors[source.tensor].kind
        read = part(source, reach, outputs)
        name = self.program.tensors[source.tensor].name
        error = _Differs(f"no place of {name!r} holds what is read in the reads")
        for place in self.program.tensors[source.tensor].places:
            if place.in_force(index) and read.within(place, kind):
                try:
                    _same_steps(self.memory, source, place, reach, ins, outputs)
                    self._readable(source.tensor, place, read)
                    return place
                except _Differs as differs:
                    error = differs
        raise error

    def _readable(self, tensor: int, place: Place, part: Part) -> None:
        """The elements that taps reach are there, with pads around them as far as taps reach."""
        kind = self.program.tensors[tensor].kind
        found = self.contents.chip[part.addresses(place) % self.memory]
        wanted = self.contents.numbers(tensor, *part.axes)
        inside = part.inside(kind)
        _require(bool((found == wanted)[inside].all()), "a source is not complete in the reads")
        _require(bool((found == kind.pad + 1)[~inside].all()),
                 "cells around a source hold no pads in the reads")


class _Differs(Exception):
    """What a RUN does otherwise than its layer."""


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise _Differs(sentence)


def _refused(index: int, ins: Instruction, sentence: str) -> FormatError:
    return FormatError(f"instruction {index} ({ins.OP.name}): {sentence}; recompile the network")


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


# ---- numbers ---------------------------------------------------------------------------------
def _same_operands(program: Program, layer: Layer, ins: Run) -> None:
    order = program.tensors[layer.sources[0].tensor].kind.order
    wanted = {"mode": layer.mode, "shift": layer.shift // 2, "digits": layer.digits,
              "radix_width": layer.radix_width,
              "order": order if layer.mode == Mode.PASS else 0}
    for name, value in wanted.items():
        _require(getattr(ins, name) == value, f"{name} is {value}, not {getattr(ins, name)} as")


def _piece(layer: Layer, outputs: Outputs) -> Piece | None:
    """The piece that the outputs lie in; None for a maximum, which has none."""
    y, x = outputs.y, outputs.x
    for piece in layer.pieces:
        if (piece.y <= y.min() and y.max() < piece.y + piece.height
                and piece.x <= x.min() and x.max() < piece.x + piece.width):
            return piece
    _require(layer.op == "max", "no piece holds the outputs")
    return None


def _same_parameters(piece: Piece | None, channels: slice, flat: effects.Flat) -> None:
    zeros = [0] * len(flat.scales)
    for name, said, found in (
            ("scale", piece.scale[channels] if piece else zeros, flat.scales),
            ("bias", piece.bias[channels] if piece else zeros, flat.biases)):
        bad = np.flatnonzero(np.array(said, np.int64) != found) + channels.start
        _require(not bad.size, f"the {name} of channel {bad[:1].sum()} is not that of the stream")


def _same_thresholds(layer: Layer, found: hazards.Operands) -> None:
    if layer.mode == Mode.CODE:
        same = (np.array_equal(tables.value(found.clusters[1:]), layer.thresholds)
                and np.array_equal(tables.code(found.clusters), layer.codes))
        _require(same, "thresholds or codes are not those of the CLUSTER table")


# ---- taps ------------------------------------------------------------------------------------
def _same_steps(memory: int, source: Source, place: Place, reach: Reach, ins: Run,
                outputs: Outputs) -> None:
    """From position to position every tap moves in the memory as it does in the source."""
    position = np.indices((ins.images, ins.height, ins.width), sparse=True)
    raster, split = raster_of(ins, position), place.layout.split
    for phase in distinct(reach.dy % split * split + reach.dx % split).tolist():
        dy, dx = divmod(phase, split)
        late = place.around(0, outputs.n, 0, outputs.y * source.stride_y + dy,
                        outputs.x * source.stride_x + dx) - raster
        _require(bool(((late - late.flat[0]) % memory == 0).all()),
                 "the way over its sources is not that")


def _same_taps(program: Program, layer: Layer, ins: Run, outputs: Outputs, flat: effects.Flat,
               found: hazards.Operands, places: Sequence[Place | None]) -> None:
    """Factors, and the cell, sign and decode table of each tap, cluster by cluster in any order."""
    taps, memory, part = layer.taps, program.config.memory_codes, taps_of(layer, outputs.channels)
    channel_clusters = taps.channel_clusters[outputs.channels.start:outputs.channels.stop + 1]
    clusters = slice(int(channel_clusters[0]), int(channel_clusters[-1]))
    cluster_taps = taps.cluster_taps[clusters.start:clusters.stop + 1]
    _require(np.array_equal(channel_clusters - clusters.start, flat.channel_clusters)
             and np.array_equal(cluster_taps - part.start, flat.cluster_taps),
             "clusters are not those of the stream")
    _require(np.array_equal(taps.cluster_factor[clusters], flat.factors),
             "a factor is not that of the stream")
    cells, fits = _reads(program, layer, part, outputs, found, places)
    starts, pairs = (found.taps.starts + ins.origin) % memory, found.taps.pairs
    cluster = np.repeat(np.arange(len(flat.factors)), np.diff(flat.cluster_taps))
    # PAIR_ORDER puts what only the first pair fits before what only the second one does
    said = _order(cluster, cells, taps.negative[part], PAIR_ORDER[fits], memory)
    does = _order(cluster, starts, flat.negative, pairs, memory)
    same = cells[said] == starts[does]
    same &= taps.negative[part][said] == flat.negative[does]
    _require(bool(same.all()), "taps are not those of the stream")
    _require(bool((fits[said] >> pairs[does] & 1).all()),
             "a tap's DECODE table does not hold the values of its source in the stream")


def _order(cluster: Ints, cell: Ints, negative: NDArray, last: Ints, memory: int) -> Ints | slice:
    """Taps by cluster, cell, sign and the rest; they often are in this order."""
    key = ((cluster * memory + cell) * 2 + negative) * TIES + last
    return slice(None) if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")


def _reads(program: Program, layer: Layer, part: slice, outputs: Outputs, found: hazards.Operands,
           places: Sequence[Place | None]) -> tuple[Ints, Ints]:
    """Of some taps at the first position of a RUN: the cell, and a bit for each decode pair that
    holds the values of the source."""
    points, point = layer.taps.points, layer.taps.point[part]
    cells = np.zeros(len(points), np.int64)
    fits = np.zeros_like(cells)
    n, y, x = outputs.first
    for number, (source, place) in enumerate(zip(layer.sources, places, strict=True)):
        mine = np.flatnonzero(points.source == number)
        if place is not None:
            read = points.take(mine)
            cells[mine] = place.around(read.plane, n, read.channel, y * source.stride_y + read.dy,
                                       x * source.stride_x + read.dx)
            fits[mine] = _fitting(program, layer, source.tensor, found.decode)[read.plane]
    return cells[point] % program.config.memory_codes, fits[point]


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
