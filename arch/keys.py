"""Rows of several columns as single numbers, which sort and compare faster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MOST = 1 << 62


def keys(*columns: NDArray[np.integer]) -> Ints:
    """One number for each row of the columns, equal and in order as the rows are."""
    key, span = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low = int(column.min(initial=0))
        width = int(column.max(initial=0)) - low + 1
        if span * width > MOST:
            key = np.unique(key, return_inverse=True)[1]
            span = len(key)
        key = key * width + (column - low)
        span *= width
    return key


def occurring(numbers: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """The numbers that occur, ascending, and which of them each one is. They count something, from
    0 on: it takes as long as the largest one, too.

    >>> [found.tolist() for found in occurring(np.array([5, 2, 5]))]
    [[2, 5], [1, 0, 1]]
    """
    used = np.zeros(int(numbers.max(initial=0)) + 1, bool)
    used[numbers] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[numbers]
