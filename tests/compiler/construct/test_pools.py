"""Sizes of pools and reductions are those of torch; windows without elements are refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kcnn.compiler.construct import pools
from kcnn.compiler.construct.site import Site, Value, input_
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import Graph
from torch.nn import functional as F

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


def start(shape: tuple[int, int, int] = (2, 6, 8)) -> tuple[Site, Value]:
    site = Site(Graph(), "a", "pool")
    return site, input_(Site(site.graph, "forward", "x"), shape)


@settings(max_examples=40)
@given(st.tuples(st.integers(4, 11), st.integers(4, 11)), PAIRS, PAIRS,
       st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans())
def test_sizes_of_pools_are_those_of_torch(size: tuple, kernel: tuple, stride: tuple, pad: tuple,
                                           ceil: bool) -> None:
    pad = tuple(min(p, k // 2) for p, k in zip(pad, kernel, strict=True))
    assume(stride != (1, 1))
    x = torch.zeros(1, 2, *size)
    site, mine = start((2, *size))
    made = [pools.max_pool2d(site, mine, kernel, stride, (*pad, *pad), ceil=ceil),
            pools.avg_pool2d(site, mine, kernel, stride, (*pad, *pad), ceil)]
    torchs = [F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil),
              F.avg_pool2d(x, kernel, stride, pad, ceil)]
    for pool, other in zip(made, torchs, strict=True):
        assert pool.shape == pool.sizes == other.shape[1:]


@pytest.mark.parametrize("dims", [[2, 3], [2], [3], [-1], [-2, -1]])
@pytest.mark.parametrize("keep", [False, True])
def test_sizes_of_reductions_are_those_of_torch(dims: list[int], keep: bool) -> None:
    site, x = start()
    other = torch.zeros(1, 2, 6, 8).mean(dims, keepdim=keep)
    for reduce in (pools.mean, pools.total, pools.amax):
        assert reduce(site, x, dims, keep).sizes == other.shape[1:]


def test_flat_maps_are_reduced_as_a_whole() -> None:
    site, x = start()
    mean = pools.mean(site, Value(x.node, x.shape, (2, 48)), [2], True)
    assert (mean.shape, mean.sizes) == ((2, 1, 1), (2, 1))


def test_reductions_of_one_element_leave_no_node() -> None:
    site, x = start((2, 1, 1))
    assert pools.amax(site, x, [2, 3]) == Value("x", (2, 1, 1), (2,))


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda at, x: pools.max_pool2d(at, x, (7, 1), (1, 1)), "window is larger than its map"),
    (lambda at, x: pools.max_pool2d(at, x, (2, 1), (1, 1), (1, 0, 1, 0), (7, 1), True),
     "some windows lie wholly in the padding; use less padding"),
    (lambda at, x: pools.mean(at, x, [1]), r"does not reduce height and width \(dimensions 2 and"),
    (lambda at, x: pools.mean(at, x, []), "does not reduce height and width"),
    (lambda at, x: pools.mean(at, Value(x.node, x.shape, (2, 48, 1)), [2]), "reshaped to"),
    (lambda at, x: pools.mean(at, Value(x.node, x.shape, (1, 2, 6, 8)), [3, 4]), "does not reduce"),
    (lambda at, x: pools.adaptive_avg_pool2d(at, x, (4, 4)), r"output \(4, 4\) does not divide it"),
    (lambda at, x: pools.adaptive_max_pool2d(at, Value("y", (2, 12, 8), (2, 12, 8)), (2, 1)),
     "takes a step of 8 over its input"),
])
def test_what_no_pool_can_be_is_refused(build: object, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"^a: pool is not supported here \(.*{sentence}"):
        build(*start())
