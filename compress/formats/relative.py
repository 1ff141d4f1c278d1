"""Non-zeros as (code, gap): column by column for an engine of the kind of EIE, or in one sequence.

    csc       per lane and column (an input of the layer): codes, 4-bit gaps, and a pointer, the
              number of the lane's entries before the column
    release   the whole weight in the order (m, c, r, s): codes, 4-bit gaps, as Deep Compression's
              published files have it
    index     codes and gaps like these, or dense codes, whichever is smaller: index vectors beside
              a codebook
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressError
from .coded import Coded, Codes
from .gaps import gather, gather_rows, spread, spread_rows
from .plain import Shape, decode_dense, encode_dense
from .sections import Section

GAP_BITS = 4
COUNT_BITS = 32


def lanes_of(codes: Codes, lanes: int) -> Codes:
    """Rows of csc, (lanes * columns, rows a lane): matrix row i belongs to lane i mod `lanes`."""
    matrix = codes.reshape(codes.shape[0], -1)
    padded = np.pad(matrix, ((0, -len(matrix) % lanes), (0, 0)))
    return padded.reshape(-1, lanes, matrix.shape[1]).transpose(1, 2, 0).reshape(
        lanes * matrix.shape[1], -1)


def encode_csc(coded: Coded, lanes: int = 1) -> list[Section]:
    """Pointers (for each lane, 16 bits if they fit, else 32), codes, gaps."""
    codes, gaps, counts = spread_rows(lanes_of(coded.codes, lanes), GAP_BITS)
    pointers = np.pad(np.cumsum(counts.reshape(lanes, -1), 1), ((0, 0), (1, 0)))
    width = 16 if pointers.max() < 1 << 16 else 32
    return [Section.of(pointers, width), Section.of(codes, coded.bits),
            Section.of(gaps, GAP_BITS)]


def decode_csc(sections: Sequence[Section], shape: Shape, bits: int, lanes: int = 1) -> Codes:
    """Inverse of encode_csc."""
    pointers, codes, gaps = sections
    columns = int(np.prod(shape[1:]))
    if len(pointers.numbers) != lanes * (columns + 1):
        raise CompressError(f"{len(pointers.numbers)} column pointers are stored for {columns} "
                            f"columns of {lanes} lanes; the file is damaged")
    counts = np.diff(pointers.numbers.astype(np.int64).reshape(lanes, -1)).ravel()
    if (counts < 0).any() or len(codes.numbers) != len(gaps.numbers):
        raise CompressError("column pointers and entries do not belong together; the file is "
                            "damaged")
    rows = gather_rows(codes.numbers.astype(np.uint8), _signed(gaps), counts, -(-shape[0] // lanes))
    matrix = rows.reshape(lanes, columns, -1).transpose(2, 0, 1).reshape(-1, columns)
    return matrix[:shape[0]].reshape(shape)


def encode_release(coded: Coded) -> list[Section]:
    """Number of entries, codes (two 4-bit codes a byte, the low nibble first), gaps likewise."""
    codes, gaps = spread(coded.codes.ravel(), GAP_BITS)
    width = 4 if coded.bits <= 4 else 8
    return [Section.of(np.array([len(codes)]), COUNT_BITS), Section.of(codes, width),
            Section.of(gaps, GAP_BITS)]


def decode_release(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_release."""
    count, codes, gaps = sections
    if count.numbers.tolist() != [len(codes.numbers)] or len(gaps.numbers) != len(codes.numbers):
        raise CompressError("the number of entries is not that of codes and gaps; the file is "
                            "damaged")
    flat = gather(codes.numbers.astype(np.uint8), _signed(gaps), int(np.prod(shape)))
    return flat.reshape(shape)


def encode_index(coded: Coded) -> list[Section]:
    """Index vectors: pairs of code and 4-bit gap, or one section of dense codes if smaller."""
    codes, gaps = spread(coded.codes.ravel(), GAP_BITS)
    pairs = [Section.of(codes, coded.bits), Section.of(gaps, GAP_BITS)]
    dense = encode_dense(coded)
    return dense if dense[0].size <= sum(part.size for part in pairs) else pairs


def decode_index(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_index."""
    if len(sections) == 1:
        return decode_dense(sections, shape, bits)
    codes, gaps = sections
    if len(codes.numbers) != len(gaps.numbers):
        raise CompressError("codes and gaps differ in number; the file is damaged")
    return gather(codes.numbers.astype(np.uint8), _signed(gaps), int(np.prod(shape))
                  ).reshape(shape)


def _signed(gaps: Section) -> NDArray[np.int64]:
    return gaps.numbers.astype(np.int64)
