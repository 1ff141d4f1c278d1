"""The reference page of the instruction set, docs/isa.md, generated from `isa.py`.

`python -m kcnn.arch.pages` rewrites it, in a checkout; a test compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path

from . import isa, stream

PAGE = Path(__file__).resolve().parent.parent / "docs" / "isa.md"

HEAD = """\
# The instruction set

*Generated from `arch/isa.py` and `arch/stream.py` by `python -m kcnn.arch.pages`; do not edit.*

Instructions are {short} bytes long, RUN {long}. Bit 0 is the lowest bit of byte 0 (little-endian).
Bits that no field names are zero, and so are reserved fields, which machines to come will use; both
are checked. External addresses count units of {unit} bytes. What the machine does clock by clock is
told in [machine.md](machine.md)."""

MODES = {
    isa.Mode: "What a RUN's drain writes (`mode`)",
    isa.Table: "What a TABLE writes (`kind`)",
}

EXAMPLES: dict[isa.Op, isa.Instruction] = {
    isa.Op.END: isa.End(),
    isa.Op.LOAD: isa.Load(address=0x28, row=1, rows=16, push_next=1),
    isa.Op.STORE: isa.Store(address=0x2c, row=17, rows=4, pop_prev=1),
    isa.Op.TABLE: isa.TableLoad(kind=isa.Table.CLUSTER, bank=0, first=0, count=16, address=0x24),
    isa.Op.FILL: isa.Fill(row=17, rows=4, code=0, pop_prev=1),
    isa.Op.RUN: isa.Run(
        stream=0x10, stream_units=4, channels=2, mode=isa.Mode.CODE, shift=3, digits=1,
        radix_width=0, order=0, kernel_bits=3, base_bank=0, offset_bank=0, cluster_bank=0,
        origin=0, pitch=9, image_rows=7, images=1, height=4, width=4, chunk_images=0,
        chunk_rows=0, chunk_columns=4, image_pitch=63, chunk_pitch=0, dst=136, dst_channel=16,
        dst_plane=0, dst_image=16, x_step=1, x_wrap=0, y_step=4, y_wrap=0, split=1, x_start=0,
        x_mod=0, y_start=0, y_mod=0, push_next=1),
}


def isa_page() -> str:
    """The text of docs/isa.md."""
    return "\n".join(_lines()) + "\n"


def write_isa_page() -> Path:
    """Write docs/isa.md of this checkout; returns its path."""
    PAGE.write_text(isa_page())
    return PAGE


def _lines() -> Iterator[str]:
    yield HEAD.format(short=isa.SHORT_BYTES, long=isa.LONG_BYTES, unit=isa.UNIT_BYTES)
    yield from ("", "## Opcodes", "")
    yield from table(("opcode", "name", "unit", "bytes", "action"), map(_opcode, isa.Op))
    yield from ("", "## First fields of every instruction", "")
    yield from _fields(isa.HEAD)
    for kind in isa.INSTRUCTIONS:
        yield from _instruction(kind)
    for enum, title in MODES.items():
        yield from ("", f"## {title}", "")
        yield from table(("value", "name", "meaning"), _members(enum))
    yield from ("", "## The tap stream", "", *_docstring(stream))


def _opcode(op: isa.Op) -> tuple[object, ...]:
    kind = isa.BY_OP.get(op)
    if kind is None:
        return int(op), op.name, "", "", "reserved for the FC engine"
    unit = isa.Unit(kind.UNIT).name.lower() if kind.UNIT is not None else "sequencer"
    return int(op), op.name, unit, kind.BYTES, _paragraphs(kind)[0]


def _instruction(kind: type[isa.Instruction]) -> Iterator[str]:
    yield from ("", f"## {kind.OP.name}")
    for paragraph in _paragraphs(kind):
        yield from ("", paragraph)
    if kind.FIELDS:
        yield ""
        yield from _fields(kind.FIELDS)
    example = EXAMPLES[kind.OP]
    word = example.encode()
    yield from ("", "Example, as text and as bytes in the order of their addresses:", "", "```")
    yield str(example)
    yield from (word[at:at + 16].hex(" ") for at in range(0, len(word), 16))
    yield "```"


def _fields(fields: Iterable[isa.Field]) -> Iterator[str]:
    return table(("bits", "field", "width", "meaning"), (
        (f"{f.hi - 1}..{f.lo}" if f.width > 1 else f.lo, f"`{f.name}`", f.width,
         f"reserved: {f.meaning}" if f.reserved else f.meaning) for f in fields))


def _members(enum: type[IntEnum]) -> Iterator[tuple[object, ...]]:
    """Value, name and meaning: the comment beside each member in the source."""
    lines = inspect.getsource(enum).splitlines()
    for member in enum:
        line = next(line for line in lines if line.strip().startswith(f"{member.name} = "))
        yield int(member), member.name, line.partition("#")[2].strip()


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _paragraphs(thing: object) -> list[str]:
    """Paragraphs of a docstring, each on one line."""
    text = inspect.getdoc(thing) or ""
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _docstring(module: object) -> Iterator[str]:
    """A module's docstring behind its first line; indented parts become one code block."""
    lines = (inspect.getdoc(module) or "").splitlines()[2:]
    code = [i for i, line in enumerate(lines) if line.startswith("    ")]
    yield from lines[:code[0]]
    yield from ("```", *(line[4:] for line in lines[code[0]:code[-1] + 1]), "```")
    yield from lines[code[-1] + 1:]


if __name__ == "__main__":
    print(write_isa_page())
