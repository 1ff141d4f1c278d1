"""Elementwise functions and windows against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kcnn.compiler.errors import InternalError
from kcnn.compiler.ir.graph import AvgPool, Conv, MaxPool
from kcnn.compiler.ir.layers import (
    FUNCTIONS,
    cells,
    columns,
    covering,
    divisors,
    function,
    homogeneous,
    nonnegative,
    output_size,
    parametric,
)
from torch.nn import functional as F

TORCH = {
    "identity": lambda x: x, "relu": F.relu, "relu6": F.relu6, "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu(0.2)": lambda x: F.leaky_relu(x, 0.2),
    "leaky_relu(-0.5)": lambda x: F.leaky_relu(x, -0.5),
    "clamp(-1.0,2.0)": lambda x: x.clamp(-1, 2), "clamp(-inf,0.5)": lambda x: x.clamp(max=0.5),
    "elu(0.7)": lambda x: F.elu(x, 0.7),
}
GRID = np.linspace(-20, 20, 80001)


def test_every_function_is_compared() -> None:
    assert FUNCTIONS.keys() < TORCH.keys()


@pytest.mark.parametrize("name", TORCH)
def test_functions_are_those_of_torch(name: str) -> None:
    np.testing.assert_allclose(function(name).apply(GRID), TORCH[name](torch.tensor(GRID)).numpy(),
                               atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_turns_are_where_functions_turn(name: str) -> None:
    f = function(name)
    edges = [-20.0, *f.turns, 20.0]
    rises = len(f.turns) % 2 == 0           # after the last turn every function rises
    for low, high in zip(edges, edges[1:], strict=False):
        steps = np.diff(f.apply(np.linspace(low, high, 20001)))
        assert (steps >= -1e-15).all() if rises else (steps <= 1e-15).all()
        rises = not rises


def test_names_of_families() -> None:
    assert parametric("clamp", -1, np.inf) == "clamp(-1.0,inf)"
    assert function(parametric("leaky_relu", 0.25)).apply(np.array([-4.0, 4.0])).tolist() == [-1, 4]
    with pytest.raises(InternalError, match="no function is called softmax"):
        function("softmax")


def test_functions_that_are_never_negative() -> None:
    found = {name for name in TORCH if nonnegative(name)}
    assert found == {"relu", "relu6", "hardsigmoid", "sigmoid", "leaky_relu(-0.5)"}


# ---- windows ----------------------------------------------------------------------------------
SMALL = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(SMALL, SMALL, SMALL, st.tuples(st.integers(3, 9), st.integers(3, 9)), st.booleans(),
       st.booleans(), st.sampled_from([0, 7]))
def test_divisors_of_an_average_are_those_of_torch(kernel: tuple, stride: tuple, pad: tuple,
                                                   size: tuple, ceil: bool, count: bool,
                                                   divisor: int) -> None:
    pad = tuple(min(p - 1, k // 2) for p, k in zip(pad, kernel, strict=True))
    ones = torch.ones(1, 1, *size, dtype=torch.float64)
    mean = F.avg_pool2d(ones, kernel, stride, pad, ceil, count, divisor or None)[0, 0].numpy()
    op = AvgPool(kernel, stride, (*pad, *pad), count, divisor)
    source, output = (1, *size), (1, *mean.shape)
    inside = cells(op, source, output)
    np.testing.assert_allclose(inside / divisors(op, source, output), mean)
    plain = F.avg_pool2d(ones, kernel, stride, pad)
    assert output_size(op, source) == plain.shape[2:]


@given(SMALL, SMALL, SMALL, st.tuples(*[st.integers(0, 2)] * 4),
       st.tuples(st.integers(5, 9), st.integers(5, 9)))
def test_covering_padding_ends_with_the_last_window(kernel: tuple, stride: tuple, dilation: tuple,
                                                    pad: tuple, size: tuple) -> None:
    for op in (MaxPool(kernel, stride, pad, dilation),
               Conv(np.ones((1, 1, *kernel)), np.zeros(1), stride, pad, dilation)):
        source = (1, *size)
        high, wide = output_size(op, source)
        top, left, bottom, right = covering(op, source, (1, high, wide))
        assert size[0] + top + bottom == (high - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1
        assert size[1] + left + right == (wide - 1) * stride[1] + dilation[1] * (kernel[1] - 1) + 1
        assert bottom <= pad[2] and right <= pad[3]


def test_functions_of_which_twice_as_much_makes_twice_as_much() -> None:
    found = {name for name in TORCH if homogeneous(name)}
    assert found == {"identity", "relu", "leaky_relu(0.2)", "leaky_relu(-0.5)"}
    assert homogeneous("clamp(0.0,inf)") and not homogeneous("clamp(0.0,1e+30)")
    assert homogeneous("elu(0.0)") and not homogeneous("elu(1e-09)")


def test_columns_of_a_grouped_convolution() -> None:
    op = Conv(np.zeros((4, 3, 1, 1)), np.zeros(4), groups=2)
    assert columns(op).tolist() == [[0, 1, 2]] * 2 + [[3, 4, 5]] * 2
