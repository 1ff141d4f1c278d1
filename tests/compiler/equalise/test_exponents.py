"""Scaled graphs compute bit for bit what the graph does."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.equalise.channels import channels
from kcnn.compiler.equalise.exponents import factor, scaled, scaled_graph, to_plain
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv
from kcnn.compiler.passes import canonicalise, check
from kcnn.compiler.quantise import emulate
from networks import networks


@settings(max_examples=8)
@given(networks(), st.integers(0, 1 << 16))
def test_any_scales_of_free_channels_change_no_bit(case: tuple, seed: int) -> None:
    module, shape = case
    graph = canonicalise(trace(module, (torch.zeros(1, *shape),)))
    of, rng = channels(graph, 4), np.random.default_rng(seed)
    exponents = of.by_node(np.where(of.free, rng.integers(-9, 10, len(of.why)), 0))
    other = scaled_graph(graph, exponents)
    check(other)
    x = rng.normal(size=(2, *shape))
    before, after = emulate.run(graph, x), emulate.run(other, x)
    for name, y in before.items():
        np.testing.assert_array_equal(after[name] * factor(exponents, name), y)


def test_columns_are_multiplied_and_rows_divided() -> None:
    op = Conv(np.ones((4, 1, 1, 1)), np.ones(4), groups=2)
    found = scaled(op, {"x": np.array([1, 2]), "y": np.array([0, 1, 2, 3])}, "x", "y")
    assert found.weight[:, 0, 0, 0].tolist() == [2, 1, 1, 0.5]
    assert found.bias.tolist() == [1, 0.5, 0.25, 0.125]
    assert scaled(op, {}, "x", "y") is op


def test_exponents_of_a_program() -> None:
    assert to_plain({"y": np.array([0, -1])}) == {"y": (0, -1)}
    assert factor({}, "y").shape == (1, 1, 1) and factor({"y": np.array([2])}, "y") == 4
