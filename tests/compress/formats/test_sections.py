"""Sections: packed lowest bit first, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.errors import CompressError
from kcnn.compress.formats.sections import Section, unpack


@settings(max_examples=80)
@given(st.integers(1, 32), st.data())
def test_what_is_packed_is_unpacked(bits: int, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=20))
    section = Section.of(np.array(numbers, np.int64), bits)
    packed = section.pack()
    assert len(packed) == section.size == -(-len(numbers) * bits // 8)
    whole = int.from_bytes(packed, "little")
    assert [whole >> i * bits & (1 << bits) - 1 for i in range(len(numbers))] == numbers
    assert unpack(packed, len(numbers), bits).numbers.tolist() == numbers


def test_of_two_nibbles_the_low_one_is_first() -> None:
    assert Section.of(np.array([1, 2, 3]), 4).pack() == bytes([0x21, 0x03])


def test_numbers_that_do_not_fit_are_ours_to_avoid() -> None:
    for numbers in ([4], [-1]):
        with pytest.raises(ValueError, match="do not fit 2 bits"):
            Section.of(np.array(numbers), 2)


@pytest.mark.parametrize("data, count, bits", [(b"\1", 3, 4), (b"\1\1\1", 3, 4), (b"", 0, 0),
                                               (b"\xff\xff", 3, 4)])
def test_wrong_sizes_are_refused(data: bytes, count: int, bits: int) -> None:
    with pytest.raises(CompressError, match="damaged"):
        unpack(data, count, bits)
