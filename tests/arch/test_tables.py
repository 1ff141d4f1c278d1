"""Words of the tables, against words written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from kcnn.arch import fixed, tables
from kcnn.arch.config import Config
from kcnn.arch.isa import Table


def test_words_written_by_hand():
    assert tables.base(0x12345, 1) == 0x01012345
    assert (tables.address(0x01012345), tables.pair(0x01012345)) == (0x12345, 1)
    assert tables.decode(-2) == 0xFFFE and tables.value(0xFFFE) == -2
    assert tables.cluster(-1024, 11) == 0x000BFC00
    assert (tables.value(0x000BFC00), tables.code(0x000BFC00)) == (-1024, 11)


def test_arrays_as_numbers():
    thresholds, codes = np.array([-1024, 0, 1023]), np.array([3, 2, 15])
    words = tables.cluster(thresholds, codes)
    assert tables.value(words).tolist() == thresholds.tolist()
    assert tables.code(words).tolist() == codes.tolist()


@pytest.mark.parametrize("kind, entries", [
    (Table.BASE, 256), (Table.RAMP, 256), (Table.OFFSET, 32), (Table.DECODE, 16),
    (Table.CLUSTER, 16)])
def test_entries_of_a_bank(kind, entries):
    assert tables.depth(kind, Config.preset("tiny")) == entries


def test_wrapped_numbers_are_those_of_two_s_complement():
    assert fixed.wrap(np.arange(-20, 20), 4).tolist() == [
        (x + 8) % 16 - 8 for x in range(-20, 20)]
