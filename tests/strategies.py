"""Shared random inputs: instructions, layers, and small programs that a machine can execute.

The programs here are put together by hand (no compiler), so that arch, tlm and rtl can be tested
by themselves.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st
from kcnn.arch import fixed, isa, stream
from kcnn.arch.config import Config
from kcnn.arch.isa import End, Fill, Load, Mode, Run, Store, Table, TableLoad
from kcnn.arch.kind import Kind
from kcnn.arch.layout import Layout
from kcnn.arch.meta import Meta
from kcnn.arch.place import Box, Place
from kcnn.arch.program import Layer, Piece, Port, Program, Source, Taps, Tensor, align
from kcnn.arch.region import Space
from tensors import whole

TINY = Config.preset("tiny")


# ---- instructions ----------------------------------------------------------------------------
def fields(kind, /, **given):
    """Instructions of one kind with any values that fit; `given` fixes or restricts fields."""
    drawn = {f.name: given.get(f.name, st.integers(0, f.limit - 1)) for f in kind.FIELDS}
    flags = {name: st.integers(0, 1) for name in isa.FLAGS}
    return st.builds(kind, **drawn, **flags, cores=st.integers(0, 255))


def counts(kind, name):
    """At least one, as wide as the field."""
    return st.integers(1, kind.field(name).limit - 1)


@st.composite
def table_loads(draw):
    kind = draw(st.sampled_from(Table))
    unused = ("address",) if kind == Table.RAMP else ("start", "step", "pair")
    zero = {name: st.just(0) for name in unused}
    return draw(fields(TableLoad, kind=st.just(int(kind)), count=counts(TableLoad, "count"),
                       **zero))


@st.composite
def runs(draw):
    """RUN instructions that obey the rules of the instruction itself."""
    mode = draw(st.sampled_from(Mode))
    radix = mode == Mode.RADIX
    split = draw(st.integers(1, 4))
    pitch, image_rows = draw(counts(Run, "pitch")), draw(counts(Run, "image_rows"))
    given = {
        "mode": st.just(int(mode)),
        "digits": st.integers(1, 4) if radix else st.just(1),
        "radix_width": st.integers(2, 16) if radix else st.just(0),
        "order": st.integers(0, 255) if mode == Mode.PASS else st.just(0),
        "kernel_bits": st.integers(0, 5), "split": st.just(split),
        "pitch": st.just(pitch), "image_rows": st.just(image_rows),
        "width": st.integers(1, pitch), "height": st.integers(1, image_rows),
        "chunk_columns": st.integers(0, min(pitch - 1, 255)),
        "chunk_rows": st.integers(0, min(image_rows - 1, 255)),
    }
    given |= {name: counts(Run, name) for name in ("stream_units", "channels", "images")}
    given |= {name: st.integers(0, split - 1) for name in ("x_start", "x_mod", "y_start", "y_mod")}
    return draw(fields(Run, **given))


def instructions():
    """Any legal instruction."""
    rows = {kind: fields(kind, rows=counts(kind, "rows")) for kind in (Load, Store, Fill)}
    return st.one_of(st.just(End()), *rows.values(), table_loads(), runs())


# ---- layers ----------------------------------------------------------------------------------
def taps_of(weights, groups=1, dilation=(1, 1), padding=(0, 0), planes=1, source=0):
    """Taps of a convolution with integer weights (K, C/g, kh, kw): one cluster a magnitude.

    padding: rows above and columns to the left; planes: radix planes of the source.
    """
    channel_clusters, factors, cluster_taps, taps = [0], [], [0], []
    for k, kernel in enumerate(weights):
        first = k // (len(weights) // groups) * weights.shape[1]
        for magnitude in np.unique(np.abs(kernel[kernel != 0])):
            for c, y, x in np.argwhere(np.abs(kernel) == magnitude):
                taps += [(source, first + c, plane, y * dilation[0] - padding[0],
                          x * dilation[1] - padding[1], kernel[c, y, x] < 0)
                         for plane in range(planes)]
            factors.append(magnitude)
            cluster_taps.append(len(taps))
        channel_clusters.append(len(factors))
    columns = np.array(taps, np.int64).reshape(-1, 6).T
    return Taps.of(np.array(channel_clusters), np.array(factors, np.int64), np.array(cluster_taps),
                *columns)


COLUMNS = ("channel_clusters", "cluster_factor", "cluster_taps", "source", "channel", "plane", "dy",
           "dx", "negative")


def retapped(taps, **columns):
    """The taps with other columns."""
    return Taps.of(**{name: np.array(columns.get(name, getattr(taps, name))) for name in COLUMNS})


def codebook(rng, config, signed=True):
    """Values by code and the order: ascending distinct values with zero at code 0."""
    low = -(1 << (config.value_bits - 1)) + 1 if signed else 0
    values = np.unique(np.append(rng.choice(np.arange(low, 1 << (config.value_bits - 1)),
                                            config.codes - 1, replace=False), 0))
    while len(values) < config.codes:      # zero was drawn, or was one of them
        values = np.unique(np.append(values, rng.integers(low, -low + 1 if signed else 200)))
    order = int(np.searchsorted(values, 0))
    return tuple(np.roll(values, -order).tolist()), order


@st.composite
def placed_tensors(draw):
    """A tensor with pads, phases and planes, and the configuration of its memory."""
    config = draw(st.sampled_from([Config.preset("tiny"), Config.preset("small")]))
    n, c, planes, s = (draw(st.integers(1, 3)) for _ in range(4))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    top, left = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    pitch = -(-width // s) + left + draw(st.integers(0, 2))
    high = -(-height // s) + top + draw(st.integers(0, 2))
    part = n * high * pitch
    first = draw(st.integers(0, 5))
    cells = planes * c * s * s * part + 2 * (top * pitch + left)
    return config, whole(
        "x", base=first * config.row_codes + top * pitch + left, first_row=first,
        rows=-(-cells // config.row_codes), images=n, channels=c, height=height, width=width,
        channel=s * s * part, plane=c * s * s * part, image=high * pitch, row=pitch, column=1,
        split=s, phase_y=s * part, phase_x=part, planes=planes,
        pad=draw(st.integers(0, config.codes - 1)))


def layouts():
    """Any layout that a file can hold; bases count codes of external memory."""
    strides = ("channel", "plane", "image", "row", "column", "phase_y", "phase_x")
    return st.builds(Layout, base=st.integers(-(1 << 20), 1 << 33),
                     first_row=st.integers(0, 1 << 17), rows=st.integers(1, 1 << 26),
                     split=st.integers(1, 4),
                     **{name: st.integers(-(1 << 31), 1 << 31) for name in strides})


def windows():
    """Lines and channels of a tensor in the activation memory for some instructions."""
    boxes = st.builds(Box, y=st.integers(0, 500), height=st.integers(1, 500),
                      channel=st.integers(0, 5000), channels=st.integers(1, 5000))
    return st.builds(Place, layouts(), boxes, since=st.integers(0, 1 << 19),
                     until=st.integers(0, 1 << 19))


def homed_tensors(name="x"):
    """Tensors in one place, or with a home in external memory and windows; no addresses that mean
    anything."""
    kinds = st.builds(
        Kind, *(st.integers(1, 5000),) * 4, st.floats(1e-30, 1e30),
        st.lists(st.integers(-2048, 2047), max_size=16).map(tuple), st.integers(1, 4),
        st.integers(0, 16), st.integers(0, 255), st.integers(0, 255))
    homes = st.builds(Place, layouts(), space=st.just(Space.EXTERNAL))
    places = st.one_of(st.tuples(st.builds(Place, layouts())),
                       st.builds(lambda home, rest: (home, *rest), homes,
                                 st.lists(windows(), max_size=2)))
    return st.builds(Tensor, st.just(name), kinds, places)


@st.composite
def homed_programs(draw):
    """A program whose tensors lie anywhere: a file can hold it, no machine executes it."""
    program = small_program()
    tensors = tuple(draw(homed_tensors(name)) for name in ("x", "y", "between", "last"))
    order = draw(st.permutations(range(4)))
    at = [order.index(i) for i in range(4)]
    return dataclasses.replace(
        program, tensors=tuple(tensors[i] for i in order),
        inputs=(Port("x", at[0], 1 << 31),), outputs=(Port("y", at[1], 64),))


# ---- programs --------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Shape:
    """One layer: sizes, and what its output is."""

    seed: int = 0
    images: int = 1
    channels: int = 2
    height: int = 4
    width: int = 5
    outputs: int = 2
    kernel: tuple[int, int] = (2, 3)
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 1, 1, 0)     # top, left, bottom, right
    planes: int = 1                                       # radix planes of the input
    mode: Mode = Mode.CODE

    @property
    def out(self):
        """Rows and columns of the output."""
        top, left, bottom, right = self.padding
        return ((self.height + top + bottom - self.kernel[0]) // self.stride + 1,
                (self.width + left + right - self.kernel[1]) // self.stride + 1)


@st.composite
def shapes(draw):
    """Small layers of every mode."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    mode = draw(st.sampled_from(Mode))
    reach = st.tuples(st.integers(0, 2), st.integers(0, 2))
    (top, left), (bottom, right) = draw(reach), draw(reach)
    return Shape(
        seed=draw(st.integers(0, 1 << 16)), images=draw(st.integers(1, 3)),
        channels=draw(st.integers(1, 3)), height=draw(st.integers(kernel[0], 6)),
        width=draw(st.integers(kernel[1], 7)), outputs=draw(st.integers(1, 3)), kernel=kernel,
        stride=draw(st.integers(1, 3)), padding=(top, left, bottom, right),
        planes=1 if mode == Mode.PASS else draw(st.integers(1, 2)), mode=mode)


def programs(config=TINY):
    """Programs of one layer, with layer table, that `check.verify` accepts."""
    return shapes().map(lambda shape: small_program(shape, config))


def small_program(shape=Shape(), config=TINY):
    """LOAD an input, compute one layer, STORE its output."""
    rng = np.random.default_rng(shape.seed)
    source = _source(rng, shape, config)
    taps = _taps(rng, shape)
    output = _output(rng, shape, config, source)
    layer = _layer(rng, shape, config, output, taps)
    kernel = sorted({(int(y), int(x)) for y, x in zip(taps.dy, taps.dx, strict=True)})
    streams = _stream(layer, shape, kernel)
    tables, loads = _tables(layer, shape, config, source, kernel)
    code_bytes = 64 * (-(-(16 * (len(loads) + 4) + 64) // 64))
    table_base = align(code_bytes + len(streams))
    loads = [dataclasses.replace(ins, address=(table_base + at) // 16) if ins.address else ins
             for ins, at in loads]
    data = align(table_base + len(tables))
    back = align(data + source.layout.rows * config.row_bytes)
    run = _run(layer, shape, config, source, output, kernel, code_bytes // 16, len(streams) // 16)
    rows = source.layout.first_row, source.layout.rows
    placed = output.layout.first_row, output.layout.rows
    program = Program(
        config,
        (*loads, Load(data // 16, *rows, push_next=1), Fill(*placed, 0, pop_prev=1), run,
         Store(back // 16, *placed, pop_prev=1), End()),
        streams, tables, (source, output), (Port("x", 0, data),), (Port("y", 1, back),), (layer,),
        align(back + placed[1] * config.row_bytes), Meta(source="by hand"))
    assert program.table_base == table_base and program.data_base == data
    return program


def random_inputs(program, seed=0):
    """Random codes for every input; radix planes hold digits of integers of the tensor's bits."""
    rng = np.random.default_rng(seed)
    config, found = program.config, []
    for at in (program.tensors[port.tensor].kind for port in program.inputs):
        if at.bits:
            whole = rng.integers(-1 << at.bits - 1, 1 << at.bits - 1, at.shape)
            found.append(fixed.radix_digits(whole, at.planes, at.bits, config.code_bits))
        else:
            found.append(rng.integers(0, config.codes, (1, *at.shape)))
    return found


def _source(rng, shape, config):
    s, n, c = shape.stride, shape.images, shape.channels
    top, left, _, _ = shape.padding
    rows, columns = shape.out
    high = rows + -(-(shape.kernel[0]) // s) + top + 1
    wide = columns + -(-(shape.kernel[1]) // s) + left + 1
    part = n * high * wide
    cells = shape.planes * c * s * s * part + 2 * (top * wide + left)
    values, order = codebook(rng, config) if shape.planes == 1 else ((), 0)
    return whole(
        "x", 0.5, values, base=config.row_codes + top * wide + left, first_row=1,
        rows=-(-cells // config.row_codes), images=n, channels=c, height=shape.height,
        width=shape.width, channel=s * s * part,
        plane=c * s * s * part, image=high * wide, row=wide, column=1, split=s,
        phase_y=s * part, phase_x=part, planes=shape.planes,
        bits=min(shape.planes * config.code_bits, 8) if shape.planes > 1 else 0,
        pad=-order % config.codes if shape.mode == Mode.PASS else 0, order=order)


def _output(rng, shape, config, source):
    rows, columns = shape.out
    planes = -(-16 // config.code_bits) if shape.mode == Mode.RADIX else 1
    size = shape.images * rows * columns
    first = source.layout.first_row + source.layout.rows
    values, order = codebook(rng, config, signed=False)
    if shape.mode == Mode.PASS:
        values, order = source.kind.values, source.kind.order
    return whole(
        "y", 0.25, () if planes > 1 else values, base=first * config.row_codes, first_row=first,
        rows=-(-planes * shape.outputs * size // config.row_codes), images=shape.images,
        channels=shape.outputs, height=rows, width=columns, channel=size,
        plane=shape.outputs * size, image=rows * columns, row=columns, column=1, planes=planes,
        bits=16 if planes > 1 else 0, order=0 if planes > 1 else order)


def _taps(rng, shape):
    size = (shape.outputs, shape.channels, *shape.kernel)
    if shape.mode == Mode.PASS:
        weights = np.zeros(size, np.int64)
        for k in range(shape.outputs):
            weights[k, k % shape.channels] = 1
    else:
        weights = rng.integers(-3, 4, size) * rng.integers(0, 60, size)
        weights[rng.random(size) < 0.3] = 0
    return taps_of(weights, padding=shape.padding[:2], planes=shape.planes)


def _layer(rng, shape, config, output, taps):
    code, radix = shape.mode == Mode.CODE, shape.mode == Mode.RADIX
    rows, columns = shape.out
    scale = tuple(rng.integers(100, 2000 if code else 65536, shape.outputs).tolist())
    bias = tuple(rng.integers(-1 << 24, 1 << 24, shape.outputs).tolist())
    limits = np.sort(rng.integers(-1024, 1024, config.codes - 1)).tolist()
    passed = shape.mode == Mode.PASS
    return Layer(
        "layer", "MaxPool2d" if passed else "Conv2d", "max" if passed else "sum",
        (Source(0, shape.stride, shape.stride),), 1, taps,
        () if passed else (Piece(0, 0, rows, columns, scale, bias),), int(shape.mode),
        int(rng.choice(fixed.SHIFTS)), output.kind.planes if radix else 1, 16 if radix else 0,
        tuple(limits) if code else (),
        tuple(rng.permutation(config.codes).tolist()) if code else (),
        runs=(_RUN_AT[shape.mode],), dense_macs=1, macs=1)


# index of the RUN: base, offset and decode tables (one a plane pair), clustering, LOAD, FILL
_RUN_AT = {Mode.CODE: 7, Mode.RADIX: 6, Mode.PASS: 6}


def _kernel_bits(kernel):
    return max(0, len(kernel) - 1).bit_length()


def _stream(layer, shape, kernel):
    taps, channels = layer.taps, []
    entry = taps.channel * shape.planes + taps.plane
    offset = np.array([kernel.index(at) for at in zip(taps.dy.tolist(), taps.dx.tolist(),
                                                      strict=True)], np.int64)
    position = entry << _kernel_bits(kernel) | offset
    for k in range(shape.outputs):
        found = []
        for r in range(taps.channel_clusters[k], taps.channel_clusters[k + 1]):
            mine = slice(int(taps.cluster_taps[r]), int(taps.cluster_taps[r + 1]))
            order = np.argsort(position[mine])
            found.append(stream.Cluster(int(taps.cluster_factor[r]), position[mine][order],
                                    taps.negative[mine][order].astype(bool)))
        piece = layer.pieces[0] if layer.pieces else None
        channels.append(stream.ChannelStream(piece.scale[k] if piece else 0,
                                             piece.bias[k] if piece else 0, tuple(found)))
    return stream.encode_stream(channels)


def _reachable(table, bits):
    """Digits that no integer of so many bits has decode to 0, since their value may not fit."""
    return np.where(table == fixed.saturate(table, bits), table, 0)


def _tables(layer, shape, config, source, kernel):
    """Bytes of the tables, and TABLE instructions with the place of their entries."""
    at, memory, codes = source.layout, config.memory_codes, np.arange(config.codes)
    base = [(at.base + c * at.channel + j * at.plane) % memory | j << 24
            for c in range(shape.channels) for j in range(shape.planes)]
    s = shape.stride
    offset = [(dy % s * at.phase_y + dx % s * at.phase_x + dy // s * at.row + dx // s) % memory
              for dy, dx in kernel] or [0]
    values = [np.array(source.kind.values)] if source.kind.values else [
        _reachable(fixed.radix_table(j, shape.planes, config.code_bits), source.kind.bits)
        for j in range(shape.planes)]
    if shape.mode == Mode.PASS:
        values = [(codes + source.kind.order) % config.codes]
    decode = [(v & 0xFFFF).tolist() for v in values]
    parts = [(Table.BASE, 0, base), (Table.OFFSET, 0, offset),
             *((Table.DECODE, j, words) for j, words in enumerate(decode))]
    if shape.mode == Mode.CODE:
        limits = np.array([0, *layer.thresholds])
        parts.append((Table.CLUSTER, 0, (limits & 0xFFFF | np.array(layer.codes) << 16).tolist()))
    if len(decode) == 1:       # keep the number of instructions the same: load it in two halves
        half = config.codes // 2
        parts[2:3] = [(Table.DECODE, 0, decode[0][:half]), (Table.DECODE, 0, decode[0][half:])]
    data, loads, first = bytearray(), [], 0
    for kind, bank, words in parts:
        data += bytes(-len(data) % 64)
        first = config.codes // 2 if loads and loads[-1][0].kind == kind and not bank else 0
        loads.append((TableLoad(int(kind), bank, first, len(words), 1), len(data)))
        data += np.array(words, "<u4").tobytes()
    return bytes(data), loads


def _run(layer, shape, config, source, output, kernel, stream_at, units):
    src, dst = source.layout, output.layout
    pitch, image = src.row, src.image
    rows, columns = shape.out
    radix = shape.mode == Mode.RADIX
    return Run(
        stream=stream_at, stream_units=units, channels=shape.outputs, mode=int(shape.mode),
        shift=layer.shift // 2, digits=layer.digits, radix_width=layer.radix_width,
        order=source.kind.order if shape.mode == Mode.PASS else 0, kernel_bits=_kernel_bits(kernel),
        base_bank=0, offset_bank=0, cluster_bank=0, origin=0, pitch=pitch,
        image_rows=image // pitch, images=shape.images, height=rows, width=columns,
        chunk_images=config.lanes // image, chunk_rows=config.lanes % image // pitch,
        chunk_columns=config.lanes % pitch, image_pitch=image,
        chunk_pitch=config.lanes // image * image, dst=dst.base, dst_channel=dst.channel,
        dst_plane=dst.plane if radix else 0, dst_image=dst.image, x_step=1, x_wrap=0,
        y_step=dst.row, y_wrap=0, split=1, x_start=0, x_mod=0, y_start=0, y_mod=0, push_next=1)
