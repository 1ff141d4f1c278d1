"""The instruction set: the one table from which everything else is derived.

An instruction is a class whose docstring states its action; a field is an attribute whose
annotation holds its descriptor (width, meaning, ...), and fields lie one after another in the order
of the class. Construction, range checks, encoding, decoding, assembly text and back, the reference
page (docs/isa.md), random instructions for tests, the bit slices and registers of the RTL and the
list of those that are addresses come from there.

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
from typing import Annotated, ClassVar, get_type_hints

from .errors import FormatError

UNIT_BYTES = 16          # external addresses of instructions count units of 16 bytes
ENTRY_BYTES = 4          # of a table in external memory
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
    PASS = 2             # T - order modulo 2^AB: the code of a MAX cluster, from its rank


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
    """A bit field, told once, in the annotation of the attribute that holds its value.

    least: smallest legal value; address: of the activation memory, so reduced modulo its size;
    names: of the values, which assembly text writes instead of numbers; hexadecimal: how it writes
    numbers. reserved: for machines to come; today it is 0. The class of the instruction fills in
    name and lo, the first bit.
    """

    width: int
    meaning: str
    least: int = 0
    address: bool = False
    names: type[enum.IntEnum] | None = None
    hexadecimal: bool = False
    reserved: bool = False
    name: str = ""
    lo: int = 0

    @property
    def hi(self) -> int:
        """One past the last bit, so that word[hi:lo] is the field in MyHDL."""
        return self.lo + self.width

    def ends(self, width: int | None = None) -> tuple[int, int]:
        """(hi, lo) of the field, or of its lowest `width` bits."""
        return self.lo + (self.width if width is None else width), self.lo

    @property
    def limit(self) -> int:
        return 1 << self.width

    def text(self, value: int) -> str:
        """The value as assembly text has it."""
        if self.names is not None:
            return self.names(value).name
        return hex(value) if self.hexadecimal else str(value)

    def value(self, text: str) -> int:
        """Inverse of `text`; ValueError if it is no number."""
        if self.names is not None and text in self.names.__members__:
            return int(self.names[text])
        return int(text, 0)


def _fields(kind: type, start: int, without: tuple[str, ...] = ()) -> tuple[Field, ...]:
    """The descriptors in a class's annotations, one after another from bit `start` on."""
    out = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for field in getattr(hint, "__metadata__", ()):
            if name not in without:
                out.append(dataclasses.replace(field, name=name, lo=start))
                start += field.width
    return tuple(out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """Base of all instructions; flags default to 0, cores to 1."""

    OP: ClassVar[Op]
    UNIT: ClassVar[Unit | None] = None
    BYTES: ClassVar[int] = SHORT_BYTES
    FIELDS: ClassVar[tuple[Field, ...]] = ()         # its own, behind those that all have
    BITS: ClassVar[tuple[tuple[str, int, int, int], ...]] = ()   # of all: name, lo, least, limit

    pop_prev: Annotated[int, Field(
        1, "wait for and take a token from the previous unit (load < compute < store)")] = 0
    pop_next: Annotated[int, Field(1, "wait for and take a token from the next unit")] = 0
    push_prev: Annotated[int, Field(1, "give a token to the previous unit when done")] = 0
    push_next: Annotated[int, Field(1, "give a token to the next unit when done")] = 0
    cores: Annotated[int, Field(
        8, "mask of the cores that take part; 1 on a machine of one core, 0 where none does")] = 1

    def __init_subclass__(cls) -> None:
        cls.FIELDS = _fields(cls, HEAD[-1].hi, tuple(field.name for field in HEAD))
        assert cls.all_fields()[-1].hi <= 8 * cls.BYTES, cls
        cls.BITS = tuple((f.name, f.lo, f.least, f.limit) for f in cls.all_fields()[1:])

    def __post_init__(self) -> None:
        values = vars(self)
        for name, _, least, limit in self.BITS:
            if type(values[name]) is not int:
                object.__setattr__(self, name, int(values[name]))
            if not least <= values[name] < limit:
                self._refuse(name, least, limit)
        self.check()

    def _refuse(self, name: str, least: int, limit: int) -> None:
        value = getattr(self, name)
        if 0 <= value < least:
            raise FormatError(f"{self.OP.name} {name} must be at least {least}")
        raise FormatError(f"{self.OP.name} {name}={value} does not fit its "
                          f"{limit.bit_length() - 1} bits (0 to {limit - 1})")

    def check(self) -> None:
        """What the fields must have in common; raises FormatError."""

    @classmethod
    def all_fields(cls) -> tuple[Field, ...]:
        """Head and own fields, in bit order."""
        return HEAD + cls.FIELDS

    @classmethod
    def field(cls, name: str) -> Field:
        """The field of this name."""
        return next(f for f in cls.all_fields() if f.name == name)

    @classmethod
    def addresses(cls) -> tuple[str, ...]:
        """Names of the fields that are addresses of the activation memory or steps between them."""
        return tuple(field.name for field in cls.FIELDS if field.address)

    def encode(self) -> bytes:
        """The instruction's bytes."""
        word = int(self.OP)
        values = vars(self)
        for name, lo, _, _ in self.BITS:
            word |= values[name] << lo
        return word.to_bytes(self.BYTES, "little")

    def _said(self) -> Iterator[Field]:
        """The fields that text names: its own, and what is not as usual of the others."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        for field in (*self.FIELDS, *HEAD[1:]):
            plain = not field.reserved and field in self.FIELDS
            if plain or getattr(self, field.name) != usual[field.name]:
                yield field

    def __str__(self) -> str:
        return " ".join([self.OP.name, *(f"{field.name}={field.text(getattr(self, field.name))}"
                                         for field in self._said())])

    def __repr__(self) -> str:
        said = (f"{field.name}={getattr(self, field.name)}" for field in self._said())
        return f"{type(self).__name__}({', '.join(said)})"


HEAD = (Field(4, "which instruction", name="opcode"), *_fields(Instruction, 4))
FLAGS = tuple(field.name for field in HEAD if field.width == 1)

# fields of several instructions
Row = Annotated[int, Field(20, "first row of the activation memory (a row is 2 x P codes)")]
Rows = Annotated[int, Field(20, "number of rows, at least 1", least=1)]
Pieces = Annotated[int, Field(
    8, "further pieces of as many rows, each to or from the rows behind", reserved=True)]
Stride = Annotated[int, Field(
    28, "external distance from piece to piece, in units of 16 bytes", hexadecimal=True,
    reserved=True)]
Slice = Annotated[int, Field(7, "slice whose memory the first piece is in", reserved=True)]
Spread = Annotated[int, Field(
    1, "each piece is in the next slice, in the same rows", reserved=True)]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class End(Instruction):
    """Wait until every unit is idle, then raise `done`."""

    OP = Op.END

    cores: int = 0

    def check(self) -> None:
        if any(getattr(self, name) for name in FLAGS) or self.cores:
            raise FormatError("END takes no tokens and no cores")


@dataclasses.dataclass(frozen=True, repr=False)
class Load(Instruction):
    """Copy rows from external memory to the activation memory (of every core in the mask)."""

    OP = Op.LOAD
    UNIT = Unit.LOAD

    address: Annotated[int, Field(
        28, "external address to read, in units of 16 bytes", hexadecimal=True)]
    row: Row
    rows: Rows
    pieces: Pieces = 0
    stride: Stride = 0
    slice: Slice = 0
    spread: Spread = 0


@dataclasses.dataclass(frozen=True, repr=False)
class Store(Instruction):
    """Copy rows from the activation memory to external memory."""

    OP = Op.STORE
    UNIT = Unit.STORE

    address: Annotated[int, Field(
        28, "external address to write, in units of 16 bytes", hexadecimal=True)]
    row: Row
    rows: Rows
    pieces: Pieces = 0
    stride: Stride = 0
    slice: Slice = 0
    spread: Spread = 0


@dataclasses.dataclass(frozen=True, repr=False)
class TableLoad(Instruction):
    """Write `count` entries of an on-chip table, from entry `first` of bank (or pair) `bank`.

    Entries are 4 bytes each in external memory, little-endian; RAMP computes them instead.
    """

    OP = Op.TABLE
    UNIT = Unit.LOAD

    kind: Annotated[int, Field(3, "BASE, OFFSET, DECODE, CLUSTER or RAMP", names=Table)]
    bank: Annotated[int, Field(1, "bank of the table; for DECODE the pair")]
    first: Annotated[int, Field(14, "first entry")]
    count: Annotated[int, Field(15, "number of entries, at least 1", least=1)]
    address: Annotated[int, Field(
        28, "external address of the entries, in units of 16 bytes (0 for RAMP)",
        hexadecimal=True)] = 0
    start: Annotated[int, Field(20, "RAMP: address of the first entry", address=True)] = 0
    step: Annotated[int, Field(
        20, "RAMP: added from entry to entry, modulo the memory's size", address=True)] = 0
    pair: Annotated[int, Field(1, "RAMP: decode-table pair of the entries")] = 0

    def check(self) -> None:
        if self.kind not in Table.__members__.values():
            raise FormatError(f"TABLE kind={self.kind} is unknown")
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

    row: Row
    rows: Rows
    code: Annotated[int, Field(8, "the code")]


@dataclasses.dataclass(frozen=True, repr=False)
class Run(Instruction):
    """Compute `channels` output channels over an h x w rectangle of raster positions.

    For every channel of the stream, every chunk of P positions: S and T over the channel's
    clusters, then requantize and write as `mode` says. A position (n, y, x) with n < images,
    y < height, x < width reads base + offset + origin + (n * image_rows + y) * pitch + x and is
    written to dst + channel*dst_channel + digit*dst_plane + n*dst_image + its y and x steps.
    Chunks: the first starts at position (0, 0, 0), each next one at the first position inside the
    rectangle that is not yet covered.
    The x steps walk X = X0 + q*x of the destination split in s phases: per position the phase
    grows by x_mod = q mod s; on reaching s it falls by s and x_wrap is added beside x_step.
    """

    OP = Op.RUN
    UNIT = Unit.COMPUTE
    BYTES = LONG_BYTES

    stream: Annotated[int, Field(
        28, "external address of the tap stream, in units of 16 bytes", hexadecimal=True)]
    stream_units: Annotated[int, Field(20, "length of the stream in units of 16 bytes", least=1)]
    channels: Annotated[int, Field(16, "output channels, at least 1", least=1)]
    mode: Annotated[int, Field(
        2, "CODE, RADIX or PASS; PASS makes every cluster a MAX cluster", names=Mode)]
    shift: Annotated[int, Field(2, "t / 2: right shift of T before it is saturated to 18 bits")]
    digits: Annotated[int, Field(3, "digits written per position: RADIX 1 to 4, else 1", least=1)]
    radix_width: Annotated[int, Field(5, "RADIX: bits that v is saturated to, 2 to 16; else 0")]
    order: Annotated[int, Field(8, "PASS: subtracted from T, modulo 2^AB; else 0")]
    kernel_bits: Annotated[int, Field(3, "bits of a position that name the kernel offset, 0 to 5")]
    base_bank: Annotated[int, Field(1, "bank of the base table")]
    offset_bank: Annotated[int, Field(1, "bank of the kernel-offset table")]
    cluster_bank: Annotated[int, Field(1, "bank of the clustering table")]
    origin: Annotated[int, Field(
        20, "address of raster position (0, 0, 0), added to base + offset", address=True)]
    pitch: Annotated[int, Field(16, "raster positions from row to row", least=1)]
    image_rows: Annotated[int, Field(16, "raster rows from image to image (R)", least=1)]
    images: Annotated[int, Field(12, "images, at least 1", least=1)]
    height: Annotated[int, Field(
        16, "rows of the rectangle, at least 1 and at most image_rows", least=1)]
    width: Annotated[int, Field(
        16, "columns of the rectangle, at least 1 and at most pitch", least=1)]
    chunk_images: Annotated[int, Field(8, "P div (R * pitch)")]
    chunk_rows: Annotated[int, Field(8, "(P mod (R * pitch)) div pitch")]
    chunk_columns: Annotated[int, Field(8, "P mod pitch, the rest")]
    image_pitch: Annotated[int, Field(20, "R * pitch, modulo the memory's size", address=True)]
    chunk_pitch: Annotated[int, Field(
        20, "chunk_images * R * pitch, modulo the memory's size", address=True)]
    dst: Annotated[int, Field(
        20, "address of the first channel's element at (Y0, X0)", address=True)]
    dst_channel: Annotated[int, Field(20, "address step from channel to channel", address=True)]
    dst_plane: Annotated[int, Field(20, "address step from digit to digit", address=True)]
    dst_image: Annotated[int, Field(20, "address step from image to image", address=True)]
    x_step: Annotated[int, Field(20, "address step from column to column", address=True)]
    x_wrap: Annotated[int, Field(20, "added when the column phase wraps", address=True)]
    y_step: Annotated[int, Field(20, "address step from row to row", address=True)]
    y_wrap: Annotated[int, Field(20, "added when the row phase wraps", address=True)]
    split: Annotated[int, Field(3, "phases s of the destination, 1 to 4", least=1)]
    x_start: Annotated[int, Field(2, "column phase of the first column, below s")]
    x_mod: Annotated[int, Field(2, "column phase step, below s")]
    y_start: Annotated[int, Field(2, "row phase of the first row, below s")]
    y_mod: Annotated[int, Field(2, "row phase step, below s")]
    stream_step: Annotated[int, Field(
        20, "distance of a core's stream from that of the core before, in units of 16 bytes",
        reserved=True)] = 0
    dst_core: Annotated[int, Field(
        20, "address step from a core's channels to the next one's", address=True,
        reserved=True)] = 0

    def check(self) -> None:
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


def chunk_fields(lanes: int, pitch: int, image_rows: int) -> dict[str, int]:
    """How a step of P = `lanes` raster positions is taken apart: the fields of `Run` that follow
    from pitch and image_rows, addresses not yet reduced.
    """
    image = pitch * image_rows
    images, rest = divmod(lanes, image)
    rows, columns = divmod(rest, pitch)
    return {"chunk_images": images, "chunk_rows": rows, "chunk_columns": columns,
            "image_pitch": image, "chunk_pitch": images * image}


INSTRUCTIONS: tuple[type[Instruction], ...] = (End, Load, Store, TableLoad, Fill, Run)
BY_OP: dict[int, type[Instruction]] = {int(kind.OP): kind for kind in INSTRUCTIONS}


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
        values = {name: word >> lo & (limit - 1) for name, lo, _, limit in kind.BITS}
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
    known = {f.name: f for f in kind.all_fields()[1:]}
    values: dict[str, int] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in known or key in values:
            raise FormatError(f"{name}: {key!r} is "
                              f"{'given twice' if key in values else 'no field of it'}")
        try:
            values[key] = known[key].value(text)
        except ValueError:
            raise FormatError(f"{name}: {key}={text!r} is no number") from None
    missing = [f.name for f in kind.FIELDS if f.name not in values and not f.reserved]
    if missing:
        raise FormatError(f"{name}: {missing[0]}=... is missing")
    return kind(**values)
