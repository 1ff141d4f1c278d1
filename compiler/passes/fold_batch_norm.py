"""Batch norms move into the weights of a convolution before or behind them."""

from __future__ import annotations

import dataclasses

from ..ir.graph import BatchNorm, Conv, Graph
from ..ir.layers import columns
from .rewrite import only_reader, rewire, set_op


def fold_batch_norm(graph: Graph) -> Graph:
    """Fold every batch norm that can be folded exactly; the others stay, those in a row as one."""
    graph = graph.copy()
    for node in list(graph):
        if isinstance(node.op, BatchNorm):
            _join(graph, node.name)
    for node in list(graph):
        if isinstance(node.op, BatchNorm) and not _into_producer(graph, node.name, node.op):
            _into_readers(graph, node.name, node.op)
    return graph


def _join(graph: Graph, name: str) -> None:
    """Let a batch norm take over one before it that only it reads; drop it if it does nothing."""
    (source,) = graph.inputs(name)
    first, norm = graph[source].op, graph[name].op
    assert isinstance(norm, BatchNorm)
    if isinstance(first, BatchNorm) and only_reader(graph, source) == name:
        norm = BatchNorm(first.scale * norm.scale, first.shift * norm.scale + norm.shift)
        set_op(graph, name, norm)
        graph.bypass(source)
    if (norm.scale == 1).all() and not norm.shift.any():
        graph.bypass(name)


def _into_producer(graph: Graph, name: str, norm: BatchNorm) -> bool:
    (source,) = graph.inputs(name)
    op = graph[source].op
    if not isinstance(op, Conv) or only_reader(graph, source) != name:
        return False
    set_op(graph, source, dataclasses.replace(
        op, weight=op.weight * norm.scale[:, None, None, None],
        bias=op.bias * norm.scale + norm.shift))
    graph.bypass(name)
    return True


def _into_readers(graph: Graph, name: str, norm: BatchNorm) -> None:
    """Every reader must be a convolution whose windows never see the padding's zeros."""
    readers = {reader: graph[reader].op for reader in graph.readers(name)}
    unpadded = all(isinstance(op, Conv) and (max(op.padding) <= 0 or not norm.shift.any())
                   for op in readers.values())
    if not unpadded:
        return
    (source,) = graph.inputs(name)
    for reader, op in readers.items():
        assert isinstance(op, Conv)
        set_op(graph, reader, _behind(norm, op))
        rewire(graph, reader, 0, source)
    graph.nx.remove_node(name)


def _behind(norm: BatchNorm, op: Conv) -> Conv:
    """The convolution with the batch norm of its input in it."""
    channel = columns(op)
    bias = (op.weight.sum(axis=(2, 3)) * norm.shift[channel]).sum(axis=1)
    return dataclasses.replace(op, weight=op.weight * norm.scale[channel][:, :, None, None],
                               bias=op.bias + bias)
