"""Tap streams made at once: the bytes of the machine's own encoder."""

from __future__ import annotations

import numpy as np
import pytest
from codings import layer, layers
from hypothesis import given, settings
from kcnn.arch.stream import ChannelStream, Cluster, encode_stream
from kcnn.compress.errors import CompressError
from kcnn.compress.formats import taps
from kcnn.compress.formats.coded import Coded
from kcnn.compress.formats.sections import Section


def slowly(coded: Coded) -> bytes:
    """Channel by channel with the encoder of the contract."""
    rank, negative = taps.ranks(coded)
    place = taps.positions(coded.shape)
    channels = []
    for row in coded.codes.reshape(coded.shape[0], -1):
        clusters = []
        for factor in np.unique(rank[row[row != 0]]):
            at = np.flatnonzero((rank[row] == factor) & (row != 0))
            at = at[np.argsort(place[at])]
            clusters.append(Cluster(int(factor), place[at], negative[row[at]]))
        channels.append(ChannelStream(0, 0, tuple(clusters)))
    return encode_stream(channels)


@settings(max_examples=60)
@given(layers())
def test_bytes_are_those_of_the_contract(coded: Coded) -> None:
    (section,) = taps.encode(coded)
    assert section.bits == 8
    assert section.numbers.astype(np.uint8).tobytes() == slowly(coded)


@pytest.mark.parametrize("gap", [0, 111, 112, 767, 768, 769, 879, 880, 1535, 1536, 5000])
def test_gaps_of_any_width(gap: int) -> None:
    codes = np.zeros((3, gap + 2, 1, 1), np.uint8)
    codes[1, gap], codes[1, gap + 1] = 1, 2
    coded = Coded(codes, 2, np.array([0, 1.5, -1.5], np.float32), np.ones(1, np.float32))
    (section,) = taps.encode(coded)
    assert section.numbers.astype(np.uint8).tobytes() == slowly(coded)
    assert np.array_equal(taps.decode([section], coded), codes)


def test_positions_are_distinct_and_few() -> None:
    for shape in ((1, 3, 11, 11), (1, 2, 5, 5), (1, 7, 1, 1), (1, 2, 1, 40)):
        place = taps.positions(shape)
        assert len(np.unique(place)) == np.prod(shape)
        assert place.max() < 4 * np.prod(shape)
    assert taps.positions((1, 2, 3, 3)).tolist() == [*range(9), *range(16, 25)]


def test_damage_is_told() -> None:
    coded = layer((2, 3, 3, 3), 3, 0.5, 0)
    (section,) = taps.encode(coded)
    data = section.numbers.copy()
    data[6] = 0xFE
    with pytest.raises(CompressError, match="header was expected"):
        taps.decode([Section.of(data, 8)], coded)
    data = section.numbers.copy()
    data[7] = 99
    with pytest.raises(CompressError, match="which the layer does not have"):
        taps.decode([Section.of(data, 8)], coded)
