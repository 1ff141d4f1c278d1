"""One layer in one file: a head that says what the codes mean, then the sections of a format.

    byte 0     number of the format         byte 1  number of the entropy coder
    byte 2     bits of a code               byte 3  1 if codes are 8-bit integers, 0 if a table
                                                    follows
    4 x u32    shape                        u32     number of scales
    f32 each   values of the codes 1, 2, ... (if a table), scales
    u8         number of sections; of each: u8 bits, u32 numbers, u32 bytes, the bytes

Numbers are little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import entropy
from ..errors import CompressError
from . import FORMATS
from .coded import CODE_BITS, Coded
from .sections import Section

_HEAD = struct.Struct("<4B5I")
_SECTION = struct.Struct("<B2I")
_FORMATS, _CODERS = tuple(FORMATS), entropy.METHODS
WEIGHTS_MAX = 1 << 27


def write(coded: Coded, name: str, coder: str = "none") -> bytes:
    """The file of a layer in one of FORMATS and one of entropy.METHODS."""
    sections = FORMATS[name].encode(coded)
    out = [_head(coded, name, coder), bytes([len(sections)])]
    for section in sections:
        data = entropy.code(section, coder)
        out += [_SECTION.pack(section.bits, len(section.numbers), len(data)), data]
    return b"".join(out)


def sizes(coded: Coded, name: str, coders: Sequence[str] = entropy.METHODS) -> dict[str, int]:
    """Bytes of the file by coder; and as "entropy" what an ideal coder of numbers would need."""
    sections = FORMATS[name].encode(coded)
    frame = len(_head(coded, name, "none")) + 1 + _SECTION.size * len(sections)
    found = {coder: frame + sum(section.size if coder == "none" else
                                len(entropy.code(section, coder)) for section in sections)
             for coder in coders}
    found["entropy"] = frame + math.ceil(sum(map(entropy.entropy, sections)))
    return found


def _head(coded: Coded, name: str, coder: str) -> bytes:
    out = [_HEAD.pack(_FORMATS.index(name), _CODERS.index(coder), coded.bits,
                      coded.values is None, *coded.shape, len(coded.scale))]
    if coded.values is not None:
        out.append(struct.pack("<I", len(coded.values)))
        out.append(coded.values.astype("<f4").tobytes())
    out.append(coded.scale.astype("<f4").tobytes())
    return b"".join(out)


def read(data: bytes) -> Coded:
    """Inverse of `write`. Raises CompressError for damaged files."""
    reader = _Reader(data)
    form, coder, bits, integers, *shape, scales = reader.take(_HEAD)
    if form >= len(_FORMATS) or coder >= len(_CODERS) or not 1 <= bits <= CODE_BITS:
        raise CompressError("the file begins with no format of kcnn; it is damaged or foreign")
    if np.prod(shape, dtype=np.float64) > WEIGHTS_MAX:
        raise CompressError(f"a layer of the shape {tuple(shape)} is too large; the file is "
                            "damaged")
    values = None if integers else reader.floats(reader.take(struct.Struct("<I"))[0])
    scale = reader.floats(scales)
    (count,) = reader.take(struct.Struct("<B"))
    sections = [reader.section(_CODERS[coder]) for _ in range(count)]
    reader.finish()
    empty = Coded(np.zeros(shape, np.uint8), bits, values, scale)
    try:
        codes = FORMATS[_FORMATS[form]].decode(sections, empty)
    except ValueError as error:
        raise CompressError(f"the sections are not those of the format ({error}); the file is "
                            "damaged") from None
    if codes.size and int(codes.max()) >= len(empty.table()):
        raise CompressError(f"code {codes.max()} has no value; the file is damaged")
    return Coded(codes, bits, values, scale)


class _Reader:
    """Bytes taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise CompressError(f"the file ends at byte {len(self.data)}, inside a part of "
                                f"{count} bytes at {self.at}; it is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.bytes(form.size))

    def floats(self, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(4 * count), "<f4").astype(np.float32)

    def section(self, coder: str) -> Section:
        bits, count, size = self.take(_SECTION)
        return entropy.decode(self.bytes(size), count, bits, coder)

    def finish(self) -> None:
        if self.at != len(self.data):
            raise CompressError(f"{len(self.data) - self.at} bytes follow the last section; the "
                                "file is damaged")
