"""The memory model: a function of beat number and seed."""

import numpy as np
from kcnn.arch.engine import PERIOD, MemoryModel


def test_fixed_latency_counts_for_the_first_beat_only():
    model = MemoryModel.fixed(8)
    assert [model.wait(n, True) for n in (0, 5, PERIOD)] == [8, 8, 8]
    assert [model.wait(n, False) for n in (0, 5, PERIOD)] == [0, 0, 0]


def test_random_waits_repeat_with_the_seed_and_the_period():
    one, same, other = MemoryModel.random(3), MemoryModel.random(3), MemoryModel.random(4)
    waits = [one.wait(n, True) for n in range(PERIOD)]
    assert waits == [same.wait(n, True) for n in range(PERIOD)]
    assert waits != [other.wait(n, True) for n in range(PERIOD)]
    assert waits[:9] == [one.wait(PERIOD + n, True) for n in range(9)]


def test_random_waits_are_in_their_ranges():
    model = MemoryModel.random(5, latency=20)
    stalls = np.array([model.wait(n, False) for n in range(PERIOD)])
    assert stalls.min() == 0 and stalls.max() == 3
    assert 0.2 < np.mean(stalls > 0) < 0.3
    first = np.array([model.wait(n, True) for n in range(PERIOD)]) - stalls
    assert first.min() == 0 and first.max() == 20
