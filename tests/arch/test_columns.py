"""Plain tables: cells, alignment, ends of lines."""

from __future__ import annotations

import pytest
from kcnn.arch.columns import cell, columns


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
