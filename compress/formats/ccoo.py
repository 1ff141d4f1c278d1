"""CCOO: one 16-bit word a non-zero weight, a coordinate inside the kernel or a gap.

    convolution       [15:8] code   [7:4] row   [3:0] column         rows up to 14, columns up to 15
    its kernel ends   [15:8] empty kernels that follow   [7:0] 0xF0
    fully connected   [15:8] code   [7:0] zeros since the word before; {0, 255} stands for 256 zeros

Kernels come in tiles of output channels: for every tile, input channel, channel of the tile. Words
of a kernel are in the order of rows. The decoder of a convolution needs no running sum and no
table: base(m, c) + {row, column} is the address. Kernel ends can be replaced by a side array of
words a kernel (`counts`), which is smaller when few kernels are empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressError
from .coded import Coded, Codes
from .gaps import gather, spread
from .plain import Shape
from .sections import Section

TILE = 16
END = 0xF0
ROWS, COLUMNS = 15, 16
GAP_BITS = 8
WORD_BITS = 16
Ints = NDArray[np.int64]


def is_fc(shape: Shape) -> bool:
    """Are the layer's kernels single weights, so that coordinates inside them say nothing?"""
    return shape[2:] == (1, 1)


def fits(coded: Coded) -> bool:
    """Can every coordinate be written?"""
    return coded.shape[2] <= ROWS and coded.shape[3] <= COLUMNS


def encode(coded: Coded) -> list[Section]:
    """One section of words."""
    if is_fc(coded.shape):
        return [Section.of(_fc_words(coded.codes), WORD_BITS)]
    words, counts = _conv_words(coded)
    return [Section.of(_with_ends(words, counts), WORD_BITS)]


def decode(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode."""
    (section,) = sections
    words = section.numbers.astype(np.int64)
    if is_fc(shape):
        return _fc_codes(words, shape)
    is_end = words & 0xFF == END
    steps = np.where(is_end, (words >> 8) + 1, 0)
    if steps.sum() != shape[0] * shape[1]:
        raise CompressError(f"{steps.sum()} kernels are stored, not {shape[0] * shape[1]}; the "
                            "file is damaged")
    kernel = np.cumsum(steps) - steps
    return _placed(words[~is_end], kernel[~is_end], shape)


def encode_counts(coded: Coded) -> list[Section]:
    """Words without kernel ends, and the side array; one section of words for an fc layer."""
    if is_fc(coded.shape):
        return encode(coded)
    words, counts = _conv_words(coded)
    width = int(coded.shape[2] * coded.shape[3]).bit_length()
    return [Section.of(words, WORD_BITS), Section.of(counts, width)]


def decode_counts(sections: Sequence[Section], shape: Shape, bits: int) -> Codes:
    """Inverse of encode_counts."""
    if is_fc(shape):
        return decode(sections, shape, bits)
    words, counts = (section.numbers.astype(np.int64) for section in sections)
    if counts.sum() != len(words) or len(counts) != shape[0] * shape[1]:
        raise CompressError("the side array does not add up to the words; the file is damaged")
    return _placed(words, np.repeat(np.arange(len(counts)), counts), shape)


# ---- convolutions --------------------------------------------------------------------------
def kernel_order(channels: int, depth: int) -> Ints:
    """Numbers m * depth + c of the kernels in the order of the stream."""
    m, c = np.divmod(np.arange(channels * depth), depth)
    return np.lexsort((m, c, m // TILE))


def _conv_words(coded: Coded) -> tuple[Ints, Ints]:
    """Words of all kernels in the order of the stream, and words a kernel."""
    if not fits(coded):
        raise CompressError(f"a kernel of {coded.shape[2]}x{coded.shape[3]} does not fit CCOO; "
                            f"{ROWS}x{COLUMNS} is the greatest")
    channels, depth, height, width = coded.shape
    order = kernel_order(channels, depth)
    kernels = coded.codes.reshape(-1, height, width)[order]
    kernel, row, column = np.nonzero(kernels)
    words = kernels[kernel, row, column].astype(np.int64) << 8 | row << 4 | column
    return words, np.bincount(kernel, minlength=len(kernels))


def _with_ends(words: Ints, counts: Ints) -> Ints:
    """Words and kernel ends: an end behind every kernel that has words or follows 256 empty ones.

    A leading empty kernel ends like one with words.
    """
    ends, skips = _ends(counts)
    starts = np.cumsum(counts)
    return np.insert(words, starts[ends], skips << 8 | END)


def _ends(counts: Ints) -> tuple[Ints, Ints]:
    """Kernels that an end stands behind, and how many empty kernels each end passes over."""
    used = np.flatnonzero(counts)
    heads = used if counts[0] else np.concatenate([[0], used])
    empty = np.diff(heads, append=len(counts)) - 1
    more = empty // 256
    ends = np.repeat(heads, more + 1)
    nth = np.arange(len(ends)) - np.repeat(np.cumsum(more + 1) - more - 1, more + 1)
    last = nth == np.repeat(more, more + 1)
    return ends + 256 * nth, np.where(last, np.repeat(empty % 256, more + 1), 255)


def _placed(words: Ints, kernel: Ints, shape: Shape) -> Codes:
    """Weights from the words without ends; kernel: number of each in the order of the stream."""
    channels, depth, height, width = shape
    row, column = words >> 4 & 15, words & 15
    if len(words) and (kernel.max() >= channels * depth or row.max() >= height
                       or column.max() >= width):
        raise CompressError("a weight lies outside its kernel; the file is damaged")
    out = np.zeros((channels * depth, height, width), np.uint8)
    out[kernel_order(channels, depth)[kernel], row, column] = words >> 8
    return out.reshape(shape)


# ---- fully connected -----------------------------------------------------------------------
def _fc_words(codes: Codes) -> Ints:
    """Column by column: all outputs of an input follow each other."""
    entries, gaps = spread(codes.reshape(codes.shape[0], -1).T.ravel(), GAP_BITS)
    return entries.astype(np.int64) << 8 | gaps


def _fc_codes(words: Ints, shape: Shape) -> Codes:
    flat = gather((words >> 8).astype(np.uint8), words & 0xFF, int(np.prod(shape)))
    return flat.reshape(shape[1], shape[0]).T.reshape(shape)
