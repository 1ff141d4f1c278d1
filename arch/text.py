"""Assembly: a program as text, and back, without loss.

    .format 3                       the text's version, that of the binary file
    .config {...}                   the configuration
    .memory 1472                    bytes of external memory
    .tensor {...}                   tensors, in their order; then .input and .output
    .code                           instructions, one a line
    .streams                        bytes in hexadecimal, any number a line
    .tables                         likewise
    .layer {...}                    layers, in their order
    .meta {...}                     metadata

In code, streams and tables `#` begins a comment; `disassemble` says in comments what the bytes
mean. What stands in braces is JSON, one line each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from . import check, hazards, isa, kbin, meta, names, records, stream, tables
from .config import Config
from .errors import ConfigError, FormatError
from .isa import Run, Table, TableLoad
from .program import Program

PER_LINE = 24            # bytes of a stream on one line
ENTRIES = 4              # table entries on one line
TAPS = 12                # taps on one comment line
ONCE = ("format", "config", "memory", "meta")
BLOCKS = ("code", "streams", "tables")


# ---- program to text -------------------------------------------------------------------------
def disassemble(program: Program) -> str:
    """The text of a program; `assemble` gives the program back."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield f".format {kbin.FORMAT}"
    yield f".config {program.config.to_json()}"
    yield f".memory {program.memory_bytes}"
    for tensor in program.tensors:
        yield f".tensor {records.canonical(records.tensor_to_plain(tensor, records.put_list))}"
    for name, ports in (("input", program.inputs), ("output", program.outputs)):
        for port in ports:
            yield f".{name} {records.canonical(records.port_to_plain(port))}"
    yield ".code"
    for index, instruction in enumerate(program.instructions):
        yield f"{instruction}    # {index}"
    yield ".streams"
    yield from _dump(program.streams, _stream_notes(program), PER_LINE)
    yield ".tables"
    yield from _dump(program.tables, _table_notes(program), 4 * ENTRIES)
    for layer in program.layers:
        yield f".layer {records.canonical(records.layer_to_plain(layer, records.put_list))}"
    yield f".meta {records.canonical(program.meta.to_plain())}"


def _dump(data: bytes, notes: dict[int, list[str]], width: int) -> Iterator[str]:
    """Lines of hexadecimal; a new line begins, after its notes, wherever there are notes."""
    cuts = sorted({0, len(data), *(at for at in notes if at <= len(data))})
    for first, last in zip(cuts, [*cuts[1:], len(data)], strict=True):
        yield from (f"# {note}" for note in notes.get(first, []))
        for at in range(first, last, width):
            yield data[at:min(at + width, last)].hex(" ")


def _stream_notes(program: Program) -> dict[int, list[str]]:
    """What begins at which byte of the streams."""
    notes: dict[int, list[str]] = {}
    readers: dict[tuple[int, int], list[int]] = {}
    for index, ins in enumerate(program.instructions):
        if isinstance(ins, Run):
            at = ins.stream * isa.UNIT_BYTES - program.stream_base
            readers.setdefault((at, ins.channels), []).append(index)
    for (at, channels), indices in sorted(readers.items()):
        notes.setdefault(at, []).append(f"stream of RUN {', '.join(map(str, indices))}")
        for number in range(channels):
            (channel,), end = stream.decode_stream(program.streams, 1, start=at)
            notes.setdefault(at, []).extend(_channel_notes(number, channel))
            at = end
        notes.setdefault(at, [])
    return notes


def _channel_notes(number: int, channel: stream.ChannelStream) -> Iterator[str]:
    yield f"channel {number}: scale {channel.scale}, bias {channel.bias}"
    for cluster in channel.clusters:
        taps = [f"{'-' if negative else '+'}{position}" for position, negative
                in zip(cluster.positions.tolist(), cluster.negative.tolist(), strict=True)]
        for at in range(0, len(taps), TAPS):
            head = f"{cluster.factor} x" if at == 0 else "   "
            yield f"  {head} {' '.join(taps[at:at + TAPS])}"


def _table_notes(program: Program) -> dict[int, list[str]]:
    """What begins at which byte of the tables."""
    notes: dict[int, list[str]] = {}
    for index, ins in enumerate(program.instructions):
        if not isinstance(ins, TableLoad) or ins.kind == Table.RAMP:
            continue
        start = ins.address * isa.UNIT_BYTES - program.table_base
        words = hazards.entries(program, ins).tolist()
        for first in range(0, ins.count, ENTRIES):
            said = "  ".join(_entry(ins.kind, w) for w in words[first:first + ENTRIES])
            head = f"{index}: {Table(ins.kind).name} {ins.bank}, entry {ins.first + first}"
            notes.setdefault(start + 4 * first, []).append(f"TABLE {head}: {said}")
        notes.setdefault(start + 4 * ins.count, [])
    return notes


def _entry(kind: int, word: int) -> str:
    if kind == Table.BASE:
        return f"{tables.address(word)} pair {tables.pair(word)}"
    if kind == Table.DECODE:
        return str(tables.value(word))
    if kind == Table.CLUSTER:
        return f">={tables.value(word)}:{tables.code(word)}"
    return str(word)


# ---- text to program -------------------------------------------------------------------------
def assemble(text: str, where: str) -> Program:
    """The program of a text. Raises FormatError that names the line; `where` names the file."""
    found = _Found(where)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found.read(line, number)
        except (ConfigError, FormatError, KeyError, TypeError, ValueError,
                OverflowError) as error:
            said = error.args[0] if error.args else error
            raise FormatError(f"{where}: line {number}: {said}; correct the line") from None
    program = found.program()
    try:
        check.verify(program)
    except FormatError as error:
        raise FormatError(f"{where}: {found.place(str(error))}") from None
    return program


class _Found:
    """What the lines read so far have given."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.block = ""
        self.once: dict[str, Any] = {}
        self.many: dict[str, list[Any]] = {name: [] for name in
                                           ("tensor", "input", "output", "layer")}
        self.instructions: list[isa.Instruction] = []
        self.lines: list[int] = []
        self.bytes = {"streams": bytearray(), "tables": bytearray()}

    def read(self, line: str, number: int) -> None:
        """One line."""
        line = line.strip()
        if line.startswith("."):
            self._directive(*line[1:].partition(" ")[::2])
            return
        line = line.partition("#")[0].strip()
        if not line:
            return
        if self.block == "code":
            self.instructions.append(isa.parse(line))
            self.lines.append(number)
        elif self.block:
            self.bytes[self.block] += bytes.fromhex(line)
        else:
            raise FormatError(f"{line.split()[0]!r} stands before .code, .streams or .tables")

    def _directive(self, name: str, rest: str) -> None:
        self.block = ""
        if name in BLOCKS:
            if rest.partition("#")[0].strip():
                raise FormatError(f".{name} takes nothing on its line")
            self.block = name
        elif name in ONCE:
            if name in self.once:
                raise FormatError(f".{name} is given twice")
            self.once[name] = _SINGLE[name](rest)
        elif name in self.many:
            self.many[name].append(_PLAIN[name](records.parse(rest, f".{name}")))
        else:
            known = ", ".join(f".{n}" for n in (*ONCE, *self.many, *BLOCKS))
            raise FormatError(f".{name} is no directive; known are {known}")

    def program(self) -> Program:
        """All together."""
        for name in ONCE:
            if name not in self.once:
                raise FormatError(f"{self.where}: .{name} is missing; add it")
        for name in ("input", "output"):
            for port in self.many[name]:
                if not 0 <= port.tensor < len(self.many["tensor"]):
                    raise FormatError(f"{self.where}: .{name} {port.name!r} names tensor "
                                      f"{port.tensor}, but there are "
                                      f"{len(self.many['tensor'])}; correct it")
        return Program(
            self.once["config"], tuple(self.instructions), bytes(self.bytes["streams"]),
            bytes(self.bytes["tables"]), tuple(self.many["tensor"]), tuple(self.many["input"]),
            tuple(self.many["output"]), tuple(self.many["layer"]), self.once["memory"],
            self.once["meta"])

    def place(self, sentence: str) -> str:
        """A sentence of `check.verify` with the line of the instruction that it is about."""
        named = re.match(r"instruction (\d+)", sentence)
        return f"line {self.lines[int(named[1])]}: {sentence}" if named else sentence


def _format(text: str) -> int:
    if text.strip() != str(kbin.FORMAT):
        raise FormatError(f".format {text.strip()} is another version than {kbin.FORMAT}, which "
                          "this kcnn reads")
    return kbin.FORMAT


def _memory(text: str) -> int:
    size = int(text, 0)
    if not 0 <= size <= check.EXTERNAL_BYTES:
        raise FormatError(f".memory {names.shown(size)} is not from 0 to {check.EXTERNAL_BYTES}")
    return size


_SINGLE: dict[str, Callable[[str], Any]] = {
    "format": _format,
    "config": lambda text: Config.from_json(text, ".config"),
    "memory": _memory,
    "meta": lambda text: meta.from_plain(records.parse(text, ".meta"), ".meta"),
}
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda plain: records.tensor_from_plain(plain, records.take_list),
    "input": records.port_from_plain,
    "output": records.port_from_plain,
    "layer": lambda plain: records.layer_from_plain(plain, records.take_list),
}
