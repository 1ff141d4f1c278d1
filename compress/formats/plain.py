"""Dense codes; a bitmap of the non-zeros; compressed sparse rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arch.config import bits_for
from ..errors import CompressError
from .coded import Coded, Codes
from .sections import Section

Shape = tuple[int, int, int, int]
POINTER_BITS = 32


def encode_dense(coded: Coded) -> list[Section]:
    """Every code, zeros included, in the order of the weight (m, c, r, s)."""
    return [Section.of(coded.codes, coded.bits)]


def decode_dense(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_dense."""
    (codes,) = sections
    return exactly(codes.numbers.astype(np.uint8), shape)


def encode_bitmap(coded: Coded) -> list[Section]:
    """One bit a weight, then the codes of the non-zeros."""
    used = coded.codes != 0
    return [Section.of(used, 1), Section.of(coded.codes[used], coded.bits)]


def decode_bitmap(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_bitmap."""
    bitmap, codes = sections
    used = exactly(bitmap.numbers, shape) != 0
    if used.sum() != len(codes.numbers):
        raise CompressError(f"a bitmap has {used.sum()} ones for {len(codes.numbers)} codes; the "
                            "file is damaged")
    out = np.zeros(shape, np.uint8)
    out[used] = codes.numbers
    return out


def encode_csr(coded: Coded) -> list[Section]:
    """Rows are output channels: 32-bit row pointers, column indices, codes of the non-zeros."""
    flat = coded.codes.reshape(coded.shape[0], -1)
    rows, columns = np.nonzero(flat)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(flat)))])
    return [Section.of(pointers, POINTER_BITS), Section.of(columns, bits_for(flat.shape[1])),
            Section.of(flat[rows, columns], coded.bits)]


def decode_csr(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_csr."""
    pointers, columns, codes = sections
    counts = np.diff(pointers.numbers.astype(np.int64))
    out = np.zeros((shape[0], int(np.prod(shape[1:]))), np.uint8)
    if (len(counts) != shape[0] or (counts < 0).any() or counts.sum() != len(columns.numbers)
            or len(columns.numbers) != len(codes.numbers)
            or columns.numbers.max(initial=0) >= max(out.shape[1], 1)):
        raise CompressError("row pointers and entries do not belong together; the file is damaged")
    out[np.repeat(np.arange(len(counts)), counts), columns.numbers] = codes.numbers
    return out.reshape(shape)


def exactly(array: np.ndarray, shape: Shape) -> np.ndarray:
    """The array in a shape. Raises CompressError when it has more or fewer elements."""
    if array.size != np.prod(shape):
        raise CompressError(f"{array.size} weights are stored for the shape {shape}; the file is "
                            "damaged")
    return array.reshape(shape)
