"""Activations move into the `function` of the layer before them."""

from __future__ import annotations

import dataclasses

from ..ir.graph import Activation, Add, AvgPool, Concat, Conv, Graph, MaxPool
from ..ir.layers import function
from .rewrite import only_reader, pointwise, set_op


def fuse_activations(graph: Graph) -> Graph:
    """Fuse or replace every Activation.

    A layer whose only reader is an activation takes it over. A concatenation, and a max pool for a
    function that never falls, pass it on to the layers before them. Where a layer before has other
    readers or a function already, the activation becomes a depthwise 1x1 convolution.
    """
    graph = graph.copy()
    for node in list(graph):
        if not isinstance(node.op, Activation):
            continue
        (source,) = graph.inputs(node.name)
        if only_reader(graph, source) and _takes(graph, source, node.op.function):
            _give(graph, source, node.op.function)
            graph.bypass(node.name)
        else:
            set_op(graph, node.name,
                   pointwise(node.shape[0], "Activation", node.op.function))
    return graph


def _takes(graph: Graph, name: str, activation: str) -> bool:
    """The node, read by the activation only, can take it over."""
    op = graph[name].op
    if isinstance(op, Conv | AvgPool | Add):
        return op.function == "identity"
    if isinstance(op, Concat) or isinstance(op, MaxPool) and function(activation).monotone:
        return all(only_reader(graph, source) and _takes(graph, source, activation)
                   for source in graph.inputs(name))
    return False


def _give(graph: Graph, name: str, activation: str) -> None:
    op = graph[name].op
    if isinstance(op, Conv | AvgPool | Add):
        set_op(graph, name, dataclasses.replace(op, function=activation))
        return
    for source in graph.inputs(name):
        _give(graph, source, activation)
