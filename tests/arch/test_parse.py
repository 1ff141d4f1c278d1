"""The vectorised parse against `decode_stream` and a walk over the tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import stream
from kcnn.arch.errors import FormatError
from kcnn.arch.parse import parse
from kcnn.arch.stream import ChannelStream, Cluster

# low bytes that look like a header, a long gap, an end
FACTORS = st.one_of(st.integers(-2048, 2047), st.sampled_from([-1, 0x70, 0x77, -137, 0x7F, 0xF3]))
GAPS = st.one_of(st.integers(0, 3), st.integers(0x6E, 0x72), st.integers(0, 3000))


@st.composite
def clusters(draw):
    gaps = draw(st.lists(GAPS, min_size=1, max_size=6))
    signs = draw(st.lists(st.booleans(), min_size=len(gaps), max_size=len(gaps)))
    return Cluster(draw(FACTORS), np.cumsum(np.array(gaps) + 1) - 1, np.array(signs, bool))


def channels():
    head = st.sampled_from([0, 0xFFFF, 0x7070, 0x12FF])
    bias = st.sampled_from([0, -1, 0x70707070, 0x7F70FF70, -(1 << 31)])
    found = st.builds(ChannelStream, head, bias, st.lists(clusters(), max_size=5).map(tuple))
    return st.lists(found, min_size=1, max_size=5)


def array(data):
    return np.frombuffer(data, np.uint8)


@given(channels())
def test_says_what_decode_says(found):
    data = stream.encode_stream(found)
    parsed = parse(array(data), len(found), "stream")
    assert parsed.scale.tolist() == [c.scale for c in found]
    assert parsed.bias.tolist() == [c.bias for c in found]
    clusters = [r for c in found for r in c.clusters]
    assert parsed.factor.tolist() == [r.factor for r in clusters]
    assert parsed.channel_clusters.tolist() == np.cumsum(
        [0] + [len(c.clusters) for c in found]).tolist()
    assert parsed.cluster_taps.tolist() == np.cumsum(
        [0] + [len(r.positions) for r in clusters]).tolist()
    assert parsed.position.tolist() == [p for r in clusters for p in r.positions.tolist()]
    assert parsed.negative.tolist() == [int(n) for r in clusters for n in r.negative]


def walk(data, at):
    """First byte of every item of the channel at byte `at`, and the byte behind its END."""
    items = [at, at + 2]
    at += 6
    while True:
        items.append(at)
        if data[at] == 0xFF:
            return items, at + 1
        if 0x70 <= data[at] < 0x80:
            at += 2
        if data[at] & 0xF0 == 0xF0 and data[at] < 0xFC:
            at += 1
        if data[at] & 0x7F < 0x70:
            at += 1


@given(channels())
def test_items_are_those_of_the_parser(found):
    data = stream.encode_stream(found)
    parsed = parse(array(data), len(found), "stream")
    items, first, at = [], [0], 0
    for _ in found:
        more, at = walk(data, at)
        items += more
        first.append(len(items))
    assert parsed.offsets.tolist() == items
    assert parsed.ends.tolist() == [*items[1:], at]
    assert parsed.channel_items.tolist() == first


@pytest.mark.parametrize("body, sentence", [
    (b"\x70\x01\x00", "ends inside the channel at byte 0"),
    (b"\x70\x01\xfd\x00\xff", "byte 8 is reserved"),
    (b"\x70\x01\xff", "a cluster without taps"),
    (b"\x00\xff", "a tap outside a cluster"),
    (b"\x70\x01\x00\x70\x02\x70\x03\x00\xff", "a cluster without taps"),
])
def test_damage_is_refused(body, sentence):
    with pytest.raises(FormatError, match=sentence):
        parse(array(bytes(6) + body), 1, "stream")


BYTES = st.sampled_from([0, 1, 0x6F, 0x70, 0x75, 0x7F, 0x80, 0xEF, 0xF0, 0xFB, 0xFC, 0xFE, 0xFF])


@given(st.lists(BYTES, min_size=1, max_size=14), st.integers(1, 2))
def test_refuses_what_decode_refuses(body, count):
    data = bytes(6) + bytes(body) + b"\xff" + bytes(12) + b"\xff"
    try:
        found, used = stream.decode_stream(data, count)
    except FormatError:
        with pytest.raises(FormatError):
            parse(array(data), count, "stream")
        return
    parsed = parse(array(data), count, "stream")
    assert parsed.ends[-1] == used
    assert parsed.position.tolist() == [p for c in found for r in c.clusters
                                        for p in r.positions.tolist()]


@given(channels())
def test_weights_add_what_taps_count(found):
    parsed = parse(array(stream.encode_stream(found)), len(found), "stream")
    positions, which = parsed.read
    assert positions.tolist() == sorted({int(p) for c in found for r in c.clusters
                                         for p in r.positions})
    assert np.array_equal(positions[which], parsed.position)
    expected = np.zeros((len(found), len(positions)))
    for k, channel in enumerate(found):
        for cluster in channel.clusters:
            for position, negative in zip(cluster.positions, cluster.negative, strict=True):
                expected[k, positions.searchsorted(position)] += cluster.factor * (
                    -1 if negative else 1)
    assert np.array_equal(parsed.weights, expected)
    assert np.array_equal(parsed.weights_of(slice(1, 3)), expected[1:3])
