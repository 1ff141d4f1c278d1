"""Dense, bitmap, rows: sections as drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from kcnn.compress.errors import CompressError
from kcnn.compress.formats import plain
from kcnn.compress.formats.coded import Coded
from kcnn.compress.formats.sections import Section

CODES = np.array([[0, 3, 0, 0, 1], [0, 0, 0, 0, 0], [2, 0, 0, 0, 3]], np.uint8)[..., None, None]
LAYER = Coded(CODES, 2, np.array([0, 1, 2, 3], np.float32), np.ones(1, np.float32))


def numbers(sections: list[Section]) -> list[tuple[int, list[int]]]:
    return [(section.bits, section.numbers.tolist()) for section in sections]


def test_dense_is_every_code() -> None:
    assert numbers(plain.encode_dense(LAYER)) == [(2, CODES.ravel().tolist())]


def test_a_bitmap_marks_what_is_used() -> None:
    assert numbers(plain.encode_bitmap(LAYER)) == [
        (1, [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]), (2, [3, 1, 2, 3])]


def test_rows_have_pointers_columns_and_codes() -> None:
    assert numbers(plain.encode_csr(LAYER)) == [
        (32, [0, 2, 2, 4]), (3, [1, 4, 0, 4]), (2, [3, 1, 2, 3])]


@pytest.mark.parametrize("pointers, columns", [([0, 2, 1, 4], [1, 4, 0, 4]), ([0, 2, 4], [1] * 4),
                                               ([0, 2, 2, 5], [1] * 4), ([0, 2, 2, 4], [9] * 4)])
def test_rows_that_do_not_belong_together_are_refused(pointers: list[int], columns: list[int]
                                                      ) -> None:
    parts = [Section.of(np.array(pointers), 32), Section.of(np.array(columns), 4),
             Section.of(np.ones(4, int), 2)]
    with pytest.raises(CompressError, match="do not belong together"):
        plain.decode_csr(parts, LAYER.shape, 2)


def test_a_bitmap_of_other_codes_is_refused() -> None:
    parts = [Section.of(np.ones(15, int), 1), Section.of(np.ones(4, int), 2)]
    with pytest.raises(CompressError, match="15 ones for 4 codes"):
        plain.decode_bitmap(parts, LAYER.shape, 2)
    with pytest.raises(CompressError, match="4 weights are stored"):
        plain.decode_dense(parts[1:], LAYER.shape, 2)
