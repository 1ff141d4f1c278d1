"""The grammar of canonical graphs; it only reads."""

from __future__ import annotations

from ..errors import InternalError
from ..ir.graph import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Graph,
    Input,
    MaxPool,
    Node,
    Output,
    Shape,
    Skip,
)
from ..ir.layers import cells, function, output_size


def check(graph: Graph) -> None:
    """Raise InternalError where the graph is not in canonical form (see graph.py)."""
    for node in graph:
        inputs = [graph[name] for name in graph.inputs(node.name)]
        _require(isinstance(node.op, Output) or bool(graph.readers(node.name)), node,
                 "is read by nothing")
        _check_node(node, inputs)
        _check_sources(node, inputs)
    _require_one_input(graph)


def _require(holds: bool, node: Node, what: str) -> None:
    if not holds:
        raise InternalError(f"{node.name} ({type(node.op).__name__}) {what}")


def _require_one_input(graph: Graph) -> None:
    count = sum(isinstance(node.op, Input) for node in graph)
    if count != 1:
        raise InternalError(f"a graph of {count} inputs")


def _check_node(node: Node, inputs: list[Node]) -> None:
    op, shapes = node.op, [source.shape for source in inputs]
    match op:
        case Input():
            _require(not inputs, node, "has inputs")
        case Output():
            _require(shapes == [node.shape], node, "does not pass its one input on")
        case Conv():
            _check_conv(node, op, inputs)
        case MaxPool() | AvgPool():
            _require(len(inputs) == 1, node, "needs one input")
            _check_pool(node, op, inputs[0])
        case Add():
            _require(shapes == [node.shape] * 2, node, "needs two tensors of its shape")
            _require(inputs[0].name != inputs[1].name, node, "adds a tensor to itself")
        case Concat():
            _require(len(inputs) > 1 and node.shape[0] == sum(s[0] for s in shapes)
                     and all(s[1:] == node.shape[1:] for s in shapes), node, "joins wrong shapes")
        case _:
            _require(False, node, "is not canonical")
    if isinstance(op, Conv | AvgPool | Add):
        function(op.function)


def _check_conv(node: Node, op: Conv, inputs: list[Node]) -> None:
    out, per_group = op.weight.shape[:2]
    _require(len(inputs) in (1, 2), node, "needs one or two inputs")
    source = inputs[0].shape
    _require(source[0] == per_group * op.groups and out % op.groups == 0, node,
             f"does not fit {source[0]} channels")
    _require(op.bias.shape == (out,), node, "has a bias of another size")
    _require(node.shape == (out, *output_size(op, source)), node, f"cannot make {node.shape}")
    _require(all(_skip_fits(op.skip, skip.shape, node.shape) for skip in inputs[1:]), node,
             "adds another shape")
    _require(len(inputs) == 1 or not isinstance(inputs[0].op, Input), node,
             "reads the input's planes and a skip tensor")


def _skip_fits(skip: Skip, source: Shape, output: Shape) -> bool:
    """Every element that is read exists."""
    lines = all(low >= 0 and low + step * (count - 1) < size for low, step, count, size
                in zip(skip.offset, skip.stride, output[1:], source[1:], strict=True))
    if skip.channels is None:
        return lines and source[0] == output[0]
    return lines and skip.channels.shape == output[:1] and int(skip.channels.max()) < source[0]


def _check_pool(node: Node, op: MaxPool | AvgPool, source: Node) -> None:
    floor = output_size(op, source.shape)
    _require(node.shape[0] == source.shape[0]
             and all(size - low in (0, 1) for size, low in zip(node.shape[1:], floor, strict=True)),
             node, f"cannot make {node.shape}")
    if isinstance(op, MaxPool):
        _require(bool(cells(op, source.shape, node.shape).all()), node, "has an empty window")


def _check_sources(node: Node, inputs: list[Node]) -> None:
    """Outputs are read by nothing, the input only where planes can be read."""
    for slot, source in enumerate(inputs):
        _require(not isinstance(source.op, Output), node, "reads an output")
        planes = isinstance(node.op, AvgPool) or isinstance(node.op, Conv) and slot == 0
        _require(planes or not isinstance(source.op, Input), node, "reads the input as codes")
