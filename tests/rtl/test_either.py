"""Sums with a chosen operand."""

from __future__ import annotations

import pytest
from kcnn.rtl.either import add_either
from kcnn.rtl.signals import bit, word
from replay import replay


@pytest.mark.parametrize("width", [10, 17])
def test_the_sum_is_of_the_chosen_word(width):
    def make():
        return add_either, {"fixed": word(width), "first": bit(), "one": word(width),
                            "other": word(width), "total": word(width)}

    for row in replay(make, 200).rows:
        chosen = row["one"] if row["first"] else row["other"]
        assert row["total"] == (row["fixed"] + chosen) % (1 << width)
