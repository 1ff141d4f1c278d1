"""CCOO words: by hand, and by a decoder that walks the words one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from codings import layer, layers
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.errors import CompressError
from kcnn.compress.formats import ccoo
from kcnn.compress.formats.coded import Coded, eight_bit
from kcnn.compress.formats.sections import Section


def words_of(weight: np.ndarray) -> list[int]:
    coded = Coded(weight.astype(np.int8).view(np.uint8), 8, None, np.ones(1, np.float32))
    (section,) = ccoo.encode(coded)
    assert section.bits == 16
    return section.numbers.tolist()


def walked(words: list[int], shape: tuple[int, int, int, int]) -> np.ndarray:
    """A decoder as hardware has it: one word at a time, a kernel counter and an address."""
    channels, depth = shape[:2]
    order = [(m, c) for tile in range(0, channels, ccoo.TILE) for c in range(depth)
             for m in range(tile, min(tile + ccoo.TILE, channels))]
    out, kernel = np.zeros(shape, np.uint8), 0
    for word in words:
        value, place = word >> 8, word & 255
        if place == 0xF0:
            kernel += value + 1
        else:
            out[(*order[kernel], place >> 4, place & 15)] = value
    assert kernel == channels * depth
    return out


def test_words_of_a_convolution_by_hand() -> None:
    weight = np.zeros((2, 2, 11, 11), int)
    weight[0, 0, 0, 10], weight[0, 0, 10, 3], weight[1, 1, 5, 0] = 5, -1, -128
    assert words_of(weight) == [0x050A, 0xFFA3, 0x02F0, 0x8050, 0x00F0]
    assert words_of(0 * weight) == [0x03F0]
    assert words_of(np.zeros((30, 10, 3, 3))) == [0xFFF0, 0x2BF0]


def test_words_of_a_fully_connected_layer_by_hand() -> None:
    """Column by column; a gap of 300 zeros needs one filler of 256."""
    weight = np.zeros((302, 2, 1, 1), int)
    weight[0, 0], weight[301, 0], weight[1, 1] = 7, -2, 3
    assert words_of(weight) == [0x0700, 0x00FF, 0xFE2C, 0x0301]


@settings(max_examples=40)
@given(layers())
def test_a_decoder_that_walks_the_words_finds_the_weights(coded: Coded) -> None:
    if ccoo.is_fc(coded.shape):
        return
    (section,) = ccoo.encode(coded)
    assert np.array_equal(walked(section.numbers.tolist(), coded.shape), coded.codes)


@settings(max_examples=30)
@given(st.integers(1, 700), st.integers(0, 2 ** 32 - 1))
def test_runs_of_empty_kernels_of_any_length(kernels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = np.zeros((kernels, 1, 2, 2), np.uint8)
    weight[rng.integers(0, kernels, rng.integers(0, 4)), 0, 1, 1] = 9
    coded = Coded(weight, 8, None, np.ones(1, np.float32))
    (section,) = ccoo.encode(coded)
    assert np.array_equal(walked(section.numbers.tolist(), coded.shape), weight)
    assert np.array_equal(ccoo.decode([section], coded.shape, 8), weight)


def test_the_side_array_has_a_count_a_kernel() -> None:
    coded = layer((20, 3, 5, 5), 8, 0.4, 0)
    words, counts = ccoo.encode_counts(coded)
    assert counts.bits == 5 and len(counts.numbers) == 60
    assert counts.numbers.sum() == len(words.numbers) == coded.nonzero
    assert len(ccoo.encode(coded)[0].numbers) == coded.nonzero + 60


def test_kernels_that_do_not_fit_are_refused() -> None:
    coded = eight_bit(np.ones((1, 1, 16, 3)))
    assert not ccoo.fits(coded) and ccoo.fits(eight_bit(np.ones((1, 1, 15, 16))))
    with pytest.raises(CompressError, match="16x3 does not fit CCOO"):
        ccoo.encode(coded)


@pytest.mark.parametrize("words, sentence", [
    ([0x0100, 0x00F0], "1 kernels are stored, not 4"),
    ([0x0130, 0x03F0], "outside its kernel"),
    ([0x0103, 0x03F0], "outside its kernel"),
    ([0x03F0, 0x0100], "outside its kernel"),
])
def test_damage_is_told(words: list[int], sentence: str) -> None:
    with pytest.raises(CompressError, match=sentence):
        ccoo.decode([Section.of(np.array(words), 16)], (2, 2, 3, 3), 8)
