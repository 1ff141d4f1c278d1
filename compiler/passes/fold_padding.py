"""Zero padding moves into the layers that read the padded map, where that is exact."""

from __future__ import annotations

import dataclasses

from ..ir.graph import Activation, AvgPool, Concat, Conv, Graph, MaxPool, Op, Padding, Shape
from ..ir.layers import cells, nonnegative
from .rewrite import drop_unread, rewire, set_op


def fold_padding(graph: Graph) -> Graph:
    """Fold every `Pad` into its readers; one that has another reader stays a convolution."""
    graph = graph.copy()
    for node in list(graph):
        pad = graph[node.name].op
        if isinstance(pad, Conv) and pad.kind == "Pad":
            _fold(graph, node.name, pad)
    return graph


def _fold(graph: Graph, name: str, pad: Conv) -> None:
    (source,) = graph.inputs(name)
    for reader in graph.readers(name):
        op = _padded(graph, source, pad.padding, graph[reader].op, graph[reader].shape)
        if op is not None:
            set_op(graph, reader, op)
            rewire(graph, reader, 0, source)
    drop_unread(graph, name)


def _padded(graph: Graph, source: str, padding: Padding, op: Op, output: Shape) -> Op | None:
    """The reader's operation with the padding in it; None where that would change the result."""
    if isinstance(op, Conv):
        return dataclasses.replace(op, padding=_sum(op.padding, padding))
    if isinstance(op, AvgPool) and (op.count_padding or not any(op.padding)):
        return dataclasses.replace(op, padding=_sum(op.padding, padding), count_padding=True)
    if isinstance(op, MaxPool) and _never_negative(graph, source):
        out = dataclasses.replace(op, padding=_sum(op.padding, padding))
        return out if cells(out, graph[source].shape, output).all() else None
    return None


def _sum(a: Padding, b: Padding) -> Padding:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _never_negative(graph: Graph, name: str) -> bool:
    op = graph[name].op
    if isinstance(op, Activation):
        return nonnegative(op.function)
    if isinstance(op, MaxPool | AvgPool | Concat):
        return all(_never_negative(graph, source) for source in graph.inputs(name))
    return False
