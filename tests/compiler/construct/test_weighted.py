"""Layers with weights: what their arrays must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kcnn.compiler.construct import weighted
from kcnn.compiler.construct.site import Site, Value, input_
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import Graph


def given(shape: tuple[int, int, int] = (4, 5, 6)) -> tuple[Site, Value]:
    site = Site(Graph(), "a", "layer")
    return site, input_(Site(site.graph, "forward", "x"), shape)


def test_shapes_of_convolutions() -> None:
    site, x = given()
    y = weighted.conv2d(site, x, np.ones((6, 2, 3, 2)), stride=(2, 1), padding=(1, 0, 0, 2),
                        dilation=(1, 3), groups=2)
    assert (y.shape, y.sizes) == ((6, 2, 5), (6, 2, 5))


def test_same_padding_is_larger_at_the_end() -> None:
    assert weighted.same_padding((3, 5), (1, 1)) == (1, 2, 1, 2)
    assert weighted.same_padding((4, 2), (1, 3)) == (1, 1, 2, 2)


def test_linear_layers_make_features() -> None:
    site, x = given((4, 1, 1))
    y = weighted.linear(site, Value(x.node, x.shape, (4,)), np.ones((3, 4)), np.ones(3))
    assert (y.shape, y.sizes) == ((3, 1, 1), (3,))


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda at, x: weighted.conv2d(at, x, np.ones((6, 4, 3))),
     r"its weights have 3 dimensions, 4 are needed: maps have two dimensions"),
    (lambda at, x: weighted.conv2d(at, x, np.ones((6, 3, 1, 1))),
     r"its weights \(6, 3, 1, 1\) in 1 groups do not read 4 channels"),
    (lambda at, x: weighted.conv2d(at, x, np.ones((5, 2, 1, 1)), groups=2), "in 2 groups do not"),
    (lambda at, x: weighted.conv2d(at, x, np.ones((6, 4, 1, 7))), "kernel is larger than its map"),
    (lambda at, x: weighted.conv2d(at, x, np.ones((6, 4, 1, 1)), np.ones(5)),
     r"its bias has the shape \(5,\), and it has 6 outputs"),
    (lambda at, x: weighted.linear(at, x, np.ones((3, 4))), "has 4 dimensions, 2 are needed: flat"),
    (lambda at, x: weighted.linear(at, Value(x.node, (120, 1, 1), (120,)), np.ones((3, 4))),
     r"its weights \(3, 4\) do not read 120 features"),
    (lambda at, x: weighted.batch_norm(at, x, None, None, None, None, 0.1),
     "it has no running statistics; train it with track_running_stats=True"),
    (lambda at, x: weighted.batch_norm(at, x, np.ones(3), np.ones(3), None, None, 0.1),
     "it has 3 channels, and its input 4"),
])
def test_arrays_that_do_not_fit_are_refused(build: Callable[[Site, Value], Value], sentence: str
                                            ) -> None:
    with pytest.raises(CompileError, match=rf"^a: layer is not supported here \(.*{sentence}"):
        build(*given())


def test_variances_must_be_positive() -> None:
    site, x = given()
    with pytest.raises(CompileError, match="^a: its running variance is not positive; train or lo"):
        weighted.batch_norm(site, x, np.zeros(4), np.full(4, -1.0), None, None, 0.1)
