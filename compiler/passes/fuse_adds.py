"""An addition joins the convolution before it, which then has a second input, the skip tensor."""

from __future__ import annotations

import dataclasses

from ..ir.graph import Add, Conv, Graph, Input, Node, Skip
from ..ir.slices import picked
from .rewrite import drop_unread, only_reader, pointwise, set_op


def fuse_adds(graph: Graph) -> Graph:
    """Fuse every Add one of whose inputs is a convolution that only it reads.

    Of two such convolutions the one with more weights computes the sum. x + x becomes 2x. A Slice
    that is added is no layer of its own: the convolution reads every so many rows, columns and
    channels of what lies before it. A
    convolution of the network's input does not: its planes and the skip tensor together need more
    decode tables than there are.
    """
    graph = graph.copy()
    for node in list(graph):
        if isinstance(node.op, Add):
            _fuse(graph, node)
    return graph


def _fuse(graph: Graph, add: Node) -> None:
    first, second = graph.inputs(add.name)
    if first == second:
        double = pointwise(add.shape[0], "Add", scale=2.0)
        graph.replace(add.name, Node(add.name, double, add.shape, add.path), [first])
        return
    hosts = [name for name in (first, second) if _can_host(graph, name, add.name)]
    if not hosts:
        return
    host = max(hosts, key=lambda name: _weights(graph[name]))
    skip = second if host == first else first
    graph.replace(add.name, add, [host])
    graph.bypass(add.name)
    _add_skip(graph, host, skip)
    drop_unread(graph, skip)


def _add_skip(graph: Graph, host: str, skip: str) -> None:
    op, slice_ = graph[host].op, graph[skip].op
    assert isinstance(op, Conv)
    channels = picked(slice_)
    if channels is not None and not isinstance(graph[graph.inputs(skip)[0]].op, Input):
        assert isinstance(slice_, Conv)
        top, left = slice_.padding[:2]
        set_op(graph, host, dataclasses.replace(
            op, skip=Skip(slice_.stride, (-top, -left), channels)))
        (skip,) = graph.inputs(skip)
    graph.replace(host, graph[host], [*graph.inputs(host), skip])


def _can_host(graph: Graph, name: str, add: str) -> bool:
    op = graph[name].op
    return (isinstance(op, Conv) and len(graph.inputs(name)) == 1
            and not isinstance(graph[graph.inputs(name)[0]].op, Input)
            and only_reader(graph, name) == add)


def _weights(node: Node) -> int:
    assert isinstance(node.op, Conv)
    return 0 if picked(node.op) is not None else node.op.weight.size
