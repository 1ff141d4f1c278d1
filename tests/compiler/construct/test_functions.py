"""Functions that are written as several operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.construct import arithmetic, functions
from kcnn.compiler.construct.site import Site, Value, input_
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import Activation, Graph
from kcnn.compiler.ir.layers import function

LIMITS = st.sampled_from([-math.inf, -2.0, -1.0, 0.0, 3.0, 6.0, math.inf])


def start() -> tuple[Site, Value]:
    site = Site(Graph(), "a", "f")
    return site, input_(Site(site.graph, "forward", "x"), (2, 3, 3))


def made(site: Site, value: Value) -> tuple[str, list[str]]:
    """The function that makes a value, and what it reads."""
    op = site.graph[value.node].op
    assert isinstance(op, Activation)
    return op.function, site.graph.inputs(value.node)


@settings(max_examples=40)
@given(LIMITS, LIMITS, LIMITS, LIMITS)
def test_limits_of_limits_are_one_function(a: float, b: float, c: float, d: float) -> None:
    site, x = start()
    name, read = made(site, functions.clamp(site, functions.clamp(site, x, a, b), c, d))
    grid = np.linspace(-8, 8, 65)
    assert read == ["x"]
    np.testing.assert_array_equal(function(name).apply(grid),
                                  np.minimum(np.maximum(np.minimum(np.maximum(grid, a), b), c), d))


def test_limits_have_names() -> None:
    site, x = start()
    assert made(site, functions.clamp(site, x, 0)) == ("relu", ["x"])
    assert made(site, functions.clamp(site, functions.clamp(site, x, 0), high=6))[0] == "relu6"
    assert made(site, functions.clamp(site, x, -1, 2))[0] == "clamp(-1.0,2.0)"


def shifted(site: Site, x: Value, by: float = 3.0) -> Value:
    return functions.clamp(site, arithmetic.combine(site, x, np.array(by)), 0, 6)


def test_hardsigmoid_and_hardswish_are_recognised() -> None:
    site, x = start()
    six = np.array(6.0)
    gate = arithmetic.divide(site, shifted(site, x), six)
    assert made(site, gate) == ("hardsigmoid", ["x"])
    assert made(site, arithmetic.multiply(site, gate, x)) == ("hardswish", ["x"])
    product = arithmetic.multiply(site, x, shifted(site, x))
    assert made(site, arithmetic.divide(site, product, six)) == ("hardswish", ["x"])


def test_what_only_looks_like_one_is_none() -> None:
    site, x = start()
    for value in (arithmetic.divide(site, shifted(site, x, 2.0), np.array(6.0)),
                  arithmetic.divide(site, shifted(site, x), np.array(5.0))):
        assert not isinstance(site.graph[value.node].op, Activation)
    with pytest.raises(CompileError, match="multiplies two tensors"):
        arithmetic.multiply(site, x, shifted(site, x, 2.0))


@pytest.mark.parametrize("greater", [True, False])
def test_choices_by_sign_are_leaky(greater: bool) -> None:
    site, x = start()
    scaled = arithmetic.multiply(site, x, np.array(0.25))
    sign = functions.compare(site, x, greater, 0)
    chosen = functions.choose(site, sign, *((x, scaled) if greater else (scaled, x)))
    assert made(site, chosen) == ("leaky_relu(0.25)", ["x"])


def test_other_choices_are_refused() -> None:
    site, x = start()
    scaled = arithmetic.multiply(site, x, np.array(0.25))
    relu = functions.activation(site, x, "relu")
    sign = functions.compare(site, x, True, 0)
    for first, second in ((scaled, x), (relu, scaled), (x, relu), (x, x)):
        with pytest.raises(CompileError, match="it chooses between tensors; by the sign of x it m"):
            functions.choose(site, sign, first, second)
    with pytest.raises(CompileError, match="it compares with something else than zero"):
        functions.compare(site, x, True, 1)
    slopes = arithmetic.multiply(site, x, np.array([0.1, 0.2])[:, None, None])
    with pytest.raises(CompileError, match="a slope for every channel; use one slope"):
        functions.choose(site, sign, x, slopes)


def test_equal_slopes_are_one() -> None:
    site, x = start()
    assert made(site, functions.prelu(site, x, np.full(2, 0.5)))[0] == "leaky_relu(0.5)"


def test_scaled_functions_are_refused() -> None:
    site, x = start()
    with pytest.raises(CompileError, match="it is scaled; use ELU"):
        functions.elu(site, x, 1.67, 1.05)
