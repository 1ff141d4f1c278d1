"""The machine's own tap streams, as arch/stream.py defines them, made for whole layers at once.

A layer is one stream: for every output channel its scale and bias (zero here), then a cluster for
every magnitude, with the magnitude's rank as factor, then END. A position is (entry << kernel bits)
| offset; kernels of more than 32 weights are cut in blocks that have entries of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...arch import stream
from ...arch.errors import FormatError
from ..errors import CompressError
from .coded import Coded, Codes
from .plain import Shape
from .sections import Section

OFFSETS = 32
Ints = NDArray[np.int64]


def encode(coded: Coded) -> list[Section]:
    """One section: the bytes of the stream, padding included."""
    rank, negative = ranks(coded)
    flat = coded.codes.reshape(coded.shape[0], -1)
    channel, at = np.nonzero(flat)
    code = flat[channel, at]
    position = positions(coded.shape)[at]
    order = np.lexsort((position, rank[code], channel))
    data = _bytes(channel[order], rank[code][order], position[order], negative[code][order],
                  coded.shape[0])
    padding = -(len(data) + stream.SLACK) % stream.UNIT + stream.SLACK
    return [Section.of(np.append(data, np.zeros(padding, np.uint8)), 8)]


def decode(sections: Sequence[Section], coded: Coded) -> Codes:
    """Inverse of encode; `coded` gives shape and table, its codes are not read."""
    (section,) = sections
    data = section.numbers.astype(np.uint8).tobytes()
    try:
        channels, _ = stream.decode_stream(data, coded.shape[0], "tap stream")
    except FormatError as error:
        raise CompressError(str(error)) from None
    rank, negative = ranks(coded)
    code_of = {(int(rank[c]), bool(negative[c])): c for c in range(1, len(rank))}
    place = {int(p): i for i, p in enumerate(positions(coded.shape))}
    out = np.zeros((coded.shape[0], int(np.prod(coded.shape[1:]))), np.uint8)
    try:
        for row, channel in zip(out, channels, strict=True):
            for cluster in channel.clusters:
                at = [place[p] for p in cluster.positions.tolist()]
                row[at] = [code_of[cluster.factor, n] for n in cluster.negative.tolist()]
    except KeyError as error:
        raise CompressError(f"the tap stream holds {error}, which the layer does not have; the "
                            "file is damaged") from None
    return out.reshape(coded.shape)


def ranks(coded: Coded) -> tuple[Ints, NDArray[np.bool_]]:
    """Of every code the rank of its magnitude, from 1 on, and whether its value is negative."""
    table = coded.table()
    size = np.abs(table)
    rank = np.searchsorted(np.unique(size[1:]), size) + 1
    return np.where(np.arange(len(table)) > 0, rank, 0), table < 0


def positions(shape: Shape) -> Ints:
    """Position of every weight (c, r, s) of a channel, flat."""
    _, depth, height, width = shape
    rows, columns = _block(height, width)
    r, s = np.divmod(np.arange(height * width), width)
    blocks = -(-width // columns)
    block = r // rows * blocks + s // columns
    offset = r % rows * columns + s % columns
    bits = (min(rows, height) * columns - 1).bit_length()
    entry = np.arange(depth)[:, None] * (-(-height // rows) * blocks) + block
    return ((entry << bits) | offset).ravel().astype(np.int64)


def _block(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a block of at most OFFSETS weights: fewest blocks, then smallest."""
    sizes = [(rows, columns) for rows in range(1, height + 1) for columns in range(1, width + 1)
             if rows * columns <= OFFSETS]
    return min(sizes, key=lambda size: (-(-height // size[0]) * -(-width // size[1]),
                                        size[0] * size[1]))


def _bytes(channel: Ints, rank: Ints, position: Ints, negative: NDArray[np.bool_], channels: int
           ) -> NDArray[np.uint8]:
    """The stream of taps ordered by channel, rank and position.

    Every tap has a piece: what precedes it (ends and heads of channels, a cluster's header,
    LONGs) and its own byte; the ends and heads that follow the last tap are a piece too.
    """
    opens = (np.diff(channel, prepend=-1) != 0) | (np.diff(rank, prepend=0) != 0)
    before = np.where(opens, -1, np.concatenate([[0], position])[:len(channel)])
    full, rest = np.divmod(position - before - 1, stream.LONG_MAX)
    partial = rest >= stream.TAP_GAPS
    ends = np.diff(np.concatenate([channel, [channels - 1]]), prepend=-1)
    length = np.append(2 * opens + full + partial + 1, 0) + _framing(ends)
    at = np.cumsum(length)
    out = np.zeros(int(at[-1]) + 1, np.uint8)
    _write_framing(out, at - length, ends)
    tap = at[:-1] - 1
    _write_taps(out, tap, full, rest, partial, negative)
    header = (tap - partial - full - 2)[opens]
    out[header] = stream.HEADER | rank[opens] >> 8
    out[header + 1] = rank[opens] & 255
    out[-1] = stream.END
    return out


def _write_taps(out: NDArray[np.uint8], tap: Ints, full: Ints, rest: Ints,
                partial: NDArray[np.bool_], negative: NDArray[np.bool_]) -> None:
    """The bytes of taps, at `tap`, and their LONGs: `full` of the longest, and a partial one."""
    step = np.where(partial, rest // stream.LONG_STEP, 0)
    out[tap] = rest - step * stream.LONG_STEP + stream.NEGATIVE * negative
    out[np.repeat(tap - partial - full, full) + _within(full)] = stream.LONG_LAST
    out[tap[partial] - 1] = stream.LONG + step[partial] - 1


def _framing(ends: Ints) -> Ints:
    """Bytes of channel ends and heads before every piece; the very first has no END before it."""
    size = ends * (stream.CHANNEL_HEAD + 1)
    size[0] -= 1
    return size


def _write_framing(out: NDArray[np.uint8], start: Ints, ends: Ints) -> None:
    """END bytes; heads are zeros. A piece that opens n channels has n heads, each behind an END."""
    pieces = np.repeat(np.arange(len(ends)), ends)
    nth = _within(ends)
    at = start[pieces] + nth * (stream.CHANNEL_HEAD + 1) - (pieces == 0)
    out[at[at >= 0]] = stream.END


def _within(counts: Ints) -> Ints:
    """0, 1, ... count - 1 for every count."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
