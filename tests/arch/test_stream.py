"""The tap stream: round trips, long gaps, and every byte that may not stand where it stands."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import stream
from kcnn.arch.errors import FormatError
from kcnn.arch.stream import ChannelStream, Cluster


def cluster(factor, *taps):
    """Taps as positions; ~position for a negative one."""
    positions = [t if t >= 0 else ~t for t in taps]
    return Cluster(factor, np.array(positions, np.int64), np.array([t < 0 for t in taps], bool))


def plain(channels):
    return [(c.scale, c.bias, [(r.factor, r.positions.tolist(), r.negative.tolist())
                               for r in c.clusters]) for c in channels]


@st.composite
def channels(draw):
    found = []
    for _ in range(draw(st.integers(0, 4))):
        steps = draw(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 5000)), min_size=1,
                              max_size=6))
        positions = np.cumsum(np.array(steps) + 1) - 1
        signs = draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))
        found.append(Cluster(draw(st.integers(-2048, 2047)), positions, np.array(signs, bool)))
    return ChannelStream(draw(st.integers(0, 65535)),
                         draw(st.integers(-(1 << 31), (1 << 31) - 1)), tuple(found))


@given(st.lists(channels(), min_size=1, max_size=4))
def test_round_trip(found):
    data = stream.encode_stream(found)
    again, used = stream.decode_stream(data, len(found))
    assert plain(again) == plain(found)
    assert len(data) % 16 == 0 and not any(data[used:])
    assert 4 <= len(data) - used < 20


def test_any_length_is_filled_up_to_whole_units_with_at_least_four_bytes():
    for count in range(1, 17):
        data = stream.encode_stream([ChannelStream(1, 2, ())] * count)
        assert len(data) == min(n for n in range(0, 200, 16) if n >= 7 * count + 4)


def test_bytes_by_hand():
    clusters = cluster(-1, 0, ~1, 113), cluster(300, 5)
    data = stream.encode_stream([ChannelStream(0x1234, -2, clusters)])
    assert data == bytes.fromhex("3412 feffffff 7fff 00 80 6f 712c 05 ff") + bytes(17)


@pytest.mark.parametrize("gap, longs, last", [
    (0, [], 0), (111, [], 111), (112, [1], 48), (127, [1], 63), (128, [2], 0), (767, [11], 63),
    (768, [12], 0), (831, [12], 63), (879, [12], 111), (880, [12, 1], 48), (1536, [12, 12], 0),
    (8191, [12] * 10 + [7], 63),
])
def test_long_gaps(gap, longs, last):
    expected = bytes([0x70, 1, *(0xEF + k for k in longs), last | 0x80])
    data = stream.encode_cluster(cluster(1, ~gap))
    assert data == expected and type(data) is bytes
    (channel,), _ = stream.decode_stream(bytes(6) + data + b"\xff", 1)
    assert channel.clusters[0].positions.tolist() == [gap]


def test_all_gaps_up_to_two_chains():
    for gap in range(2000):
        data = bytes(6) + stream.encode_cluster(cluster(5, 3, 4 + gap)) + b"\xff"
        (channel,), used = stream.decode_stream(data, 1)
        assert channel.clusters[0].positions.tolist() == [3, 4 + gap] and used == len(data)


@given(channels())
def test_every_truncation_is_refused(channel):
    data = stream.encode_channel(channel)
    for size in range(len(data)):
        with pytest.raises(FormatError, match="stream: "):
            stream.decode_stream(data[:size], 1)


@pytest.mark.parametrize("body, sentence", [
    ("fc ff", "here: byte 6 is 0xfc, a cluster header was expected"),
    ("00 ff", "here: byte 6 is 0x00, a cluster header was expected"),
    ("70 01 ff", "here: the cluster at byte 6 has no tap"),
    ("70 01 70 02 00 ff", "here: the cluster at byte 6 has no tap"),
    ("70 01 00 fc ff", "here: byte 9 is 0xfc, which is reserved"),
    ("70 01 00 fe ff", "here: byte 9 is 0xfe, which is reserved"),
    ("70 01 f0 ff", "here: byte 9 follows a LONG but is no tap"),
    ("70 01 f0 70 01", "here: byte 9 follows a LONG but is no tap"),
    ("70 01 00", "here: ends at byte 9 inside a channel; recompile the network"),
])
def test_bytes_out_of_place(body, sentence):
    with pytest.raises(FormatError) as caught:
        stream.decode_stream(bytes(6) + bytes.fromhex(body), 1, "here")
    assert str(caught.value) == sentence


def test_channels_are_counted():
    data = stream.encode_stream([ChannelStream(1, 2, ())] * 3)
    assert stream.decode_stream(data, 2)[1] == 14 and stream.decode_stream(data, 3)[1] == 21
    assert stream.decode_stream(data, 1, start=14)[1] == 21
    with pytest.raises(FormatError, match="ends at byte|header was expected"):
        stream.decode_stream(data, 5)


def test_positions_must_ascend():
    with pytest.raises(ValueError, match="ascend"):
        stream.encode_cluster(cluster(1, 5, 5))


def test_taps_are_counted_over_runs():
    assert ChannelStream(0, 0, (cluster(1, 2, 3), cluster(2, 0))).taps == 3


def test_a_run_has_a_sign_for_every_position():
    with pytest.raises(ValueError):
        stream.encode_cluster(Cluster(1, np.array([0, 1]), np.array([False])))
    with pytest.raises(ValueError):
        stream.encode_cluster(Cluster(1, np.array([0]), np.array([False, True])))


@pytest.mark.parametrize("record", [cluster(1, 0), ChannelStream(0, 0, ())])
def test_records_do_not_change(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, 0)


@given(channels())
def test_no_record_is_longer_than_its_bound(channel):
    span = max((int(cluster.positions[-1]) + 1 for cluster in channel.clusters), default=0)
    assert len(stream.encode_channel(channel)) <= stream.most_bytes(
        channel.taps, len(channel.clusters), span)
