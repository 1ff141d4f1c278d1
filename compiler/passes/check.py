"""The grammar of canonical graphs; it only reads."""

from __future__ import annotations

from ..ir.graph import Add, AvgPool, Concat, Conv, Graph, Input, MaxPool, Node, Output
from ..ir.verify import demand, verify

CANONICAL = Input | Conv | AvgPool | MaxPool | Add | Concat | Output


def check(graph: Graph) -> None:
    """Raise InternalError where the graph is not in canonical form (see graph.py)."""
    verify(graph)
    for node in graph:
        inputs = [graph[name] for name in graph.inputs(node.name)]
        _check_node(node, inputs)
        _check_planes(node, inputs)


def _check_node(node: Node, inputs: list[Node]) -> None:
    op = node.op
    demand(isinstance(op, CANONICAL), node, "is not canonical")
    if isinstance(op, Add):
        demand(inputs[0].name != inputs[1].name, node, "adds a tensor to itself")
    if isinstance(op, Concat):
        demand(len(inputs) > 1, node, "joins one tensor")
    if isinstance(op, Conv):
        demand(len(inputs) == 1 or not isinstance(inputs[0].op, Input), node,
                "reads the input's planes and a skip tensor")


def _check_planes(node: Node, inputs: list[Node]) -> None:
    """The input is read only where planes can be read."""
    for slot, source in enumerate(inputs):
        planes = isinstance(node.op, AvgPool) or isinstance(node.op, Conv) and slot == 0
        demand(planes or not isinstance(source.op, Input), node, "reads the input as codes")
