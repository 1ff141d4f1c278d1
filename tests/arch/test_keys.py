"""Keys of rows order and part them as the rows do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch.keys import keys, occurring

BIG = 1 << 40


@given(st.lists(st.tuples(*[st.integers(-3, 3) | st.integers(-BIG, BIG)] * 3), max_size=9))
def test_keys_are_in_the_order_of_their_rows(rows):
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    found = keys(*columns)
    order = sorted(range(len(rows)), key=rows.__getitem__)
    assert np.argsort(found, kind="stable").tolist() == order
    assert all((found[i] == found[j]) == (rows[i] == rows[j]) for i in order for j in order)


@given(st.lists(st.integers(0, 300), max_size=50))
def test_occurring_is_unique_of_counts(numbers):
    values, which = occurring(np.array(numbers, np.uint16))
    expected = np.unique(np.array(numbers, np.int64), return_inverse=True)
    assert values.tolist() == expected[0].tolist() and which.tolist() == expected[1].tolist()
