"""Positions of non-zeros as gaps of few bits, with fillers where a gap is too wide.

An entry consumes its gap of zeros and one position more. A gap beyond the greatest, 2^bits - 1, is
led by fillers: entries of code 0 with the greatest gap. So position = cumsum(gap + 1) - 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressError

Ints = NDArray[np.int64]


def spread(codes: NDArray[np.uint8], bits: int) -> tuple[NDArray[np.uint8], Ints]:
    """Entries of a flat sequence: their codes (0: filler) and gaps. Zeros at the end are left
    out."""
    at = np.flatnonzero(codes)
    gap = np.diff(at, prepend=-1) - 1
    step = 1 << bits
    fillers = gap // step
    entries = np.arange(len(at)) + np.cumsum(fillers)
    count = len(at) + int(fillers.sum())
    out = np.zeros(count, np.uint8)
    gaps = np.full(count, step - 1, np.int64)
    out[entries], gaps[entries] = codes[at], gap % step
    return out, gaps


def gather(codes: NDArray[np.uint8], gaps: Ints, size: int) -> NDArray[np.uint8]:
    """Inverse of `spread` for a sequence of `size`. Raises CompressError beyond its end."""
    at = np.cumsum(gaps + 1) - 1
    if len(at) and at[-1] >= size:
        raise CompressError(f"an entry lies at position {at[-1]} of {size}; the file is damaged")
    out = np.zeros(size, np.uint8)
    out[at] = codes
    return out


def spread_rows(codes: NDArray[np.uint8], bits: int) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """`spread` of each row (rows, size) by itself, and the entries of each row."""
    rows, size = codes.shape
    row, column = np.nonzero(codes)
    first = np.diff(row, prepend=-1) != 0
    before = np.where(first, -1, np.concatenate([[0], column[:-1]])[:len(column)])
    gap = column - before - 1
    step = 1 << bits
    fillers = gap // step
    entries = np.arange(len(row)) + np.cumsum(fillers)
    count = len(row) + int(fillers.sum())
    out = np.zeros(count, np.uint8)
    gaps = np.full(count, step - 1, np.int64)
    out[entries], gaps[entries] = codes[row, column], gap % step
    return out, gaps, np.bincount(row, fillers + 1, rows).astype(np.int64)


def gather_rows(codes: NDArray[np.uint8], gaps: Ints, counts: Ints, size: int
                ) -> NDArray[np.uint8]:
    """Inverse of `spread_rows`."""
    if counts.sum() != len(codes):
        raise CompressError(f"rows have {counts.sum()} entries, but {len(codes)} are stored; the "
                            "file is damaged")
    row = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(gaps + 1)
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    before = np.concatenate([[0], ends])[starts]
    at = ends - 1 - before[row]
    if len(at) and at.max() >= size:
        raise CompressError(f"an entry lies at position {at.max()} of {size}; the file is damaged")
    out = np.zeros((len(counts), size), np.uint8)
    out[row, at] = codes
    return out
