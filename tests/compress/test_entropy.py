"""Entropy coders: exact, and near what is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import entropy
from kcnn.compress.errors import CompressError
from kcnn.compress.formats.sections import Section


@pytest.mark.parametrize("coder", entropy.METHODS)
@settings(max_examples=40)
@given(st.integers(1, 32), st.integers(0, 60), st.integers(0, 2 ** 32 - 1))
def test_what_is_coded_is_decoded(coder: str, bits: int, count: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 1 << bits, count)
    section = Section.of(numbers, bits)
    data = entropy.code(section, coder)
    assert entropy.decode(data, count, bits, coder).numbers.tolist() == numbers.tolist()


def test_huffman_is_near_the_entropy_and_no_coder_of_numbers_beats_it() -> None:
    rng = np.random.default_rng(0)
    section = Section.of(np.minimum(rng.geometric(0.3, 100_000) - 1, 15), 4)
    bound = entropy.entropy(section)
    size = len(entropy.code(section, "huffman"))
    assert bound <= size <= 1.03 * bound < section.size


def test_entropy_by_hand() -> None:
    assert entropy.entropy(Section.of(np.array([0, 1, 2, 3] * 8), 8)) == 8
    assert entropy.entropy(Section.of(np.zeros(50, int), 8)) == 0
    assert entropy.entropy(Section.of(np.zeros(0, int), 8)) == 0
    words = Section.of(np.array([0x0100, 0x0101, 0x0102, 0x0103]), 16)
    assert entropy.entropy(words) == 1


def test_repeats_are_found_where_a_coder_looks_for_them() -> None:
    numbers = np.tile(np.random.default_rng(0).integers(0, 256, 500), 20)
    sizes = {coder: len(entropy.code(Section.of(numbers, 8), coder)) for coder in entropy.METHODS}
    assert sizes["huffman"] > 9000 and sizes["deflate"] < 1500 and sizes["lzma"] < 1000


@pytest.mark.parametrize("coder", entropy.METHODS)
def test_damage_is_told(coder: str) -> None:
    data = entropy.code(Section.of(np.arange(200) % 7, 3), coder)
    for damaged, count in ((data[:-2], 200), (data, 190)):
        with pytest.raises(CompressError, match="damaged"):
            entropy.decode(damaged, count, 3, coder)
    if coder != "none":
        with pytest.raises(CompressError, match="damaged"):
            entropy.decode(data, 200, 2, coder)
