"""Flatten disappears: a Linear behind it becomes a convolution whose kernel is the whole map."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import CompileError
from ..ir.graph import Activation, Conv, Flatten, Graph, Node, Shape
from .rewrite import drop_unread, insert, rewire, set_op

# weights of a Flatten that must be computed; more would take gigabytes
LARGEST = 1 << 24


def flatten(graph: Graph) -> Graph:
    """Remove every Flatten.

    Elementwise functions behind it move before it, Linear layers take the map itself. Where
    anything else reads the flat tensor, the Flatten becomes a convolution that picks one element a
    channel.
    """
    graph = graph.copy()
    waiting = [node.name for node in graph if isinstance(node.op, Flatten)]
    while waiting:
        name = waiting.pop(0)
        for reader in graph.readers(name):
            op = graph[reader].op
            if isinstance(op, Conv) and op.kind == "Linear":
                _whole_map(graph, name, reader, op)
            elif isinstance(op, Activation):
                waiting.append(_behind(graph, name, reader))
        if graph.readers(name):
            _compute(graph, name)
        else:
            drop_unread(graph, name)
    return graph


def _whole_map(graph: Graph, name: str, reader: str, op: Conv) -> None:
    (source,) = graph.inputs(name)
    shape = graph[source].shape
    set_op(graph, reader, dataclasses.replace(op, weight=op.weight.reshape(-1, *shape)))
    rewire(graph, reader, 0, source)


def _behind(graph: Graph, name: str, activation: str) -> str:
    """Put the activation before the Flatten: a new Flatten follows it, whose name is returned."""
    (source,) = graph.inputs(name)
    readers = graph.readers(activation)
    node = graph[activation]
    graph.replace(activation, Node(activation, node.op, graph[source].shape, node.path), [source])
    after = insert(graph, f"{activation}.flatten", Flatten(), activation, node.shape)
    for reader in readers:
        for slot, other in enumerate(graph.inputs(reader)):
            if other == activation:
                rewire(graph, reader, slot, after)
    return after


def _compute(graph: Graph, name: str) -> None:
    (source,) = graph.inputs(name)
    c, h, w = shape = graph[source].shape
    if c * (h * w) ** 2 > LARGEST:
        raise CompileError(f"{graph[name].path}: the flattened map {shape} is too large to be "
                           "read by anything but a Linear layer; pool it first or flatten it on "
                           "the host")
    set_op(graph, name, _pick(shape))


def _pick(shape: Shape) -> Conv:
    """Output channel (c, y, x), counted in this order, is the element (c, y, x)."""
    c, h, w = shape
    one = np.eye(h * w).reshape(1, h * w, 1, h, w)
    weight = np.broadcast_to(one, (c, h * w, 1, h, w)).reshape(c * h * w, 1, h, w)
    return Conv(weight, np.zeros(len(weight)), groups=c, kind="Flatten")
