"""Segments of elementwise functions against a search for the nearest value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.ir.layers import function
from kcnn.compiler.ir.quantised import Codebook
from kcnn.compiler.quantise.segments import HALVINGS, Segments, boundaries, count, segments

NAMES = ["identity", "relu", "relu6", "hardsigmoid", "hardswish", "sigmoid", "tanh", "silu", "gelu",
         "gelu_tanh", "leaky_relu(0.01)", "leaky_relu(-0.5)", "clamp(-1.0,1.0)", "clamp(2.0,1.0)",
         "elu(1.0)"]


@settings(max_examples=60)
@given(st.sampled_from(NAMES), st.lists(st.integers(-127, 127), max_size=15),
       st.floats(1e-4, 0.2))
def test_every_place_gets_a_nearest_value(name: str, values: list[int], scale: float) -> None:
    book = Codebook(scale, np.unique(np.array([*values, 0], np.int64)))
    found = segments(name, book)
    assert len(found.starts) == len(found.ranks) - 1
    assert (np.diff(found.starts) > 0).all() and (np.diff(found.ranks) != 0).all()
    assert len(found) <= count(name, book)
    x = np.concatenate([np.linspace(-5, 5, 4001), np.linspace(-300, 300, 2001),
                        found.starts, found.starts - 1e-9])
    y = function(name).apply(x)
    real = book.values * scale
    least = np.abs(y[:, None] - real).min(axis=1)
    np.testing.assert_allclose(np.abs(y - real[found(x)]), least, atol=2e-9)


@pytest.mark.parametrize("name", NAMES)
def test_functions_that_never_fall_need_a_segment_a_value(name: str) -> None:
    book = Codebook(0.02, np.unique(np.append(np.arange(-100, 127, 15), 0)))
    f = function(name)
    assert len(segments(name, book)) <= len(book.values) * (1 + len(f.turns))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.003, 0.02, 0.5])
def test_segments_are_counted_without_being_looked_for(name: str, scale: float) -> None:
    book = Codebook(scale, np.unique(np.append(np.arange(-100, 127, 3), 0)))
    assert count(name, book) == len(segments(name, book))


def test_segments_of_the_identity_start_half_way_between_values() -> None:
    found = segments("identity", Codebook(0.5, np.array([-2, 0, 1, 5])))
    np.testing.assert_allclose(found.starts, [-0.5, 0.25, 1.5], atol=1e-12)
    assert found.ranks.tolist() == [0, 1, 2, 3]


def test_relu_maps_everything_below_its_first_boundary_to_zero() -> None:
    found = segments("relu", Codebook(1.0, np.array([-3, 0, 2])))
    np.testing.assert_allclose(found.starts, [1.0], atol=1e-12)
    assert found.ranks.tolist() == [1, 2]


def test_a_function_that_falls_and_rises_meets_values_twice() -> None:
    found = segments("gelu", Codebook(0.01, np.array([-15, -8, 0, 50])))
    assert found.ranks.tolist() == [2, 1, 0, 1, 2, 3]


def test_one_value() -> None:
    found = segments("silu", Codebook(1.0, np.array([0])))
    assert found.ranks.tolist() == [0] and len(found.starts) == 0


def before(x: np.ndarray) -> np.ndarray:
    """The next smaller doubles."""
    return np.nextafter(x, -np.inf)


@pytest.mark.parametrize("name", ["identity", "relu", "relu6", "hardsigmoid", "leaky_relu(0.01)",
                                  "leaky_relu(-0.5)", "clamp(-1.0,1.0)"])
@pytest.mark.parametrize("scale", [1e-9, 0.003, 0.02, 0.5])
def test_segments_begin_at_the_first_double_of_a_value(name: str, scale: float) -> None:
    """There the function reaches the level between two values, one double earlier it does not.

    (Functions that round between neighbouring doubles have no such place.)
    """
    book = Codebook(scale, np.unique(np.append(np.arange(-100, 127, 15), 0)))
    found, f = segments(name, book), function(name)
    inside = np.searchsorted(boundaries(book), f.apply(found.starts), side="right")
    outside = np.searchsorted(boundaries(book), f.apply(before(found.starts)), side="right")
    np.testing.assert_array_equal(inside, found.ranks[1:])
    np.testing.assert_array_equal(outside, found.ranks[:-1])


def test_of_values_closer_than_doubles_the_last_one_counts() -> None:
    """Near -3, x / 6 + 1/2 moves in steps of about 1e-16, and so passes many values at once."""
    book = Codebook(1e-17, np.arange(0, 100, 3))
    found = segments("hardsigmoid", book)
    assert (np.diff(found.starts) > 0).all() and 1 < len(found) < len(book.values)
    level = np.searchsorted(boundaries(book), function("hardsigmoid").apply(found.starts), "right")
    np.testing.assert_array_equal(level, found.ranks[1:])


@given(st.lists(st.floats(-5, 5), unique=True, max_size=8), st.floats(-6, 6), st.floats(0, 6))
def test_segments_within_a_range_are_those_that_it_meets(
        starts: list[float], low: float, width: float) -> None:
    starts, high = sorted(starts), low + width
    whole = Segments(np.array(starts), np.arange(len(starts) + 1) * 10)
    found = whole.within(low, high)
    assert found.starts.tolist() == [x for x in starts if low < x <= high]
    x = np.array([low, high, *found.starts])
    np.testing.assert_array_equal(found(x), whole(x))
    assert len(found) == len(found.starts) + 1 and len(set(found(x))) == len(found)


def test_segments_do_not_change() -> None:
    found = segments("relu", Codebook(1.0, np.array([-3, 0, 2])))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.ranks = found.ranks  # type: ignore[misc]
    assert len({found, found, segments("relu", Codebook(1.0, np.array([0])))}) == 2


def test_halvings_bring_any_two_doubles_together() -> None:
    """The positive doubles are numbered up to the bits of the largest; as many are negative."""
    most = int(np.float64(np.finfo(np.float64).max).view(np.int64))
    assert 1 << HALVINGS - 1 < 2 * most + 1 <= 1 << HALVINGS
