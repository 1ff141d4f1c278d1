"""Plain tables: cells, alignment, ends of lines."""

from __future__ import annotations

import pytest
from kcnn.arch.columns import cell, columns, dims, span


@pytest.mark.parametrize(("value", "text"), [
    (None, "-"), (True, "yes"), (False, "no"), (12345, "12,345"), (0.5, "0.5"), ("a", "a"),
    ("a\x1b[2J", "a\\x1b[2J")])
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


def test_numbers_stand_flush_right_and_no_line_ends_in_a_space() -> None:
    rows = [("conv", 12345, "x"), ("a longer one", None, "")]
    assert columns(("name", "taps", "note"), rows) == (
        "name            taps  note\n"
        "conv          12,345  x\n"
        "a longer one       -")


def test_a_table_without_rows_is_its_head() -> None:
    assert columns(("name", "taps"), []) == "name  taps"


@pytest.mark.parametrize(("numbers", "text"), [
    ([], "-"), ([0.25], "0.25"), ([-0.123456, 2, 1], "-0.1235..2"), ([7, 7], "7"),
    ([-12345, 3], "-12,345..3"), ([12345.6], "1.235e+04")])
def test_spans(numbers: list, text: str) -> None:
    assert span(numbers) == text


def test_sizes() -> None:
    assert dims((16, 3, 5)) == "16x3x5"
