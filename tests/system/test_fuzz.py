"""Random networks on random machines: `tests/fuzz.py` runs as many of them as are wanted."""

from __future__ import annotations

import pytest
import wild

QUICK = range(48)
PART = 8


@pytest.mark.parametrize("first", QUICK[::PART])
def test_random_networks_on_random_machines_agree_or_are_refused_by_a_sentence(first):
    for number in range(first, first + PART):
        wild.agree(wild.case(number))
