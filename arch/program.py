"""A compiled network: what passes between the compiler, the machines and the host.

External memory: instructions at 0, then streams, tables, inputs and outputs, each from a multiple
of 64 bytes on. `memory_image` builds it; the machine starts at instruction 0.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import isa
from .config import Config
from .errors import FormatError
from .kind import Kind
from .layout import Layout
from .meta import Meta
from .place import Place, image
from .region import Space

Ints = NDArray[np.int64]
ALIGN = 64
FEW = 1 << 20            # possible points that are counted one by one


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value between layers: what it is, and where its parts lie."""

    name: str
    kind: Kind
    places: tuple[Place, ...] = ()

    @property
    def passing(self) -> bool:
        """Is it in windows alone? Then elements may be computed anew for each."""
        return not self.home and not any(place.whole for place in self.places)

    @property
    def home(self) -> Place | None:
        """Where all of it lies in external memory, if it has its place there."""
        return next((place for place in self.places
                     if place.box is None and place.space == Space.EXTERNAL), None)

    def outside(self, address: int, config: Config) -> Place:
        """Where all of it lies in external memory, as an input or output at a byte address."""
        return self.home or Place(self.layout).moved(address, config)

    @property
    def layout(self) -> Layout:
        """How all of it lies in the activation memory; FormatError where it does not."""
        if len(self.places) == 1 and self.places[0].whole:
            return self.places[0].layout
        raise FormatError(f"tensor {self.name!r} lies in {len(self.places)} places, one that holds "
                          "all of it in the activation memory was expected; recompile the network")


@dataclasses.dataclass(frozen=True)
class Source:
    """A tensor that a layer reads, and the layer's stride over it."""

    tensor: int
    stride_y: int = 1
    stride_x: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """What taps of a layer read, beside an output (n, k, y, x): element (n, channel,
    y*stride_y + dy, x*stride_x + dx) of plane `plane` of sources[source], (P,) each. Outside the
    tensor that is the tensor's pad code. Of radix planes fixed.read_table says what.
    """

    source: Ints
    channel: Ints
    plane: Ints
    dy: Ints
    dx: Ints

    def __len__(self) -> int:
        return len(self.source)

    def take(self, at: NDArray[np.integer]) -> Points:
        """Some of them, in this order."""
        return Points(*(column[at] for column in vars(self).values()))


class Pointing:
    """Entries that each name a point; what all of them read is made anew each time."""

    points: Points
    point: NDArray[np.unsignedinteger]

    @property
    def source(self) -> Ints:
        return self.points.source[self.point]

    @property
    def channel(self) -> Ints:
        return self.points.channel[self.point]

    @property
    def plane(self) -> Ints:
        return self.points.plane[self.point]

    @property
    def dy(self) -> Ints:
        return self.points.dy[self.point]

    @property
    def dx(self) -> Ints:
        return self.points.dx[self.point]


@dataclasses.dataclass(frozen=True)
class Taps(Pointing):
    """The taps of a layer in logical positions, clusters of channel 0 first: taps of one factor.

    channel_clusters[k]..channel_clusters[k+1] are the clusters of output channel k, and
    cluster_taps[g]..cluster_taps[g+1] the taps of cluster g. Tap i reads points[point[i]]. Layers
    have millions of taps and thousands of points, so a tap takes as few bytes as possible: what is
    asked of all taps (`source`, ...) is made each time, of some of them by `reads`.
    """

    channel_clusters: Ints  # (K + 1,)
    cluster_factor: Ints    # (G,)
    cluster_taps: Ints      # (G + 1,)
    points: Points
    point: NDArray[np.unsignedinteger]      # (T,) each
    negative: NDArray[np.bool_]

    @classmethod
    def of(cls, channel_clusters: Ints, cluster_factor: Ints, cluster_taps: Ints, source: Ints,
           channel: Ints, plane: Ints, dy: Ints, dx: Ints, negative: NDArray) -> Taps:
        """From what each tap reads."""
        points, point = _distinct(Points(source, channel, plane, dy, dx))
        return cls(channel_clusters, cluster_factor, cluster_taps, points, point,
                   np.asarray(negative, bool))

    def reads(self, part: slice | Ints) -> Points:
        """What some taps read."""
        return self.points.take(self.point[part])

    def __len__(self) -> int:
        return len(self.point)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Taps):
            return False
        mine, theirs = ([*vars(taps.points).values(), *(
            column for name, column in vars(taps).items() if name != "points")]
            for taps in (self, other))
        return all(map(np.array_equal, mine, theirs))


def _distinct(points: Points) -> tuple[Points, NDArray[np.unsignedinteger]]:
    """The points without repetitions, ascending by columns, and which one each of them is."""
    lows = [int(column.min(initial=0)) for column in vars(points).values()]
    spans = [int(column.max(initial=0)) - low + 1
             for column, low in zip(vars(points).values(), lows, strict=True)]
    if math.prod(spans) > max(FEW, len(points)):
        columns = np.stack(list(vars(points).values()))
        _, first, point = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    else:
        key = np.zeros(len(points), np.int64)
        for column, low, span in zip(vars(points).values(), lows, spans, strict=True):
            key = key * span + (column - low)
        some = np.full(math.prod(spans), -1)
        some[key] = np.arange(len(key))
        point, first = (np.cumsum(some >= 0) - 1)[key], some[some >= 0]
    return points.take(first), narrow(point)


def narrow(indices: Ints) -> NDArray[np.unsignedinteger]:
    """The same in as few bytes each as suffice."""
    return indices.astype(np.min_scalar_type(int(indices.max(initial=0))))


@dataclasses.dataclass(frozen=True)
class Piece:
    """A rectangle of a layer's outputs; scale (m_k) and bias (bias_k) hold one entry a channel."""

    y: int
    x: int
    height: int
    width: int
    scale: tuple[int, ...]
    bias: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """What the reference computes; everything in logical positions.

    op "sum": T_k = sum over clusters of factor * sum of +-value. op "max": the code of largest rank
    (fixed.rank with the source's order), passed on unchanged.
    """

    name: str                      # torch module path or graph node
    kind: str                      # torch layer name: Conv2d, Linear, MaxPool2d, ...
    op: str                        # "sum" or "max"
    sources: tuple[Source, ...]
    output: int                    # tensor
    taps: Taps
    pieces: tuple[Piece, ...]
    mode: int                      # isa.Mode
    shift: int                     # t
    digits: int = 1
    radix_width: int = 0
    thresholds: tuple[int, ...] = ()     # CODE: 2^AB - 1 ascending, and 2^AB codes
    codes: tuple[int, ...] = ()
    runs: tuple[int, ...] = ()           # indices of its RUN instructions
    dense_macs: int = 0                  # multiply-accumulates of the dense layer, whole batch
    macs: int = 0                        # those left: taps x outputs that they contribute to


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of the network: its tensor and where it lies in external memory."""

    name: str
    tensor: int
    address: int                   # byte address, a multiple of 16


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled network for one configuration."""

    config: Config
    instructions: tuple[isa.Instruction, ...]
    streams: bytes
    tables: bytes
    tensors: tuple[Tensor, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    memory_bytes: int
    meta: Meta = Meta()

    @property
    def batch(self) -> int:
        """N, images computed at once."""
        return self.tensors[self.inputs[0].tensor].kind.images

    @functools.cached_property
    def stream_base(self) -> int:
        """Byte address of the streams section."""
        return align(isa.size(self.instructions))

    @property
    def table_base(self) -> int:
        """Byte address of the tables section."""
        return align(self.stream_base + len(self.streams))

    @property
    def data_base(self) -> int:
        """First byte behind the tables, where inputs and outputs may lie."""
        return align(self.table_base + len(self.tables))


def align(address: int) -> int:
    """The next multiple of ALIGN."""
    return -(-address // ALIGN) * ALIGN


def memory_image(program: Program, inputs: Sequence[Ints]) -> NDArray[np.uint8]:
    """External memory before the start: one array of codes (planes, N, C, H, W) an input."""
    memory = np.zeros(program.memory_bytes, np.uint8)
    code = isa.encode(list(program.instructions))
    for at, data in ((0, code), (program.stream_base, program.streams),
                     (program.table_base, program.tables)):
        memory[at:at + len(data)] = np.frombuffer(data, np.uint8)
    for port, codes in zip(program.inputs, inputs, strict=True):
        tensor = program.tensors[port.tensor]
        place = tensor.outside(port.address, program.config)
        rows = image(codes, tensor.kind, place, port.address, program.config)
        memory[port.address:port.address + len(rows)] = rows
    return memory


def completed_by(program: Program) -> dict[int, int]:
    """Tensor -> instruction after which it is complete (LOAD of an input, last RUN).

    -1 for an input that is complete before the first, in its home.
    """
    done = {port.tensor: _loaded_by(program, port) for port in program.inputs}
    for layer in program.layers:
        done[layer.output] = max(layer.runs)
    return done


def chip_places(program: Program, tensor: int) -> list[tuple[int, Place]]:
    """The places of a tensor in the activation memory in order, each with the instruction at whose
    end its elements are there."""
    places = [place for place in program.tensors[tensor].places if place.space == Space.ROWS]
    if any(place.since < 0 for place in places):
        done = completed_by(program)[tensor]
        return [(done, place) for place in places]
    return sorted(((place.since, place) for place in places), key=lambda found: found[0])


def _loaded_by(program: Program, port: Port) -> int:
    tensor = program.tensors[port.tensor]
    if tensor.home:
        return -1
    parts = [place.since for place in tensor.places if place.since >= 0]
    found = max(parts) if parts else moved_by(program, port, isa.Load)
    assert found is not None, f"input {port.name} is not loaded"
    return found


def moved_by(program: Program, port: Port, kind: type[isa.Load] | type[isa.Store]) -> int | None:
    """The LOAD or STORE with which all rows of a port's tensor, which lies on chip whole, are
    moved from or to its address; None where some never are."""
    layout, size = program.tensors[port.tensor].layout, program.config.row_bytes
    missing = set(range(layout.first_row, layout.first_row + layout.rows))
    start = port.address - layout.first_row * size
    for index, ins in enumerate(program.instructions):
        if isinstance(ins, kind) and ins.address * isa.UNIT_BYTES - start == ins.row * size:
            missing -= set(range(ins.row, ins.row + ins.rows))
            if not missing:
                return index
    return None
