"""Joins and changes of shape: what makes a node, what only another view of one."""

from __future__ import annotations

import numpy as np
import pytest
from kcnn.compiler.construct import shapes
from kcnn.compiler.construct.site import Site, Value, input_
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import Flatten, Graph
from kcnn.compiler.ir.slices import picked


def start(shape: tuple[int, int, int] = (6, 2, 3)) -> tuple[Site, Value]:
    site = Site(Graph(), "a", "view")
    return site, input_(Site(site.graph, "forward", "x"), shape)


@pytest.mark.parametrize("sizes", [(6, 2, 3), (6, 6), (6, 6, 1), (2, 3, 2, 3), (1, 6, 1, 2, 3)])
def test_views_make_no_node(sizes: tuple[int, ...]) -> None:
    site, x = start()
    view = shapes.reshape(site, x, sizes)
    assert (view.node, view.shape, view.sizes) == ("x", (6, 2, 3), sizes)
    assert shapes.reshape(site, view, (6, 2, 3)) == x


@pytest.mark.parametrize("sizes", [(36,), (36, 1), (36, 1, 1)])
def test_features_are_a_flatten_named_by_what_it_reads(sizes: tuple[int, ...]) -> None:
    site, x = start()
    flat = shapes.reshape(site, shapes.reshape(site, x, (6, 6)), sizes)
    assert (flat.node, flat.shape, flat.sizes) == ("x.flatten", (36, 1, 1), sizes)
    assert isinstance(site.graph["x.flatten"].op, Flatten)


@pytest.mark.parametrize("sizes", [(2, 18), (6, 3, 2), (3, 2, 6), (2, 3, 3, 2)])
def test_other_views_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(CompileError, match=r"^a: view is not supported here \(it makes \(N, .*\) o"
                                           r"f \(N, 6, 2, 3\); a reshape may only flatten every"):
        shapes.reshape(*start(), sizes)


@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4], [0, -3, 1, -2, -1]])
def test_channels_change_places(order: list[int]) -> None:
    site, x = start()
    moved = shapes.permute(site, shapes.reshape(site, x, (2, 3, 2, 3)), order)
    channels = picked(site.graph[moved.node].op)
    assert channels is not None and moved.sizes == (3, 2, 2, 3)
    np.testing.assert_array_equal(channels, np.arange(6).reshape(2, 3).T.ravel())


def test_an_order_that_changes_nothing_makes_no_node() -> None:
    site, x = start()
    assert shapes.permute(site, x, [0, 1, -2, 3]) == x


@pytest.mark.parametrize(("sizes", "order"), [
    ((6, 2, 3), [0, 2, 1, 3]), ((6, 2, 3), [0, 1, 3, 2]), ((2, 3, 2, 3), [0, 1, 2, 4, 3]),
    ((2, 3, 2, 3), [1, 0, 2, 3, 4]), ((6, 6), [0, 2, 1]),
])
def test_other_orders_are_refused(sizes: tuple[int, ...], order: list[int]) -> None:
    site, x = start()
    with pytest.raises(CompileError, match=r"shuffles cannot be compiled, and maps stay \(N, C, H"):
        shapes.permute(site, Value("x", x.shape, sizes), order)


def test_repeated_values_are_refused() -> None:
    site, x = start((6, 1, 1))
    assert shapes.expand(site, x, (6, 1, 1)) == x
    with pytest.raises(CompileError, match="it repeats values; maps keep their size"):
        shapes.expand(site, x, (6, 2, 2))


def test_joins_keep_how_maps_are_seen() -> None:
    site, x = start()
    flat = shapes.reshape(site, x, (6, 6))
    joined = shapes.cat(site, [flat, flat], -2)
    assert (joined.shape, joined.sizes) == ((12, 2, 3), (12, 6))
    assert shapes.cat(site, [x], 1) == x


def test_other_joins_are_refused() -> None:
    site, x = start()
    other = Value("x", (6, 3, 2), (6, 3, 2))
    for values, dim, sentence in (
            ([x, x], 2, r"does not join channels \(dim=1\)"),
            ([Value("x", x.shape, (2, 3, 2, 3))] * 2, 1, "does not join channels"),
            ([x, other], 1, r"its maps differ in size: \(6, 2, 3\), \(6, 3, 2\)"),
            ([Value("x", (6, 2, 3), (6, 6)), Value("x", (6, 3, 2), (6, 6))], 1, "differ in size")):
        with pytest.raises(CompileError, match=sentence):
            shapes.cat(site, values, dim)
