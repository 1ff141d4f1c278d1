"""The instruction set: the one table from which everything else is derived.

A field is a descriptor (width, meaning), an instruction a class of fields whose docstring states
its action. Construction, range checks, encoding, decoding, assembly text and back, the reference
page (docs/isa.md), random instructions for tests and the bit slices of the RTL come from here.

Encoding: little-endian bit numbering over the instruction's bytes; bit 0 is the lowest bit of
byte 0. Instructions are 16 bytes long, RUN 64. Unused bits are zero, and that is checked.

>>> str(Fill(row=3, rows=2, code=1))
'FILL row=3 rows=2 code=1'
>>> decode(Fill(row=3, rows=2, code=1).encode())
[Fill(row=3, rows=2, code=1)]
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator
from typing import ClassVar

from .errors import FormatError

UNIT_BYTES = 16          # external addresses of instructions count units of 16 bytes
SHORT_BYTES = 16
LONG_BYTES = 64


class Op(enum.IntEnum):
    """Opcodes."""

    END = 0
    LOAD = 1
    STORE = 2
    TABLE = 3
    FILL = 4
    RUN = 5
    FC = 6               # reserved for the FC engine


class Mode(enum.IntEnum):
    """What a RUN's drain writes."""

    CODE = 0             # the code of the nearest centroid, by the clustering table
    RADIX = 1            # the digits of the saturated value
    PASS = 2             # T - order modulo 2^AB: the code of a MAX run, from its rank


class Table(enum.IntEnum):
    """What a TABLE instruction writes."""

    BASE = 0             # {address: bits 23..0, pair: bit 24} of a logical channel
    OFFSET = 1           # address offset of a kernel position
    DECODE = 2           # value of a code: bits 15..0; a tap adds or subtracts it
    CLUSTER = 3          # {threshold: bits 15..0, code: bits 23..16} of a segment
    RAMP = 4             # BASE entries start, start + step, ...; no memory is read


class Unit(enum.IntEnum):
    """The queue that executes an instruction."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


@dataclasses.dataclass(frozen=True)
class Field:
    """A bit field: name, first bit, width, meaning."""

    name: str
    lo: int
    width: int
    meaning: str

    @property
    def hi(self) -> int:
        """One past the last bit, so that word[hi:lo] is the field in MyHDL."""
        return self.lo + self.width

    @property
    def limit(self) -> int:
        return 1 << self.width


def _layout(start: int, *fields: tuple[str, int, str]) -> tuple[Field, ...]:
    out = []
    for name, width, meaning in fields:
        out.append(Field(name, start, width, meaning))
        start += width
    return tuple(out)


HEAD = _layout(
    0,
    ("opcode", 4, "which instruction"),
    ("pop_prev", 1, "wait for and take a token from the previous unit (load < compute < store)"),
    ("pop_next", 1, "wait for and take a token from the next unit"),
    ("push_prev", 1, "give a token to the previous unit when done"),
    ("push_next", 1, "give a token to the next unit when done"),
    ("cores", 8, "core mask; 1 on a machine of one core, 0 where no core takes part"),
)
FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """Base of all instructions; flags default to 0, cores to 1."""

    OP: ClassVar[Op]
    UNIT: ClassVar[Unit | None] = None
    BYTES: ClassVar[int] = SHORT_BYTES
    FIELDS: ClassVar[tuple[Field, ...]] = ()

    pop_prev: int = dataclasses.field(default=0, kw_only=True)
    pop_next: int = dataclasses.field(default=0, kw_only=True)
    push_prev: int = dataclasses.field(default=0, kw_only=True)
    push_next: int = dataclasses.field(default=0, kw_only=True)
    cores: int = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        for field in self.all_fields()[1:]:
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int):
                object.__setattr__(self, field.name, value := int(value))
            if not 0 <= value < field.limit:
                raise FormatError(f"{self.OP.name} {field.name}={value} does not fit its "
                                  f"{field.width} bits (0 to {field.limit - 1})")
        self.check()

    def check(self) -> None:
        """Legal values beyond the field widths; raises FormatError."""

    @classmethod
    def all_fields(cls) -> tuple[Field, ...]:
        """Head and own fields, in bit order."""
        return HEAD + cls.FIELDS

    @classmethod
    def field(cls, name: str) -> Field:
        """The field of this name."""
        return next(f for f in cls.all_fields() if f.name == name)

    def encode(self) -> bytes:
        """The instruction's bytes."""
        word = int(self.OP)
        for field in self.all_fields()[1:]:
            word |= getattr(self, field.name) << field.lo
        return word.to_bytes(self.BYTES, "little")

    def _said(self) -> Iterator[tuple[str, int]]:
        for field in self.FIELDS:
            yield field.name, getattr(self, field.name)
        for name in FLAGS:
            if getattr(self, name):
                yield name, getattr(self, name)
        if self.cores != _default_cores(type(self)):
            yield "cores", self.cores

    def __str__(self) -> str:
        return " ".join([self.OP.name, *(f"{n}={_show(n, v)}" for n, v in self._said())])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v}' for n, v in self._said())})"


def _default_cores(kind: type[Instruction]) -> int:
    return next(f.default for f in dataclasses.fields(kind) if f.name == "cores")  # type: ignore


_NAMED = {"mode": Mode, "kind": Table}


def _show(name: str, value: int) -> str:
    if name in _NAMED:
        return _NAMED[name](value).name
    return hex(value) if name in ("address", "stream") else str(value)


@dataclasses.dataclass(frozen=True, repr=False)
class End(Instruction):
    """Wait until every unit is idle, then raise `done`."""

    OP = Op.END

    cores: int = dataclasses.field(default=0, kw_only=True)

    def check(self) -> None:
        if any(getattr(self, name) for name in FLAGS) or self.cores:
            raise FormatError("END takes no tokens and no cores")


def _dma_fields(verb: str) -> tuple[Field, ...]:
    return _layout(
        16,
        ("address", 28, f"external address {verb}, in units of 16 bytes"),
        ("row", 20, "first row of the activation memory (a row is 2 x P codes)"),
        ("rows", 20, "number of rows, at least 1"),
    )


@dataclasses.dataclass(frozen=True, repr=False)
class Load(Instruction):
    """Copy rows from external memory to the activation memory (of every core in the mask)."""

    OP = Op.LOAD
    UNIT = Unit.LOAD
    FIELDS = _dma_fields("to read")

    address: int
    row: int
    rows: int

    def check(self) -> None:
        _at_least_one(self, "rows")


@dataclasses.dataclass(frozen=True, repr=False)
class Store(Instruction):
    """Copy rows from the activation memory to external memory."""

    OP = Op.STORE
    UNIT = Unit.STORE
    FIELDS = _dma_fields("to write")

    address: int
    row: int
    rows: int

    def check(self) -> None:
        _at_least_one(self, "rows")


@dataclasses.dataclass(frozen=True, repr=False)
class TableLoad(Instruction):
    """Write `count` entries of an on-chip table, from entry `first` of bank (or pair) `bank`.

    Entries are 4 bytes each in external memory, little-endian; RAMP computes them instead.
    """

    OP = Op.TABLE
    UNIT = Unit.LOAD
    FIELDS = _layout(
        16,
        ("kind", 3, "BASE, OFFSET, DECODE, CLUSTER or RAMP"),
        ("bank", 1, "bank of the table; for DECODE the pair"),
        ("first", 14, "first entry"),
        ("count", 15, "number of entries, at least 1"),
        ("address", 28, "external address of the entries, in units of 16 bytes (0 for RAMP)"),
        ("start", 20, "RAMP: address of the first entry"),
        ("step", 20, "RAMP: added from entry to entry, modulo the memory's size"),
        ("pair", 1, "RAMP: decode-table pair of the entries"),
    )

    kind: int
    bank: int
    first: int
    count: int
    address: int = 0
    start: int = 0
    step: int = 0
    pair: int = 0

    def check(self) -> None:
        if self.kind not in Table.__members__.values():
            raise FormatError(f"TABLE kind={self.kind} is unknown")
        _at_least_one(self, "count")
        unused = ("address",) if self.kind == Table.RAMP else ("start", "step", "pair")
        for name in unused:
            if getattr(self, name):
                raise FormatError(f"TABLE {Table(self.kind).name} does not use {name}; "
                                  "it must be 0")


@dataclasses.dataclass(frozen=True, repr=False)
class Fill(Instruction):
    """Write `code` to every code of `rows` rows of the activation memory."""

    OP = Op.FILL
    UNIT = Unit.COMPUTE
    FIELDS = _layout(
        16,
        ("row", 20, "first row of the activation memory"),
        ("rows", 20, "number of rows, at least 1"),
        ("code", 8, "the code"),
    )

    row: int
    rows: int
    code: int

    def check(self) -> None:
        _at_least_one(self, "rows")


@dataclasses.dataclass(frozen=True, repr=False)
class Run(Instruction):
    """Compute `channels` output channels over an h x w rectangle of raster positions.

    For every channel of the stream, every chunk of P positions: S and T over the channel's runs,
    then requantize and write as `mode` says. A position (n, y, x) with n < images, y < height,
    x < width reads base + offset + origin + (n * image_rows + y) * pitch + x and is written to
    dst + channel*dst_channel + digit*dst_plane + n*dst_image + its y and x steps.
    Chunks: the first starts at position (0, 0, 0), each next one at the first position inside the
    rectangle that is not yet covered.
    The x steps walk X = X0 + q*x of the destination split in s phases: per position the phase
    grows by x_mod = q mod s; on reaching s it falls by s and x_wrap is added beside x_step.
    """

    OP = Op.RUN
    UNIT = Unit.COMPUTE
    BYTES = LONG_BYTES
    FIELDS = _layout(
        16,
        ("stream", 28, "external address of the tap stream, in units of 16 bytes"),
        ("stream_units", 20, "length of the stream in units of 16 bytes"),
        ("channels", 16, "output channels, at least 1"),
        ("mode", 2, "CODE, RADIX or PASS; PASS makes every run a MAX run"),
        ("shift", 2, "t / 2: right shift of T before it is saturated to 18 bits"),
        ("digits", 3, "digits written per position: RADIX 1 to 4, else 1"),
        ("radix_width", 5, "RADIX: bits that v is saturated to, 2 to 16; else 0"),
        ("order", 8, "PASS: subtracted from T, modulo 2^AB; else 0"),
        ("kernel_bits", 3, "bits of a position that name the kernel offset, 0 to 5"),
        ("base_bank", 1, "bank of the base table"),
        ("offset_bank", 1, "bank of the kernel-offset table"),
        ("cluster_bank", 1, "bank of the clustering table"),
        ("origin", 20, "address of raster position (0, 0, 0), added to base + offset"),
        ("pitch", 16, "raster positions from row to row"),
        ("image_rows", 16, "raster rows from image to image (R)"),
        ("images", 12, "images, at least 1"),
        ("height", 16, "rows of the rectangle, at least 1 and at most image_rows"),
        ("width", 16, "columns of the rectangle, at least 1 and at most pitch"),
        ("chunk_images", 8, "P div (R * pitch)"),
        ("chunk_rows", 8, "(P mod (R * pitch)) div pitch"),
        ("chunk_columns", 8, "P mod pitch, the rest"),
        ("image_pitch", 20, "R * pitch, modulo the memory's size"),
        ("chunk_pitch", 20, "chunk_images * R * pitch, modulo the memory's size"),
        ("dst", 20, "address of the first channel's element at (Y0, X0)"),
        ("dst_channel", 20, "address step from channel to channel"),
        ("dst_plane", 20, "address step from digit to digit"),
        ("dst_image", 20, "address step from image to image"),
        ("x_step", 20, "address step from column to column"),
        ("x_wrap", 20, "added when the column phase wraps"),
        ("y_step", 20, "address step from row to row"),
        ("y_wrap", 20, "added when the row phase wraps"),
        ("split", 3, "phases s of the destination, 1 to 4"),
        ("x_start", 2, "column phase of the first column, below s"),
        ("x_mod", 2, "column phase step, below s"),
        ("y_start", 2, "row phase of the first row, below s"),
        ("y_mod", 2, "row phase step, below s"),
    )

    stream: int
    stream_units: int
    channels: int
    mode: int
    shift: int
    digits: int
    radix_width: int
    order: int
    kernel_bits: int
    base_bank: int
    offset_bank: int
    cluster_bank: int
    origin: int
    pitch: int
    image_rows: int
    images: int
    height: int
    width: int
    chunk_images: int
    chunk_rows: int
    chunk_columns: int
    image_pitch: int
    chunk_pitch: int
    dst: int
    dst_channel: int
    dst_plane: int
    dst_image: int
    x_step: int
    x_wrap: int
    y_step: int
    y_wrap: int
    split: int
    x_start: int
    x_mod: int
    y_start: int
    y_mod: int

    def check(self) -> None:
        for name in ("stream_units", "channels", "pitch", "image_rows", "images", "height",
                     "width", "split", "digits"):
            _at_least_one(self, name)
        rules = (
            (self.mode in Mode.__members__.values(), f"mode={self.mode} is unknown"),
            (self.width <= self.pitch, "width exceeds pitch"),
            (self.height <= self.image_rows, "height exceeds image_rows"),
            (self.split <= 4, "split exceeds 4"),
            (max(self.x_start, self.x_mod, self.y_start, self.y_mod) < self.split,
             "a phase is not below split"),
            (self.kernel_bits <= 5, "kernel_bits exceeds 5"),
            (self.chunk_columns < self.pitch and self.chunk_rows < self.image_rows,
             "chunk_columns or chunk_rows is not reduced"),
            (self.mode == Mode.RADIX or (self.digits == 1 and self.radix_width == 0),
             "digits and radix_width are for RADIX"),
            (self.mode == Mode.PASS or self.order == 0, "order is for PASS"),
            (self.mode != Mode.RADIX or (self.digits <= 4 and 2 <= self.radix_width <= 16),
             "RADIX wants digits 1 to 4 and radix_width 2 to 16"),
        )
        for holds, sentence in rules:
            if not holds:
                raise FormatError(f"RUN: {sentence}")


def _at_least_one(instruction: Instruction, name: str) -> None:
    if getattr(instruction, name) < 1:
        raise FormatError(f"{instruction.OP.name} {name} must be at least 1")


INSTRUCTIONS: tuple[type[Instruction], ...] = (End, Load, Store, TableLoad, Fill, Run)
BY_OP: dict[int, type[Instruction]] = {int(kind.OP): kind for kind in INSTRUCTIONS}


def _check_table() -> None:
    for kind in INSTRUCTIONS:
        at = 0
        for field in kind.all_fields():
            assert field.lo == at, (kind, field)
            at = field.hi
        assert at <= 8 * kind.BYTES, kind


_check_table()


def encode(instructions: list[Instruction]) -> bytes:
    """Bytes of an instruction stream."""
    return b"".join(instruction.encode() for instruction in instructions)


def size(instructions: Iterable[Instruction]) -> int:
    """Bytes of an instruction stream."""
    return sum(instruction.BYTES for instruction in instructions)


def decode(data: bytes) -> list[Instruction]:
    """Inverse of `encode`; FormatError names the instruction index and the byte offset."""
    out: list[Instruction] = []
    at = 0
    while at < len(data):
        where = f"instruction {len(out)} at byte {at}"
        kind = BY_OP.get(data[at] & 15)
        if kind is None:
            raise FormatError(f"{where}: opcode {data[at] & 15} is unknown")
        if at + kind.BYTES > len(data):
            raise FormatError(f"{where}: {kind.OP.name} is cut off")
        word = int.from_bytes(data[at:at + kind.BYTES], "little")
        if word >> kind.all_fields()[-1].hi:
            raise FormatError(f"{where}: unused bits of {kind.OP.name} are not zero")
        values = {f.name: word >> f.lo & (f.limit - 1) for f in kind.all_fields()[1:]}
        try:
            out.append(kind(**values))
        except FormatError as error:
            raise FormatError(f"{where}: {error}") from None
        at += kind.BYTES
    return out


def parse(line: str) -> Instruction:
    """Inverse of str(instruction)."""
    name, *words = line.split()
    kind = next((k for k in INSTRUCTIONS if k.OP.name == name), None)
    if kind is None:
        raise FormatError(f"{name!r} is no instruction; known are "
                          f"{', '.join(k.OP.name for k in INSTRUCTIONS)}")
    known = {f.name for f in kind.all_fields()[1:]}
    values: dict[str, int] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in known or key in values:
            raise FormatError(f"{name}: {key!r} is "
                              f"{'given twice' if key in values else 'no field of it'}")
        values[key] = _value(name, key, text)
    missing = [f.name for f in kind.FIELDS if f.name not in values]
    if missing:
        raise FormatError(f"{name}: {missing[0]}=... is missing")
    return kind(**values)


def _value(name: str, key: str, text: str) -> int:
    if key in _NAMED and text in _NAMED[key].__members__:
        return int(_NAMED[key][text])
    try:
        return int(text, 0)
    except ValueError:
        raise FormatError(f"{name}: {key}={text!r} is no number") from None
