"""The checker refuses what is not canonical."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from kcnn.compiler.errors import InternalError
from kcnn.compiler.ir.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Graph,
    Input,
    MaxPool,
    Node,
    Op,
    Output,
)
from kcnn.compiler.passes import check

CONV = Conv(np.ones((4, 2, 3, 3)), np.zeros(4))


def built(*nodes: tuple[str, Op, tuple[int, int, int], list[str]]) -> Graph:
    graph = Graph()
    for name, op, shape, inputs in nodes:
        graph.add(Node(name, op, shape, name), inputs)
    return graph


def chain(op: Op, shape: tuple[int, int, int], inputs: tuple[str, ...] = ("first",)) -> Graph:
    """Input (2, 8, 8), a convolution `first` (4, 6, 6), the operation and an output."""
    return built(("x", Input(), (2, 8, 8), []), ("first", CONV, (4, 6, 6), ["x"]),
                 ("op", op, shape, list(inputs)), ("y", Output(), shape, ["op"]))


@pytest.mark.parametrize(("op", "shape", "inputs"), [
    (Conv(np.ones((4, 4, 1, 1)), np.zeros(4)), (4, 6, 6), ("first", "first")),
    (Conv(np.ones((4, 2, 3, 3)), np.zeros(4), groups=2, padding=(1, 0, 1, 2)), (4, 6, 6),
     ("first",)),
    (MaxPool((2, 2), (2, 2)), (4, 3, 3), ("first",)),
    (AvgPool((4, 4), (4, 4)), (4, 2, 2), ("first",)),       # ceil mode
    (Concat(), (8, 6, 6), ("first", "first")),
])
def test_canonical_graphs_pass(op: Op, shape: tuple, inputs: tuple) -> None:
    check(chain(op, shape, inputs))


@pytest.mark.parametrize(("op", "shape", "inputs", "sentence"), [
    (Activation("relu"), (4, 6, 6), ("first",), r"op \(Activation\) is not canonical"),
    (CONV, (4, 4, 4), ("first",), "does not fit 4 channels"),
    (dataclasses.replace(CONV, bias=np.zeros(3)), (4, 6, 6), ("x",), "has a bias of another size"),
    (CONV, (4, 6, 5), ("x",), r"cannot make \(4, 6, 5\)"),
    (CONV, (4, 6, 6), ("x", "x"), "adds another shape"),
    (CONV, (4, 6, 6), ("x", "first"), "reads the input's planes and a skip tensor"),
    (dataclasses.replace(CONV, function="softmax"), (4, 6, 6), ("x",), "no function is called"),
    (MaxPool((2, 2), (2, 2)), (4, 4, 5), ("first",), "cannot make"),
    (MaxPool((2, 2), (2, 2), (2, 0, 0, 0)), (4, 4, 3), ("first",), "has an empty window"),
    (MaxPool((1, 1), (1, 1)), (2, 8, 8), ("x",), "reads the input as codes"),
    (Add(), (4, 6, 6), ("first", "first"), "adds a tensor to itself"),
    (Add(), (4, 6, 6), ("first",), "needs two tensors"),
    (Concat(), (4, 6, 6), ("first",), "joins one tensor"),
    (Concat(), (8, 6, 6), ("first",), "joins wrong shapes"),
    (Concat(), (7, 6, 6), ("first", "first"), "joins wrong shapes"),
    (Input(), (4, 6, 6), ("first",), "has inputs"),
])
def test_others_are_refused(op: Op, shape: tuple, inputs: tuple, sentence: str) -> None:
    graph = chain(op, shape, inputs)
    if not graph.readers("first"):
        graph.add(Node("z", Output(), (4, 6, 6), "z"), ["first"])
    with pytest.raises(InternalError, match=sentence):
        check(graph)


def test_every_node_is_read() -> None:
    with pytest.raises(InternalError, match=r"first \(Conv\) is read by nothing"):
        check(built(("x", Input(), (2, 8, 8), []), ("first", CONV, (4, 6, 6), ["x"])))


def test_there_is_one_input() -> None:
    graph = chain(MaxPool((2, 2), (2, 2)), (4, 3, 3))
    graph.add(Node("x2", Input(), (2, 8, 8), "x2"), [])
    graph.add(Node("second", CONV, (4, 6, 6), "second"), ["x2"])
    graph.add(Node("y2", Output(), (4, 6, 6), "y2"), ["second"])
    with pytest.raises(InternalError, match="a graph of 2 inputs"):
        check(graph)
