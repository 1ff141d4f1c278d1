"""The `.kbin` file: a Program as bytes.

    header          64 bytes, HEADER
    section table   24 bytes a section, ENTRY, in the order of Section
    sections        each at the next multiple of 64 bytes, zeros between; the file ends with the
                    last one

All numbers are little-endian. The header's CRC-32 covers header (its own field as zero) and section
table; each section has its own. The file of a program is one and the same byte for byte, and
nothing else is read: what `load` accepts, `save` writes. Only how the layer table is compressed is
free, since zlib does not promise the same bytes everywhere.

A file can come from anybody: no size in it is believed before it is known to be one that a program
of its configuration can have.
"""

from __future__ import annotations

import dataclasses
import os
import zlib
from enum import IntEnum
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from . import check, isa, meta, records, scratch, sections
from .errors import ConfigError, FormatError, KcnnError
from .meta import Meta
from .program import Program

FORMAT = 3
MAGIC = b"\x89KCNN\r\n\x1a"
ALIGN = 64

HEADER = np.dtype([
    ("magic", "V8"), ("format", "<u4"), ("sections", "<u4"), ("crc", "<u4"), ("reserved", "<u4"),
    ("reserved2", "<u8"), ("config_hash", "V32")])
HASH = slice(32, 64)
ENTRY = np.dtype([("section", "<u4"), ("crc", "<u4"), ("offset", "<u8"), ("bytes", "<u8")])
AGAIN = "copy or compile the file again"
MOST_BYTES = 1 << 30             # of a file; a dense VGG-16 has some 300 million
CHUNK = 1 << 20                  # bytes read at once
MOST_INSTRUCTIONS = 1 << 20      # of the short ones


class Section(IntEnum):
    """Sections by number; LAYERS may be missing."""

    CONFIG = 1
    INSTRUCTIONS = 2
    STREAMS = 3
    TABLES = 4
    DESCRIPTORS = 5
    LAYERS = 6
    META = 7

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"section {self.name.lower()}"


def save(program: Program, strip: bool = False) -> bytes:
    """The file's bytes. strip: leave the layer table out (the reference then cannot run)."""
    bodies = _bodies(program, strip)
    if Section.LAYERS in bodies:
        bodies[Section.LAYERS] = sections.encode_layers(program)
    return _join(bodies, program.config.hash)


def _bodies(program: Program, strip: bool) -> dict[Section, bytes]:
    """The sections, the layer table not compressed."""
    bodies = {
        Section.CONFIG: program.config.to_json().encode(),
        Section.INSTRUCTIONS: isa.encode(list(program.instructions)),
        Section.STREAMS: program.streams,
        Section.TABLES: program.tables,
        Section.DESCRIPTORS: sections.encode_descriptors(program),
        Section.META: records.canonical(_meta(program, strip).to_plain()).encode(),
    }
    if sections.has_layers(program) and not strip:
        bodies[Section.LAYERS] = sections.layer_bytes(program)
    return dict(sorted(bodies.items()))


def _meta(program: Program, strip: bool) -> Meta:
    """Without the nodes of tensors that a stripped file leaves out."""
    nodes = program.meta.nodes
    if not strip or not nodes:
        return program.meta
    kept = tuple(nodes[index] for index in sections.port_tensors(program))
    return dataclasses.replace(program.meta, nodes=kept)


def _join(bodies: dict[Section, bytes], config_hash: bytes) -> bytes:
    table = np.zeros(len(bodies), ENTRY)
    parts, at = [], HEADER.itemsize + table.nbytes
    for entry, (section, body) in zip(table, bodies.items(), strict=True):
        pad = -at % ALIGN
        entry["section"], entry["crc"] = section, zlib.crc32(body)
        entry["offset"], entry["bytes"] = at + pad, len(body)
        parts += [bytes(pad), body]
        at += pad + len(body)
    return b"".join([_front(table, config_hash), *parts])


def _front(table: NDArray, config_hash: bytes) -> bytes:
    """Header and section table."""
    head = np.zeros(1, HEADER)
    head["magic"], head["config_hash"] = np.void(MAGIC), np.void(config_hash)
    head["format"], head["sections"] = FORMAT, len(table)
    head["crc"] = zlib.crc32(head.tobytes() + table.tobytes())
    return head.tobytes() + table.tobytes()


def load(data: bytes, where: str) -> Program:
    """The program of a file's bytes; `where` names the file in messages.

    Raises FormatError for anything but the bytes that `save` writes for a program that
    `check.verify` accepts.
    """
    table = _table(data, where)
    bodies = {section: _body(data, entry, section, where) for section, entry in table.items()}
    _no_gaps(data, table, where)
    at = {section: f"{where}: {section.title} at offset {entry['offset']}"
          for section, entry in table.items()}
    try:
        program = _program(bodies, at)
    except ConfigError as error:
        said = str(error).removeprefix(f"{at[Section.CONFIG]}: ")
        raise FormatError(f"{at[Section.CONFIG]}: {said}; recompile the network") from None
    try:
        check.verify(program)
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None
    _same(data, program, bodies, table, where)
    return program


def _table(data: bytes, where: str) -> dict[Section, np.void]:
    """The section table, header checked."""
    if not data.startswith(MAGIC):
        start = "cut off" if MAGIC.startswith(data) else "not that of a .kbin file"
        raise FormatError(f"{where}: header at offset 0: the magic number is {start}; "
                          "give a file that kcnn compile wrote")
    if len(data) < HEADER.itemsize:
        raise FormatError(f"{where}: header at offset 0: cut off after {len(data)} bytes; {AGAIN}")
    head = np.frombuffer(data, HEADER, 1).copy()
    version, count = int(head["format"][0]), int(head["sections"][0])
    if version != FORMAT:
        raise FormatError(f"{where}: header at offset 8: format version {version}, but this kcnn "
                          f"reads version {FORMAT}; use the kcnn that wrote the file, or compile "
                          "the network again")
    end = HEADER.itemsize + count * ENTRY.itemsize
    if end > len(data):
        raise FormatError(f"{where}: section table at offset {HEADER.itemsize}: {count} sections "
                          f"end at {end}, the file at {len(data)}; {AGAIN}")
    said = int(head["crc"][0])
    head["crc"] = 0
    found = zlib.crc32(head.tobytes() + data[HEADER.itemsize:end])
    if found != said:
        raise FormatError(f"{where}: header and section table at offset 0: checksum is "
                          f"{found:08x}, the header says {said:08x}; {AGAIN}")
    entries = np.frombuffer(data, ENTRY, count, HEADER.itemsize)
    numbers = [int(entry["section"]) for entry in entries]
    if numbers not in (list(Section), [s for s in Section if s != Section.LAYERS]):
        raise FormatError(f"{where}: section table at offset {HEADER.itemsize}: sections "
                          f"{numbers} are not those of format {FORMAT}; {AGAIN}")
    return {Section(n): entry for n, entry in zip(numbers, entries, strict=True)}


def _body(data: bytes, entry: np.void, section: Section, where: str) -> bytes:
    start, size = int(entry["offset"]), int(entry["bytes"])
    place = f"{where}: {section.title} at offset {start}"
    if start + size > len(data):
        raise FormatError(f"{place}: ends at {start + size}, the file at {len(data)}; {AGAIN}")
    body = data[start:start + size]
    if zlib.crc32(body) != int(entry["crc"]):
        raise FormatError(f"{place}: checksum is {zlib.crc32(body):08x}, the section table says "
                          f"{int(entry['crc']):08x}; {AGAIN}")
    return body


def _no_gaps(data: bytes, table: dict[Section, np.void], where: str) -> None:
    """Every byte belongs to a section or is a zero in front of an aligned one."""
    at = HEADER.itemsize + len(table) * ENTRY.itemsize
    for section, entry in table.items():
        start = int(entry["offset"])
        if start != -(-at // ALIGN) * ALIGN:
            raise FormatError(f"{where}: {section.title} at offset {start}: must begin at "
                              f"{-(-at // ALIGN) * ALIGN}; {AGAIN}")
        if any(data[at:start]):
            raise FormatError(f"{where}: {section.title} at offset {start}: the padding from "
                              f"offset {at} on is not zero; {AGAIN}")
        at = start + int(entry["bytes"])
    if at != len(data):
        raise FormatError(f"{where}: {section.title} at offset {start}: is the last and ends at "
                          f"{at}, but {len(data) - at} bytes follow; {AGAIN}")


def _program(bodies: dict[Section, bytes], at: dict[Section, str]) -> Program:
    """The program; the layer table in `bodies` becomes what it is uncompressed."""
    config = sections.decode_config(bodies[Section.CONFIG], at[Section.CONFIG])
    instructions = _instructions(bodies[Section.INSTRUCTIONS], at[Section.INSTRUCTIONS])
    memory_bytes, tensors, inputs, outputs = sections.decode_descriptors(
        bodies[Section.DESCRIPTORS], at[Section.DESCRIPTORS])
    layers: list = []
    if Section.LAYERS in bodies:
        most = sections.most_layer_bytes(instructions, len(bodies[Section.STREAMS]))
        bodies[Section.LAYERS] = sections.inflate_layers(bodies[Section.LAYERS], most,
                                                         at[Section.LAYERS])
        tensors, positions, layers = sections.decode_layers(
            bodies[Section.LAYERS], tensors, len(instructions), most, at[Section.LAYERS])
        inputs, outputs = ([sections.moved(port, positions) for port in ports]
                           for ports in (inputs, outputs))
    return Program(config, instructions, bodies[Section.STREAMS], bodies[Section.TABLES],
                   tuple(tensors), tuple(inputs), tuple(outputs), tuple(layers), memory_bytes,
                   meta.from_plain(records.parse(bodies[Section.META], at[Section.META]),
                                   at[Section.META]))


def _instructions(data: bytes, where: str) -> tuple[isa.Instruction, ...]:
    if len(data) > MOST_INSTRUCTIONS * isa.SHORT_BYTES:
        raise FormatError(f"{where}: {len(data)} bytes are more than {MOST_INSTRUCTIONS} "
                          "instructions; recompile the network")
    try:
        return tuple(isa.decode(data))
    except FormatError as error:
        raise FormatError(f"{where}: {error}; recompile the network") from None


def _same(data: bytes, program: Program, bodies: dict[Section, bytes],
          table: dict[Section, np.void], where: str) -> None:
    """The file must be the bytes that `save` writes, the layer table inflated."""
    if program.config.hash != data[HASH]:
        raise FormatError(f"{where}: header at offset {HASH.start}: the configuration hash is not "
                          f"that of section config; {AGAIN}")
    made = _bodies(program, Section.LAYERS not in table)
    for section, body in bodies.items():
        if made.get(section) != body:
            at = 0 if section == Section.LAYERS else _differ(made[section], body)
            raise FormatError(f"{where}: {section.title} at offset "
                              f"{int(table[section]['offset']) + at}: not in the one form that "
                              "kcnn writes; recompile the network")
    front = _front(np.array(list(table.values()), ENTRY), program.config.hash)
    if not data.startswith(front):
        raise FormatError(f"{where}: header at offset 0: not in the one form that kcnn writes; "
                          "recompile the network")


def _differ(one: bytes, other: bytes) -> int:
    """The first byte that differs."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file as a whole or not at all."""
    target = Path(path)
    try:
        with scratch.folder(target.parent) as folder:
            (folder / target.name).write_bytes(data)
            os.replace(folder / target.name, target)
    except OSError as error:
        raise KcnnError(f"{target}: cannot be written ({error.strerror}); "
                        "choose another place") from None


def write(path: str | os.PathLike[str], program: Program, strip: bool = False) -> None:
    """Save a program as a file, atomically."""
    write_bytes(path, save(program, strip))


def _contents(file: IO[bytes]) -> bytes:
    """The bytes of a file, a few too many of one that is too large; only the first ones of what is
    no .kbin file. Takes room for what there is, not for what there could be."""
    parts = [file.read(HEADER.itemsize)]
    size = len(parts[0]) if parts[0].startswith(MAGIC) else MOST_BYTES + 1
    while size <= MOST_BYTES and (part := file.read(CHUNK)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def read(path: str | os.PathLike[str]) -> Program:
    """Load a program from a file."""
    try:
        with open(path, "rb") as file:
            data = _contents(file)
    except OSError as error:
        raise KcnnError(f"{path}: cannot be read ({error.strerror}); "
                        "give the path of a .kbin file") from None
    if len(data) > MOST_BYTES:
        raise FormatError(f"{path}: has more than {MOST_BYTES} bytes, the most that is read; "
                          "compile with --strip")
    return load(data, str(path))
