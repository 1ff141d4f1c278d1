"""Entropy coding of sections, by zlib and lzma of the standard library.

    none      packed bit by bit
    huffman   zlib without matches: one Huffman code for the numbers, as Deep Compression counts
    deflate   zlib with matches
    lzma      xz's coder, raw

Numbers of more than 8 bits are coded as planes of bytes, low bytes first, so that the parts of a
word have codes of their own. `entropy` is what no coder of single numbers can beat; huffman comes
within a few percent of it on every layer measured, so no further package is needed.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable

import numpy as np

from .errors import CompressError
from .formats.sections import Numbers, Section, unpack

_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 22, "pb": 0}]


def _zlib(data: bytes, strategy: int) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    return coder.compress(data) + coder.flush()


def _inflate(data: bytes) -> bytes:
    coder = zlib.decompressobj(-15)
    out = coder.decompress(data)
    if not coder.eof or coder.unused_data:
        raise CompressError("an entropy coded section ends too early or too late; the file is "
                            "damaged")
    return out


def _unxz(data: bytes) -> bytes:
    return lzma.decompress(data, lzma.FORMAT_RAW, filters=_LZMA)


CODERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "huffman": (lambda data: _zlib(data, zlib.Z_HUFFMAN_ONLY), _inflate),
    "deflate": (lambda data: _zlib(data, zlib.Z_DEFAULT_STRATEGY), _inflate),
    "lzma": (lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA), _unxz),
}
METHODS = ("none", *CODERS)


def code(section: Section, coder: str) -> bytes:
    """The bytes of a section by one of METHODS."""
    if coder == "none":
        return section.pack()
    return CODERS[coder][0](_planes(section.numbers, section.bits).tobytes())


def decode(data: bytes, count: int, bits: int, coder: str) -> Section:
    """Inverse of `code`. Raises CompressError for damaged data."""
    if coder == "none":
        return unpack(data, count, bits)
    try:
        loose = CODERS[coder][1](data)
    except (zlib.error, lzma.LZMAError) as error:
        raise CompressError(f"an entropy coded section cannot be read ({error}); the file is "
                            "damaged") from None
    planes = -(-bits // 8)
    if not 1 <= bits <= 32 or len(loose) != planes * count:
        raise CompressError(f"a section of {count} numbers of {bits} bits has {len(loose)} bytes; "
                            "the file is damaged")
    columns = np.frombuffer(loose, np.uint8).reshape(planes, count).astype(np.uint32)
    numbers = sum((column << (8 * i) for i, column in enumerate(columns)),
                  np.zeros(count, np.uint32))
    if count and int(numbers.max()) >> bits:
        raise CompressError(f"a number of {bits} bits is {numbers.max()}; the file is damaged")
    return Section(numbers.astype(np.uint32), bits)


def entropy(section: Section) -> float:
    """Bytes that an ideal coder of single numbers (of bytes beyond 8 bits) would need."""
    total = 0.0
    for plane in _planes(section.numbers, section.bits):
        counts = np.bincount(plane, minlength=1)
        counts = counts[counts > 0]
        total -= float((counts * np.log2(counts / max(len(plane), 1))).sum())
    return total / 8


def _planes(numbers: Numbers, bits: int) -> np.ndarray:
    shifts = 8 * np.arange(-(-bits // 8), dtype=np.uint32)
    return (numbers >> shifts[:, None] & 0xFF).astype(np.uint8)
