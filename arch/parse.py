"""A whole tap stream at once: its channels, clusters and taps, and the items that the parser fires.

The meaning of the bytes is in arch/stream.py; this form is vectorised, since a network has
millions of taps.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError
from .keys import occurring
from .stream import (
    CHANNEL_HEAD,
    END,
    FACTOR_BITS,
    HEADER,
    LONG,
    LONG_LAST,
    LONG_STEP,
    NEGATIVE,
    TAP_GAPS,
)

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Kinds = NDArray[np.int8]

# kinds of tokens; an item takes at most one of each of the first three, in this order
_HEADER, _LONG, _TAP, _END = range(4)
SCALE_BYTES = 2
# how far a byte that is a TAP or LONG moves the position; a HEADER or END does not
_BYTE = np.arange(256)
_STEPS = np.where(_BYTE % NEGATIVE < TAP_GAPS, _BYTE % NEGATIVE + 1, np.where(
    (LONG <= _BYTE) & (_BYTE <= LONG_LAST), LONG_STEP * (_BYTE % 16 + 1), 0)).astype(np.int16)


@dataclasses.dataclass(frozen=True, eq=False)
class Parsed:
    """A stream of K channels, R clusters, T taps and I items."""

    scale: Ints           # (K,)
    bias: Ints            # (K,)
    channel_clusters: Ints    # (K + 1,) offsets
    factor: Ints          # (R,)
    cluster_taps: Ints        # (R + 1,) offsets
    position: Ints        # (T,)
    negative: Ints        # (T,) 0 or 1
    channel_items: Ints   # (K + 1,) offsets
    offsets: Ints         # (I,) first byte of each item
    ends: Ints            # (I,) byte behind each item

    @functools.cached_property
    def read(self) -> tuple[Ints, Ints]:
        """The positions that taps have, ascending, and which of them each tap has: (T,)."""
        return occurring(self.position)

    @functools.cached_property
    def weights(self) -> NDArray[np.float64]:
        """What each of these positions counts in every channel: (K, positions)."""
        return self.weights_of(slice(0, len(self.scale)))

    def weights_of(self, channels: slice) -> NDArray[np.float64]:
        """Those of some channels."""
        keys, which = self.read
        bounds = self.channel_clusters[channels.start:channels.stop + 1]
        clusters, taps = slice(bounds[0], bounds[-1]), self.cluster_taps[bounds]
        rows = len(bounds) - 1
        sizes = np.diff(self.cluster_taps[bounds[0]:bounds[-1] + 1])
        signs = 1.0 - 2.0 * self.negative[taps[0]:taps[-1]]
        factor = np.repeat(self.factor[clusters], sizes) * signs
        row = np.repeat(np.arange(rows), np.diff(taps))
        cells = row * len(keys) + which[taps[0]:taps[-1]]
        found = np.bincount(cells, factor, rows * len(keys)).astype(np.float64, copy=False)
        return found.reshape(rows, len(keys))


def parse(data: NDArray[np.uint8], channels: int, where: str) -> Parsed:
    """Take apart the stream of a RUN; FormatError if it is none."""
    heads, ends = _bounds(data.tobytes(), channels, where)
    return _parsed(data[:ends[-1] + 1], heads, ends, where)


def _parsed(data: Bytes, heads: Ints, ends: Ints, where: str) -> Parsed:
    token, kind = _tokens(data, heads, where)
    headers = token[kind == _HEADER]
    factor = (data[headers] & 15).astype(np.int64) << 8 | data[headers + 1]
    factor -= (factor >> (FACTOR_BITS - 1)) << FACTOR_BITS
    position, negative, cluster_taps = _taps(data, token, kind, where)
    offsets = _items(token, kind, heads)
    return Parsed(
        scale=data[heads] | data[heads + 1].astype(np.int64) << 8,
        bias=_little(data, heads + SCALE_BYTES, CHANNEL_HEAD - SCALE_BYTES),
        channel_clusters=np.concatenate([[0], np.searchsorted(headers, ends)]),
        factor=factor, cluster_taps=cluster_taps, position=position, negative=negative,
        channel_items=np.append(np.searchsorted(offsets, heads), len(offsets)),
        offsets=offsets, ends=np.append(offsets[1:], len(data)))


def _bounds(data: bytes, channels: int, where: str) -> tuple[Ints, Ints]:
    """First byte and END byte of every channel."""
    heads, ends, at = [], [], 0
    for _ in range(channels):
        end = data.find(END, at + CHANNEL_HEAD)
        while end >= 0 and _is_factor(data, end, at + CHANNEL_HEAD):
            end = data.find(END, end + 1)
        if end < 0:
            raise FormatError(f"{where}: ends inside the channel at byte {at}; "
                              "recompile the network")
        heads.append(at)
        ends.append(end)
        at = end + 1
    return np.array(heads, np.int64), np.array(ends, np.int64)


def _is_factor(data: bytes, at: int, first: int) -> bool:
    """Whether byte `at` is a header's second byte: an odd number of header bytes is before it."""
    start = at
    while start > first and data[start - 1] & 0xF0 == HEADER:
        start -= 1
    return bool((at - start) & 1)


def _tokens(data: Bytes, heads: Ints, where: str) -> tuple[Ints, Kinds]:
    """Byte offset and kind of every token outside the channel heads."""
    body = np.ones(len(data), bool)
    body[(heads[:, None] + np.arange(CHANNEL_HEAD)).ravel()] = False
    like = body & (data & 0xF0 == HEADER)
    index = np.arange(len(data))
    start = like & ~np.concatenate([[False], like[:-1]])
    group = np.maximum.accumulate(np.where(start, index, 0))
    header = like & ((index - group) % 2 == 0)
    token = np.flatnonzero(body & ~np.concatenate([[False], header[:-1]]))
    byte = data[token]
    kind = np.full(len(token), _TAP, np.int8)
    kind[byte & 0xF0 == HEADER] = _HEADER
    kind[byte >= LONG] = _LONG
    kind[byte == END] = _END
    bad = (kind == _LONG) & (byte > LONG_LAST)
    if bad.any():
        raise FormatError(f"{where}: byte {token[bad][0]} is reserved; recompile the network")
    bad[:-1] = (kind[:-1] == _LONG) & (kind[1:] != _LONG) & (kind[1:] != _TAP)
    if bad.any():
        raise FormatError(f"{where}: no tap follows the LONG at byte {token[bad][0]}; "
                          "recompile the network")
    return token, kind


def _taps(data: Bytes, token: Ints, kind: Kinds, where: str) -> tuple[Ints, Ints, Ints]:
    """Position and sign of every tap, and the offsets of the clusters' taps."""
    byte, is_header = data[token], kind == _HEADER
    reached = np.cumsum(_STEPS[byte], dtype=np.int64)
    header, tap = np.flatnonzero(is_header), np.flatnonzero(kind == _TAP)
    cluster = np.cumsum(is_header)[tap] - 1
    sizes = np.bincount(cluster[cluster >= 0], minlength=len(header))
    first = np.concatenate([[True], kind[:-1] == _END])
    if (sizes == 0).any() or (first & (kind != _HEADER) & (kind != _END)).any():
        raise FormatError(f"{where}: has a cluster without taps or a tap outside a cluster; "
                          "recompile the network")
    start = reached[header][cluster] if len(header) else np.zeros(0, np.int64)
    return (reached[tap] - start - 1, (byte[tap] >= NEGATIVE).astype(np.int64),
            np.concatenate([[0], np.cumsum(sizes)]))


def _items(token: Ints, kind: Kinds, heads: Ints) -> Ints:
    """First byte of every item, channel heads included."""
    before = np.concatenate([[_END], kind[:-1]])
    fresh = (kind <= before) | (kind == _END)
    return np.sort(np.concatenate([token[fresh], heads, heads + SCALE_BYTES]))


def _little(data: Bytes, at: Ints, size: int) -> Ints:
    """Signed little-endian integers of `size` bytes."""
    value = sum((data[at + i].astype(np.int64) << (8 * i) for i in range(size)),
                start=np.zeros(len(at), np.int64))
    return value - ((value >> (8 * size - 1)) << (8 * size))
