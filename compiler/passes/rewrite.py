"""What several passes do to a graph."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Conv, Graph, Node, Op, Shape


def pointwise(channels: int, kind: str, function: str = "identity", scale: float = 1.0) -> Conv:
    """A depthwise 1x1 convolution: y = function(scale * x)."""
    return Conv(np.full((channels, 1, 1, 1), scale), np.zeros(channels), groups=channels, kind=kind,
                function=function)


def insert(graph: Graph, name: str, op: Op, source: str, shape: Shape | None = None) -> str:
    """Add a node that reads `source`, with a name like the given one; returns its name."""
    node = graph[source]
    name = graph.unique(name)
    graph.add(Node(name, op, shape or node.shape, node.path), [source])
    return name


def set_op(graph: Graph, name: str, op: Op) -> None:
    """Give a node another operation; inputs and shape stay."""
    node = graph[name]
    graph.replace(name, Node(name, op, node.shape, node.path), graph.inputs(name))


def rewire(graph: Graph, reader: str, slot: int, source: str) -> None:
    """Let one slot of a reader read another node."""
    inputs = graph.inputs(reader)
    inputs[slot] = source
    graph.replace(reader, graph[reader], inputs)


def only_reader(graph: Graph, name: str) -> str | None:
    """The node's reader, where it has just one that reads it just once."""
    readers = graph.readers(name)
    if len(readers) != 1 or graph.inputs(readers[0]).count(name) != 1:
        return None
    return readers[0]


def drop_unread(graph: Graph, name: str) -> None:
    """Remove a node that nothing reads any more."""
    if not graph.readers(name):
        graph.nx.remove_node(name)
