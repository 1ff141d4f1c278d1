"""What holds for every graph, traced, canonical or between two passes; it only reads."""

from __future__ import annotations

import networkx as nx
import numpy as np

from ..errors import InternalError, require
from .graph import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Graph,
    Input,
    MaxPool,
    Node,
    Output,
    Shape,
    Skip,
)
from .layers import cells, function, output_size


def verify(graph: Graph) -> None:
    """Raise InternalError where names, slots, shapes or types of arrays do not fit together."""
    if not nx.is_directed_acyclic_graph(graph.nx):
        raise InternalError("a graph that goes round")
    for name, data in graph.nx.nodes(data=True):
        demand(data["node"].name == name, data["node"], f"is found under the name {name}")
    for node in graph:
        _check_slots(graph, node)
        _check_arrays(node)
        _check_node(node, [graph[name] for name in graph.inputs(node.name)])
    count = sum(isinstance(node.op, Input) for node in graph)
    if count != 1:
        raise InternalError(f"a graph of {count} inputs")


def demand(holds: bool, node: Node, what: str) -> None:
    """Raise InternalError, a sentence that begins with the node, where something does not hold."""
    require(holds, f"{node.name} ({type(node.op).__name__})", what)


def _check_slots(graph: Graph, node: Node) -> None:
    edges = graph.nx.in_edges(node.name, data="slots")
    slots = sorted(slot for _, _, feeds in edges for slot in feeds)
    demand(slots == list(range(len(slots))), node, f"has the input slots {slots}")
    demand(isinstance(node.op, Output) or bool(graph.readers(node.name)), node,
            "is read by nothing")
    for source in graph.inputs(node.name):
        demand(not isinstance(graph[source].op, Output), node, "reads an output")


def _check_arrays(node: Node) -> None:
    for name, value in vars(node.op).items():
        demand(not isinstance(value, np.ndarray) or value.dtype == np.float64, node,
                f"has a {name} that is not float64")
    demand(len(node.shape) == 3 and all(isinstance(n, int) and n > 0 for n in node.shape), node,
            f"has the shape {node.shape}")


def _check_node(node: Node, inputs: list[Node]) -> None:
    op, shapes = node.op, [source.shape for source in inputs]
    match op:
        case Input():
            demand(not inputs, node, "has inputs")
        case Output():
            demand(shapes == [node.shape], node, "does not pass its one input on")
        case Conv():
            _check_conv(node, op, inputs)
        case MaxPool() | AvgPool():
            demand(len(inputs) == 1, node, "needs one input")
            _check_pool(node, op, inputs[0])
        case BatchNorm():
            demand(shapes == [node.shape], node, "needs one input of its shape")
            demand(op.scale.shape == op.shift.shape == node.shape[:1], node,
                    f"does not fit {node.shape[0]} channels")
        case Activation():
            demand(shapes == [node.shape], node, "needs one input of its shape")
        case Flatten():
            demand([(int(np.prod(shape)), 1, 1) for shape in shapes] == [node.shape], node,
                    f"cannot make {node.shape}")
        case Add():
            demand(shapes == [node.shape] * 2, node, "needs two tensors of its shape")
        case Concat():
            demand(node.shape[0] == sum(s[0] for s in shapes)
                    and all(s[1:] == node.shape[1:] for s in shapes), node, "joins wrong shapes")
        case _:
            demand(False, node, "is an operation without a rule here")
    if isinstance(op, Conv | AvgPool | Add | Activation):
        function(op.function)


def _check_conv(node: Node, op: Conv, inputs: list[Node]) -> None:
    out, per_group = op.weight.shape[:2]
    demand(len(inputs) in (1, 2), node, "needs one or two inputs")
    source = inputs[0].shape
    demand(source[0] == per_group * op.groups and out % op.groups == 0, node,
            f"does not fit {source[0]} channels")
    demand(op.bias.shape == (out,), node, "has a bias of another size")
    demand(node.shape == (out, *output_size(op, source)), node, f"cannot make {node.shape}")
    demand(all(_skip_fits(op.skip, skip.shape, node.shape) for skip in inputs[1:]), node,
            "adds another shape")


def _skip_fits(skip: Skip, source: Shape, output: Shape) -> bool:
    """Every element that is read exists."""
    lines = all(low >= 0 and low + step * (count - 1) < size for low, step, count, size
                in zip(skip.offset, skip.stride, output[1:], source[1:], strict=True))
    if skip.channels is None:
        return lines and source[0] == output[0]
    return lines and skip.channels.shape == output[:1] and int(skip.channels.max()) < source[0]


def _check_pool(node: Node, op: MaxPool | AvgPool, source: Node) -> None:
    floor = output_size(op, source.shape)
    demand(node.shape[0] == source.shape[0]
            and all(size - low in (0, 1) for size, low in zip(node.shape[1:], floor, strict=True)),
            node, f"cannot make {node.shape}")
    if isinstance(op, MaxPool):
        demand(bool(cells(op, source.shape, node.shape).all()), node, "has an empty window")
