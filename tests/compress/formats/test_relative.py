"""Codes and gaps: published examples and layouts."""

from __future__ import annotations

import numpy as np
from codings import layer
from kcnn.compress.formats import relative
from kcnn.compress.formats.coded import Coded


def coded(codes: np.ndarray) -> Coded:
    return Coded(codes.astype(np.uint8), 4, np.arange(16).astype(np.float32),
                 np.ones(1, np.float32))


def test_a_column_is_as_in_the_publication_of_eie() -> None:
    column = np.array([0, 0, 1, 2, *[0] * 18, 3])[:, None, None, None]
    pointers, v, z = relative.encode_csc(coded(column))
    assert v.numbers.tolist() == [1, 2, 0, 3] and z.numbers.tolist() == [2, 0, 15, 2]
    assert pointers.numbers.tolist() == [0, 4] and pointers.bits == 16


def test_rows_of_lanes_are_interleaved() -> None:
    """Row i on lane i mod 2: gaps count the rows of a lane only."""
    matrix = np.zeros((5, 2, 1, 1), int)
    matrix[0, 0], matrix[1, 0], matrix[4, 0], matrix[3, 1] = 1, 2, 3, 4
    pointers, v, z = relative.encode_csc(coded(matrix), lanes=2)
    # lane 0: column 0 has rows 0 and 4, column 1 none; lane 1: column 0 row 1, column 1 row 3
    assert pointers.numbers.tolist() == [0, 2, 2, 0, 1, 2]
    assert list(zip(v.numbers.tolist(), z.numbers.tolist(), strict=True)) == [
        (1, 0), (3, 1), (2, 0), (4, 1)]


def test_a_release_is_in_the_order_of_the_weight_with_nibbles() -> None:
    weight = np.zeros((2, 1, 1, 10), int)
    weight[0, 0, 0, 1], weight[0, 0, 0, 2], weight[1, 0, 0, 9] = 5, 6, 7
    count, codes, gaps = relative.encode_release(coded(weight))
    assert count.pack() == (4).to_bytes(4, "little")
    assert codes.pack() == bytes([0x65, 0x70]) and gaps.pack() == bytes([0x01, 0x0F])
    wide = Coded(weight.astype(np.uint8), 5, np.arange(32).astype(np.float32),
                 np.ones(1, np.float32))
    assert relative.encode_release(wide)[1].bits == 8


def test_fillers_are_as_many_as_theory_says() -> None:
    """9 percent of the weights, anywhere: a gap beyond 15 has the chance 0.91^16 = 22 percent."""
    found = layer((64, 4000, 1, 1), 4, 0.09, 1)
    _, v, _ = relative.encode_release(found)
    fillers = np.mean(v.numbers == 0) / np.mean(v.numbers != 0)
    assert abs(fillers - 0.91 ** 16 / (1 - 0.91 ** 16)) < 0.01


def test_index_vectors_are_dense_where_that_is_smaller() -> None:
    for density, parts in ((0.6, 1), (0.3, 2)):
        found = layer((64, 400, 1, 1), 4, density, 2)
        sections = relative.encode_index(found)
        assert len(sections) == parts
        assert np.array_equal(relative.decode_index(sections, found.shape, 4), found.codes)
