"""Contents of the `.kbin` sections that are not bytes already: descriptors and layer table.

Descriptors, for a host in any language (all little-endian, in this order):

    DESCRIPTOR_HEAD      sizes of the machine that a host needs, and the counts of what follows
    TENSOR[tensors]      the tensors of inputs and outputs; records.KIND_FIELDS by name
    PORT[inputs], PORT[outputs]
    PLACE[places]        records.PLACE_FIELDS: those of the first tensor first, as many as it counts
    int32[values]        codebooks; values_at and values_count of a tensor count entries
    bytes[names]         UTF-8 names; name_at and name_bytes count bytes

Layer table: zlib-compressed; inside, the length of a JSON text (uint32), the text (`records.py`,
with [dtype, count] for each array), then the arrays one after the other in the order of the text's
reading. An array of "bit" is packed, eight a byte, the first one highest. Of all others the
differences from number to number lie there, modulo the type's range, all lowest bytes first. How
much a table may hold follows from the instructions and streams (`most_layer_bytes`), so that
nothing more is ever inflated, and no larger arrays are made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import isa, names, records
from .config import Config
from .errors import FormatError
from .program import Layer, Port, Program, Tensor

Ints = NDArray[np.int64]

DESCRIPTOR_HEAD = np.dtype([
    ("memory_bytes", "<u8"), ("batch", "<u4"), ("code_bits", "<u4"), ("row_codes", "<u4"),
    ("memory_codes", "<u4"), ("tensors", "<u4"), ("inputs", "<u4"), ("outputs", "<u4"),
    ("places", "<u4"), ("values", "<u4"), ("names", "<u4")])
TENSOR = np.dtype([
    ("scale", "<f8"), *((name, "<i4") for name in records.KIND_FIELDS),
    ("name_at", "<u4"), ("name_bytes", "<u4"), ("values_at", "<u4"), ("values_count", "<u4"),
    ("places", "<u4"), ("reserved", "<u4")])
PORT = np.dtype([
    ("address", "<u8"), ("tensor", "<u4"), ("name_at", "<u4"), ("name_bytes", "<u4"),
    ("reserved", "<u4")])
PLACE = np.dtype([(name, "<i8") for name in records.PLACE_FIELDS])
CODES_MOST = 256         # values of a codebook, of any machine
NAME_BYTES = 4 * names.MOST
# of a layer table, see most_layer_bytes
TAP_BYTES = 56
LAYER_BYTES = 1 << 14
SHARING = 256
ROOM = 1 << 24
NUMBER_BYTES = 8         # of an array in memory, at most
BIT = "bit"
ARRAY_TYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<i8")
LEVEL = 1                # 9 takes ten times as long, for some 4 %


def port_tensors(program: Program) -> list[int]:
    """Indices of the tensors that inputs and outputs name, ascending."""
    return sorted({port.tensor for port in (*program.inputs, *program.outputs)})


# ---- descriptors ---------------------------------------------------------------------------
def encode_descriptors(program: Program) -> bytes:
    """Everything that a host needs to write inputs and to read outputs."""
    kept = port_tensors(program)
    text = bytearray()
    values: list[int] = []
    tensors = np.zeros(len(kept), TENSOR)
    for record, index in zip(tensors, kept, strict=True):
        tensor = program.tensors[index]
        record["scale"] = tensor.kind.scale
        for name in records.KIND_FIELDS:
            record[name] = getattr(tensor.kind, name)
        record["values_at"], record["values_count"] = len(values), len(tensor.kind.values)
        record["places"] = len(tensor.places)
        values += tensor.kind.values
        _name(record, tensor.name, text)
    ports = np.zeros(len(program.inputs) + len(program.outputs), PORT)
    for record, port in zip(ports, (*program.inputs, *program.outputs), strict=True):
        record["address"], record["tensor"] = port.address, kept.index(port.tensor)
        _name(record, port.name, text)
    places = records.place_numbers(p for index in kept for p in program.tensors[index].places)
    head = np.zeros(1, DESCRIPTOR_HEAD)
    config = program.config
    head[0] = (program.memory_bytes, program.batch, config.code_bits, config.row_codes,
               config.memory_codes, len(kept), len(program.inputs), len(program.outputs),
               len(places), len(values), len(text))
    return (head.tobytes() + tensors.tobytes() + ports.tobytes() + places.astype("<i8").tobytes()
            + np.array(values, "<i4").tobytes() + bytes(text))


def _name(record: np.void, name: str, text: bytearray) -> None:
    data = name.encode()
    record["name_at"], record["name_bytes"] = len(text), len(data)
    text += data


class Reader:
    """Takes typed arrays one after the other from the bytes of a section."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.at = 0

    def take(self, dtype: np.dtype | str, count: int) -> NDArray[Any]:
        """The next `count` entries; FormatError when the section ends before."""
        size = np.dtype(dtype).itemsize * count
        if count < 0 or self.at + size > len(self.data):
            raise FormatError(f"{self.where}: ends at byte {len(self.data)} of the section inside "
                              f"{count} entries that begin at byte {self.at}; "
                              "recompile the network")
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += size
        return found

    def end(self) -> None:
        """Everything must be taken."""
        if self.at != len(self.data):
            raise FormatError(f"{self.where}: holds {len(self.data) - self.at} bytes behind byte "
                              f"{self.at} of the section that nothing refers to; "
                              "recompile the network")


def decode_descriptors(data: bytes, where: str
                       ) -> tuple[int, list[Tensor], list[Port], list[Port]]:
    """memory_bytes, tensors, inputs and outputs; ports name places in this list of tensors."""
    reader = Reader(data, where)
    head = reader.take(DESCRIPTOR_HEAD, 1)[0]
    tensors = reader.take(TENSOR, int(head["tensors"]))
    inputs = reader.take(PORT, int(head["inputs"]))
    outputs = reader.take(PORT, int(head["outputs"]))
    places = Reader(reader.take(PLACE, int(head["places"])).tobytes(), f"{where}: the places")
    values = reader.take("<i4", int(head["values"])).tolist()
    text = reader.take("|u1", int(head["names"])).tobytes()
    reader.end()
    found = [_tensor(record, places, values, text, where) for record in tensors]
    places.end()
    ports = [_port(record, text, where) for record in (*inputs, *outputs)]
    bad = [port for port in ports if port.tensor >= len(found)]
    if bad:
        raise FormatError(f"{where}: port {names.shown(bad[0].name)} names tensor "
                          f"{bad[0].tensor} of {len(found)}; recompile the network")
    return int(head["memory_bytes"]), found, ports[:len(inputs)], ports[len(inputs):]


def _tensor(record: np.void, places: Reader, values: list[int], text: bytes, where: str) -> Tensor:
    at, count = int(record["values_at"]), int(record["values_count"])
    if count > CODES_MOST:
        raise FormatError(f"{where}: a tensor has {count} values, a codebook has at most "
                          f"{CODES_MOST}; recompile the network")
    kind = records.kind_of((int(record[name]) for name in records.KIND_FIELDS),
                           float(record["scale"]), values[at:at + count])
    rows = places.take(PLACE, int(record["places"])).view("<i8")
    try:
        found = records.places_of(rows.reshape(-1, len(records.PLACE_FIELDS)))
    except ValueError as error:
        raise FormatError(f"{where}: {error}; recompile the network") from None
    return Tensor(_name_of(record, text, where), kind, found)


def _port(record: np.void, text: bytes, where: str) -> Port:
    return Port(_name_of(record, text, where), int(record["tensor"]), int(record["address"]))


def _name_of(record: np.void, text: bytes, where: str) -> str:
    at, size = int(record["name_at"]), int(record["name_bytes"])
    if size > NAME_BYTES:
        raise FormatError(f"{where}: the name at byte {at} of the names has {size} bytes, it must "
                          f"be {names.WANTED}; recompile the network")
    try:
        return text[at:at + size].decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: the name at byte {at} of the names is no UTF-8 "
                          f"({error.reason}); recompile the network") from None


def moved(port: Port, positions: Sequence[int]) -> Port:
    """A port whose tensor is counted anew: positions[old] is the new index."""
    return Port(port.name, positions[port.tensor], port.address)


# ---- layer table ---------------------------------------------------------------------------
def has_layers(program: Program) -> bool:
    """Does the program hold more than the descriptors say?"""
    return bool(program.layers) or len(program.tensors) > len(port_tensors(program))


def most_layer_bytes(instructions: Sequence[isa.Instruction], streams: int) -> int:
    """Bytes that the layer table of a program can need, uncompressed or as arrays of NUMBER_BYTES a
    number; streams: their bytes.

    A layer has a RUN and a tensor; a tap with a point of its own, a cluster or a channel takes
    TAP_BYTES at most for each byte of its RUN's stream. RUNs may share a stream, so that alone
    would leave room for tables far larger than the file: a table holds at most SHARING times what
    instructions and streams do, and ROOM.
    """
    runs = [ins for ins in instructions if isinstance(ins, isa.Run)]
    ports = sum(isinstance(ins, isa.Load | isa.Store) for ins in instructions)
    taps = sum(min(run.stream_units * isa.UNIT_BYTES, streams) for run in runs)
    need = TAP_BYTES * taps + LAYER_BYTES * (len(runs) + ports + 1)
    return min(need, SHARING * (isa.size(instructions) + streams) + ROOM)


def encode_layers(program: Program) -> bytes:
    """Layer table: all tensors and layers. Raises FormatError for one that is too large."""
    text = layer_bytes(program)
    most = most_layer_bytes(program.instructions, len(program.streams))
    if len(text) > most:
        raise FormatError(f"the layer table has {len(text)} bytes, at most {most} can be read; "
                          "compile with --strip")
    return zlib.compress(text, LEVEL)


def layer_bytes(program: Program) -> bytes:
    """The layer table before it is compressed: all tensors and layers."""
    arrays: list[bytes] = []

    def put(array: NDArray) -> list[Any]:
        dtype = _smallest(array)
        arrays.append(_pack(array, dtype))
        return [dtype, array.size]

    kept = port_tensors(program)
    plain = {
        "tensors": [kept.index(i) if i in kept else records.tensor_to_plain(tensor, put)
                    for i, tensor in enumerate(program.tensors)],
        "layers": [records.layer_to_plain(layer, put) for layer in program.layers],
    }
    text = records.canonical(plain).encode()
    return len(text).to_bytes(4, "little") + text + b"".join(arrays)


def inflate_layers(data: bytes, most: int, where: str) -> bytes:
    """Inverse of the compression; FormatError for more than `most` bytes, which are not made."""
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(data, most + 1)
    except zlib.error as error:
        raise FormatError(f"{where}: not compressed ({error}); recompile the network") from None
    if len(text) > most:
        raise FormatError(f"{where}: holds more than the {most} bytes that a layer table of these "
                          "instructions and streams can need; recompile the network")
    if not inflate.eof or inflate.unused_data:
        raise FormatError(f"{where}: cut off or followed by other data; recompile the network")
    return text


def _smallest(array: NDArray) -> str:
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if 0 <= low and high <= 1:
        return BIT
    for dtype in ARRAY_TYPES:
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return dtype
    raise AssertionError("int64 holds every int64")


def _pack(array: NDArray, dtype: str) -> bytes:
    if dtype == BIT:
        return np.packbits(array.astype(bool)).tobytes()
    numbers = array.astype(dtype)
    steps = np.diff(numbers, prepend=np.zeros(1, dtype))
    return steps.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _unpack(reader: Reader, dtype: str, count: int) -> NDArray:
    """Inverse of `_pack`; FormatError when the section ends before."""
    if dtype == BIT:
        return np.unpackbits(reader.take("|u1", -(-count // 8)), count=count)
    size = np.dtype(dtype).itemsize
    steps = np.ascontiguousarray(reader.take("|u1", size * count).reshape(size, count).T)
    return np.cumsum(steps.view(dtype).ravel(), dtype=dtype)


def decode_layers(text: bytes, ported: list[Tensor], instructions: int, most: int, where: str
                  ) -> tuple[list[Tensor], list[int], list[Layer]]:
    """Inverse of `layer_bytes`: all tensors, the index of each descriptor's tensor among them, and
    the layers.

    ported: the tensors of the descriptors, in their order. instructions: how many there are. A
    tensor has a place, and one more for each instruction that fills one. most: bytes of arrays.
    """
    reader, left = Reader(text, where), most // NUMBER_BYTES
    plain = records.parse(reader.take("|u1", int(reader.take("<u4", 1)[0])).tobytes(), where)

    def take(spec: Any) -> NDArray:
        nonlocal left
        dtype, count = spec
        if dtype not in (BIT, *ARRAY_TYPES) or type(count) is not int or not 0 <= count <= left:
            raise ValueError(f"{names.shown(spec)} describes no array that can be needed")
        left -= count
        return _unpack(reader, dtype, count)

    try:
        tensors = _tensors(plain["tensors"], ported, take, instructions)
        positions = _positions(plain["tensors"], len(ported))
        layers = [records.layer_from_plain(item, take) for item in plain["layers"]]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"{where}: malformed ({error}); recompile the network") from None
    reader.end()
    return tensors, positions, layers


def _tensors(items: Sequence[Any], ported: list[Tensor], take: records.Take, instructions: int
             ) -> list[Tensor]:
    """A tensor for each item; ValueError for more places than instructions can fill."""
    room, found = len(items) + instructions, []
    for item in items:
        found.append(ported[item] if isinstance(item, int)
                     else records.tensor_from_plain(item, take, room))
        room -= len(found[-1].places)
    return found


def _positions(items: Iterable[Any], count: int) -> list[int]:
    """Where the items are that name tensors of the descriptors."""
    positions = {item: i for i, item in enumerate(items) if isinstance(item, int)}
    if sorted(positions) != list(range(count)):
        raise ValueError("it does not name every tensor of the descriptors once")
    return [positions[item] for item in range(count)]


def decode_config(data: bytes, where: str) -> Config:
    """The configuration section."""
    try:
        return Config.from_json(data.decode(), where)
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: no UTF-8 ({error.reason}); recompile the network") from None
