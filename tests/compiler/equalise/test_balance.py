"""The least of the modelled noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.compiler.equalise.balance import Reader, balanced
from scipy.optimize import minimize


def reader(channel: list[int], power: list[float], weight: list[float]) -> Reader:
    return Reader("y", "x", np.array(channel), np.array(power), np.array(weight))


def test_one_reader_alone_has_a_closed_form() -> None:
    part = reader([0, 1, 2], [1e-4, 1.0, 100.0], [30.0, 1.0, 0.5])
    found = balanced([part], np.ones(3, bool))
    wanted = np.sqrt(part.power / part.weight)
    np.testing.assert_allclose(found / found[0], wanted / wanted[0], rtol=0.05)


def test_what_is_fixed_dead_or_unread_keeps_its_scale() -> None:
    part = reader([0, 1, 2, 3], [4.0, 0.0, 9.0, 100.0], [1.0, 1.0, 0.0, 1.0])
    found = balanced([part], np.array([False, True, True, True]))
    assert found[:3].tolist() == [1, 1, 1] and found[3] > 2
    assert balanced([], np.ones(2, bool)).tolist() == [1, 1]


def test_noise_of_nothing_is_told_as_0_dB() -> None:
    assert reader([0], [0.0], [1.0]).noise(np.ones(1)) == 0
    assert reader([0, 1], [1.0, 9.0], [1.0, 0.0]).noise(np.ones(2)) == pytest.approx(10)


@given(st.integers(0, 1 << 16))
def test_no_scales_make_less_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [Reader("y", "x", rng.permutation(6)[:4], 10 ** rng.normal(size=4),
                    10 ** rng.normal(size=4)) for _ in range(3)]
    free = rng.random(6) < 0.8

    def noise(logs: np.ndarray) -> float:
        return sum(part.noise(np.where(free, np.exp2(logs), 1.0)) for part in parts)

    least = minimize(noise, np.zeros(6), method="BFGS").fun
    found = noise(np.log2(balanced(parts, free)))
    assert found <= noise(np.zeros(6)) + 1e-9 and found <= least + 0.1
