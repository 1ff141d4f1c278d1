"""Regions: what two have in common, and which items they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import region
from kcnn.arch.isa import Table
from kcnn.arch.region import Region, Space

EDGES = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)


@given(EDGES, EDGES, st.sampled_from([1, 4]))
def test_regions_meet_where_they_have_an_item_in_common(first, second, size):
    one, other = (Region(Space.ROWS, 0, a, b + 1) for a, b in (first, second))
    items = np.zeros((2, 10 * size), bool)
    items[0, one.items(size)] = items[1, other.items(size)] = True
    assert one.meets(other) == other.meets(one) == bool(items.all(0).any())
    assert one.holds(other) == bool((items[0] >= items[1]).all())
    assert items[0].sum() == size * (first[1] + 1 - first[0])


@pytest.mark.parametrize("other", [Region(Space.BASE, 1, 0, 4), Region(Space.OFFSET, 0, 0, 4)])
def test_other_memories_and_banks_have_nothing_in_common(other):
    assert not Region(Space.BASE, 0, 0, 4).meets(other)


def test_a_ramp_writes_base_entries():
    assert [region.table(kind) for kind in Table] == [
        Space.BASE, Space.OFFSET, Space.DECODE, Space.CLUSTER, Space.BASE]
