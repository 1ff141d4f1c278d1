"""The tap stream: the bytes that a compressed network's weights are stored as.

A RUN reads one stream: the records of its output channels, one after the other.

    channel  = scale (2 bytes, little-endian) bias (4 bytes) cluster* END
    cluster  = HEADER factor-low-byte tap+
    tap      = LONG* TAP

    byte           meaning
    0x00..0x6F     TAP, positive: position += byte + 1
    0x80..0xEF     TAP, negative: position += (byte - 0x80) + 1
    0x70..0x7F     HEADER: a cluster begins, position = -1; the low 4 bits and the next byte are the
                   factor, 12 bits two's complement
    0xF0..0xFB     LONG: position += 64 * ((byte & 15) + 1)
    0xFC..0xFE     reserved (0xFC is kept for digit clusters)
    0xFF           END of the channel

A position is (base entry << kernel_bits) | kernel offset entry. Within a cluster positions ascend.
Streams start on a unit of 16 bytes; 4 (SLACK) to 32 zero bytes follow the last END.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError

Ints = NDArray[np.int64]

HEADER = 0x70
NEGATIVE = 0x80
LONG = 0xF0
LONG_LAST = 0xFB
END = 0xFF
TAP_GAPS = 0x70          # gaps that a TAP byte can hold: 0..111
LONG_STEP = 64
LONG_MAX = LONG_STEP * (LONG_LAST - LONG + 1)
SLACK = 4
UNIT = 16
CHANNEL_HEAD = 6
FACTOR_BITS = 12


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Taps of one magnitude in one channel: their factor, and where they are.

    positions: ascending, int64; negative: bool, one a tap (the value is negated).
    """

    factor: int
    positions: NDArray[np.int64]
    negative: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class ChannelStream:
    """One output channel: m_k, bias_k and the clusters."""

    scale: int
    bias: int
    clusters: tuple[Cluster, ...]

    @property
    def taps(self) -> int:
        return sum(len(cluster.positions) for cluster in self.clusters)


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """Channels as columns: the clusters of channel k are channel_clusters[k] to [k + 1], the taps
    of cluster r are cluster_taps[r] to [r + 1]."""

    scales: Ints
    biases: Ints
    channel_clusters: Ints
    factors: Ints
    cluster_taps: Ints
    positions: Ints
    negative: NDArray[np.bool_]

    @classmethod
    def of(cls, channels: Sequence[ChannelStream]) -> Records:
        """The same channels."""
        clusters = [cluster for channel in channels for cluster in channel.clusters]
        for cluster in clusters:
            if len(cluster.positions) != len(cluster.negative):
                raise ValueError("a cluster needs a sign for each position")
        def column(numbers: Iterable[int]) -> Ints:
            return np.array(list(numbers), np.int64)

        return cls(
            column(channel.scale for channel in channels),
            column(channel.bias for channel in channels),
            column(accumulate((len(channel.clusters) for channel in channels), initial=0)),
            column(cluster.factor for cluster in clusters),
            column(accumulate((len(cluster.positions) for cluster in clusters), initial=0)),
            np.concatenate([np.zeros(0, np.int64), *(c.positions for c in clusters)]),
            np.concatenate([np.zeros(0, bool), *(c.negative for c in clusters)]))


def encode_cluster(cluster: Cluster) -> bytes:
    """Bytes of a cluster, header included."""
    return encode_channel(ChannelStream(0, 0, (cluster,)))[CHANNEL_HEAD:-1]


def encode_channel(channel: ChannelStream) -> bytes:
    """Bytes of a channel's record, END included."""
    return encode_records(Records.of([channel]))


def encode_stream(channels: Sequence[ChannelStream]) -> bytes:
    """Bytes of a RUN's stream, padded to whole units with at least SLACK zero bytes."""
    return padded(encode_records(Records.of(channels)))


def padded(data: bytes) -> bytes:
    """Records as a stream: whole units, with at least SLACK zero bytes behind the last END."""
    return data + bytes(-(len(data) + SLACK) % UNIT + SLACK)


def encode_records(records: Records) -> bytes:
    """Bytes of all channels' records."""
    taps, clusters = np.diff(records.cluster_taps), np.diff(records.channel_clusters)
    gaps = _gaps(records)
    farther, rest = np.divmod(gaps, LONG_MAX)
    long = rest >= TAP_GAPS
    ends = np.cumsum(farther + long + 1)
    # bytes before each cluster, and before each channel, those of taps left out
    of_taps = np.append(0, ends)[records.cluster_taps]
    heads = CHANNEL_HEAD * (1 + np.arange(len(clusters))) + np.arange(len(clusters))
    cluster_at = of_taps[:-1] + 2 * np.arange(len(taps)) + np.repeat(heads, clusters)
    channel_end = (of_taps[records.channel_clusters[1:]] + 2 * records.channel_clusters[1:] + heads)
    out = np.full(int(channel_end[-1]) + 1 if len(channel_end) else 0, LONG_LAST, np.uint8)
    out[channel_end] = END
    _write(out, np.append(0, channel_end + 1)[:-1], 2, records.scales)
    _write(out, np.append(0, channel_end + 1)[:-1] + 2, 4, records.biases)
    factors = records.factors & ((1 << FACTOR_BITS) - 1)
    out[cluster_at], out[cluster_at + 1] = HEADER | factors >> 8, factors & 255
    tap_at = ends + np.repeat(cluster_at + 1 - of_taps[:-1], taps)
    out[tap_at] = np.where(long, rest % LONG_STEP, rest) | np.where(records.negative, NEGATIVE, 0)
    out[tap_at[long] - 1] = LONG + rest[long] // LONG_STEP - 1
    return out.tobytes()


def most_bytes(taps: Ints, clusters: Ints, span: int) -> Ints:
    """Bytes that the records of channels of so many taps and clusters have at most, where positions
    stay below `span`: a gap of TAP_GAPS takes a LONG, and one of LONG_MAX another."""
    longs = span // TAP_GAPS + span // LONG_MAX
    return CHANNEL_HEAD + 1 + taps + clusters * (2 + longs)


def _gaps(records: Records) -> Ints:
    """Positions between each tap and the one before it in its cluster."""
    before = np.append(-1, records.positions[:-1])
    starts = records.cluster_taps[:-1]
    before[starts[starts < len(before)]] = -1
    gaps = records.positions - before[:len(records.positions)] - 1
    if (gaps < 0).any():
        raise ValueError("positions of a cluster must ascend")
    return gaps


def _write(out: NDArray[np.uint8], at: Ints, count: int, values: Ints) -> None:
    """Values as `count` bytes each, little-endian."""
    for byte in range(count):
        out[at + byte] = values >> 8 * byte & 255


def decode_stream(data: bytes, channels: int, where: str = "stream", start: int = 0
                  ) -> tuple[list[ChannelStream], int]:
    """The records of `channels` channels from byte `start` on, and the byte behind the last one.

    Raises FormatError with the byte offset for anything that the grammar above does not allow.
    """
    found = []
    at = start
    for _ in range(channels):
        channel, at = _decode_channel(data, at, where)
        found.append(channel)
    return found, at


def _byte(data: bytes, at: int, where: str) -> int:
    if at >= len(data):
        raise FormatError(f"{where}: ends at byte {at} inside a channel; recompile the network")
    return data[at]


def _decode_channel(data: bytes, at: int, where: str) -> tuple[ChannelStream, int]:
    _byte(data, at + CHANNEL_HEAD, where)
    scale = int.from_bytes(data[at:at + 2], "little")
    bias = int.from_bytes(data[at + 2:at + CHANNEL_HEAD], "little", signed=True)
    at += CHANNEL_HEAD
    clusters = []
    while _byte(data, at, where) != END:
        cluster, at = _decode_cluster(data, at, where)
        clusters.append(cluster)
    return ChannelStream(scale, bias, tuple(clusters)), at + 1


def _decode_cluster(data: bytes, at: int, where: str) -> tuple[Cluster, int]:
    start = at
    if _byte(data, at, where) & 0xF0 != HEADER:
        raise FormatError(f"{where}: byte {at} is 0x{data[at]:02x}, a cluster header was expected")
    factor = (data[at] & 15) << 8 | _byte(data, at + 1, where)
    factor -= (factor >> (FACTOR_BITS - 1)) << FACTOR_BITS
    taps, at = _decode_taps(data, at + 2, where)
    if not taps:
        raise FormatError(f"{where}: the cluster at byte {start} has no tap")
    positions, negative = zip(*taps, strict=True)
    return Cluster(factor, np.array(positions, np.int64), np.array(negative, bool)), at


def _decode_taps(data: bytes, at: int, where: str) -> tuple[list[tuple[int, bool]], int]:
    """Position and sign of each tap up to a HEADER or an END, and where that is."""
    taps = []
    position = -1
    while True:
        byte = _byte(data, at, where)
        if LONG <= byte <= LONG_LAST:
            position += LONG_STEP * (byte - LONG + 1)
            following = _byte(data, at + 1, where)
            if following & 0x7F >= HEADER and not LONG <= following <= LONG_LAST:
                raise FormatError(f"{where}: byte {at + 1} follows a LONG but is no tap")
        elif byte & 0x7F < TAP_GAPS:
            position += (byte & 0x7F) + 1
            taps.append((position, byte >= NEGATIVE))
        elif LONG_LAST < byte < END:
            raise FormatError(f"{where}: byte {at} is 0x{byte:02x}, which is reserved")
        else:
            return taps, at
        at += 1
