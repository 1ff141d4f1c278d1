"""What is left of an output, against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise.closeness import affordable, agreement, closeness, spread
from torch import nn, zeros


def vectors(*images: list[float]) -> np.ndarray:
    return np.array(images, np.float64)[:, :, None, None]


def test_what_varies_is_told_apart_from_a_mean() -> None:
    exact = vectors([100.0, 200.0], [102.0, 198.0])
    found = exact + vectors([0.6, 0.0], [0.8, 0.0])
    out = closeness(exact, found)
    assert out.sqnr == pytest.approx(10 * np.log10(np.square(exact).sum()))
    assert out.varying == pytest.approx(10 * np.log10(2 * 4.0))
    assert out.typical == pytest.approx(10 * np.log10(4.0 / 0.64))
    assert out.least == out.typical and out.agreement == 2


def test_a_constant_output_is_not_right_however_equal_it_is() -> None:
    exact = vectors([100.0, 3.0], [100.0, 3.0], [100.0, 3.0])
    out = closeness(exact, exact)
    assert out.sqnr == np.inf and out.least == -np.inf


def test_an_error_that_is_the_same_everywhere_counts() -> None:
    exact = vectors([1.0, 0.0], [-1.0, 0.0])
    assert closeness(exact, exact + 5).varying < -10


def test_one_large_image_does_not_hide_the_others() -> None:
    exact = np.concatenate([np.random.default_rng(0).normal(size=(20, 3, 1, 1)),
                            np.full((1, 3, 1, 1), 1000.0), np.full((1, 3, 1, 1), -1000.0)])
    found = np.where(np.abs(exact) < 100, 0, exact)
    out = closeness(exact, found)
    assert out.sqnr > 40 and out.varying > 40 and out.least == out.typical < 1


def test_images_that_are_equal_and_images_that_are_lost_have_a_typical_one() -> None:
    exact = vectors([0.0], [3.0], [-3.0], [0.0])
    assert closeness(exact, vectors([1.0], [3.0], [-3.0], [1.0])).typical == -np.inf


def test_one_image_tells_nothing_of_what_varies() -> None:
    exact = vectors([3.0, 4.0])
    out = closeness(exact, vectors([3.0, 4.5]))
    assert np.isnan(out.varying) and np.isnan(out.typical)
    assert out.least == out.sqnr == pytest.approx(20)
    beside = closeness(exact, vectors([3.0, 4.5]), np.array([3.0, 3.0])[:, None, None])
    assert beside.varying == pytest.approx(10 * np.log10(4))


def test_only_vectors_agree_or_not() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    assert agreement(maps, maps) is None
    assert agreement(vectors([1.0], [2.0]), vectors([1.0], [2.0])) is None
    assert agreement(vectors([1.0, 2.0], [2.0, 1.0]), vectors([1.0, 3.0], [1.0, 2.0])) == 1


def test_images_are_spread_from_the_first_to_the_last() -> None:
    x = np.arange(10)
    assert spread(x, 4).tolist() == [0, 3, 6, 9]
    assert spread(x, 10).tolist() == spread(x, 99).tolist() == x.tolist()


def test_images_that_a_network_can_afford() -> None:
    graph = canonicalise(trace(nn.Conv2d(2, 4, 3, padding=1).eval(), (zeros(1, 2, 5, 6),)))
    cost = 2 * 4 * 9 * 5 * 6
    assert affordable(graph, 10 * cost, 1, 99) == 10
    assert affordable(graph, 10 * cost, 20, 99) == 20 and affordable(graph, 10 * cost, 1, 5) == 5
