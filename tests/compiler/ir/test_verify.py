"""Graphs that are none are refused, whatever broke them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kcnn.compiler.errors import InternalError
from kcnn.compiler.ir.graph import (
    Activation,
    BatchNorm,
    Conv,
    Flatten,
    Graph,
    Input,
    Node,
    Op,
    Output,
    Shape,
)
from kcnn.compiler.ir.verify import verify


def traced() -> Graph:
    """A graph that is not canonical."""
    graph = Graph()
    graph.add(Node("x", Input(), (2, 4, 4), "x"), [])
    graph.add(Node("norm", BatchNorm(np.ones(2), np.zeros(2)), (2, 4, 4), "norm"), ["x"])
    graph.add(Node("relu", Activation("relu"), (2, 4, 4), "relu"), ["norm"])
    graph.add(Node("flat", Flatten(), (32, 1, 1), "flat"), ["relu"])
    graph.add(Node("y", Output(2), (32, 1, 1), "y"), ["flat"])
    return graph


def put(name: str, op: Op, shape: Shape) -> Callable[[Graph], None]:
    """Another operation in the place of a node."""
    return lambda graph: graph.replace(name, Node(name, op, shape, name), graph.inputs(name))


def test_a_traced_graph_passes() -> None:
    verify(traced())


@pytest.mark.parametrize(("damage", "sentence"), [
    (put("norm", BatchNorm(np.ones(3), np.zeros(3)), (2, 4, 4)), "norm .* does not fit 2 channels"),
    (put("norm", BatchNorm(np.ones(2, np.float32), np.zeros(2)), (2, 4, 4)),
     r"norm \(BatchNorm\) has a scale that is not float64"),
    (put("relu", Activation("relu"), (2, 4, 5)), "relu .* needs one input of its shape"),
    (put("relu", Activation("swirl"), (2, 4, 4)), "no function is called swirl"),
    (put("relu", Op(), (2, 4, 4)), r"relu \(Op\) is an operation without a rule here"),
    (put("flat", Flatten(), (32, 1, 2)), r"flat .* cannot make \(32, 1, 2\)"),
    (put("relu", Activation("relu"), (2, 4, 0)), r"relu .* has the shape \(2, 4, 0\)"),
    (put("flat", Conv(np.ones((32, 2, 4, 4)), np.zeros(32), kind="Linear"), (31, 1, 1)),
     "flat .* cannot make"),
    (lambda graph: graph.nx.edges["norm", "relu"].update(slots=(1,)), r"has the input slots \[1\]"),
    (lambda graph: graph.nx.edges["norm", "relu"].update(slots=(0, 0)), r"slots \[0, 0\]"),
    (lambda graph: graph.nx.remove_node("y"), r"flat \(Flatten\) is read by nothing"),
    (lambda graph: graph.nx.add_edge("relu", "norm", slots=(1,)), "a graph that goes round"),
    (lambda graph: graph.nx.nodes["relu"].update(node=graph["norm"]),
     "norm .* is found under the name relu"),
    (lambda graph: graph.add(Node("z", Output(), (32, 1, 1), "z"), ["y"]), "z .* reads an output"),
])
def test_others_are_refused(damage: Callable[[Graph], None], sentence: str) -> None:
    graph = traced()
    damage(graph)
    with pytest.raises(InternalError, match=sentence):
        verify(graph)
