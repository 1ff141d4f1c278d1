"""Gaps and fillers: equal to counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.errors import CompressError
from kcnn.compress.formats import gaps

rows = st.integers(0, 2 ** 32 - 1).map(lambda seed: _rows(seed))


def _rows(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, (6, 90)))
    density = rng.choice([0, 0.02, 0.1, 0.6])
    return (rng.integers(1, 16, shape) * (rng.random(shape) < density)).astype(np.uint8)


def by_hand(codes: list[int], bits: int) -> list[tuple[int, int]]:
    out, zeros = [], 0
    for code in codes:
        if code or zeros == (1 << bits) - 1:
            out.append((code, zeros))
            zeros = 0
        else:
            zeros += 1
    while out and out[-1][0] == 0:
        out.pop()
    return out


@settings(max_examples=60)
@given(rows, st.integers(1, 8))
def test_sequences_are_as_counted_by_hand(codes: np.ndarray, bits: int) -> None:
    flat = codes.ravel()
    found, widths = gaps.spread(flat, bits)
    assert list(zip(found.tolist(), widths.tolist(), strict=True)) == by_hand(flat.tolist(), bits)
    assert np.array_equal(gaps.gather(found, widths, flat.size), flat)


@settings(max_examples=60)
@given(rows, st.integers(1, 8))
def test_rows_are_sequences_by_themselves(codes: np.ndarray, bits: int) -> None:
    found, widths, counts = gaps.spread_rows(codes, bits)
    expected = [by_hand(row.tolist(), bits) for row in codes]
    assert counts.tolist() == [len(row) for row in expected]
    assert list(zip(found.tolist(), widths.tolist(), strict=True)) == sum(expected, [])
    assert np.array_equal(gaps.gather_rows(found, widths, counts, codes.shape[1]), codes)


def test_entries_beyond_the_end_are_refused() -> None:
    code, gap = np.ones(1, np.uint8), np.array([5])
    with pytest.raises(CompressError, match="position 5 of 5"):
        gaps.gather(code, gap, 5)
    with pytest.raises(CompressError, match="position 5 of 5"):
        gaps.gather_rows(code, gap, np.array([1]), 5)
    with pytest.raises(CompressError, match="rows have 2 entries, but 1 are stored"):
        gaps.gather_rows(code, gap, np.array([2]), 9)
