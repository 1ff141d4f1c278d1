"""Batch norms that could not be folded become depthwise 1x1 convolutions."""

from __future__ import annotations

from ..ir.graph import BatchNorm, Conv, Graph
from .rewrite import set_op


def separate_batch_norm(graph: Graph) -> Graph:
    """Replace every batch norm that is left."""
    graph = graph.copy()
    for node in list(graph):
        if isinstance(node.op, BatchNorm):
            scale, shift = node.op.scale, node.op.shift
            set_op(graph, node.name, Conv(scale[:, None, None, None], shift, groups=len(scale),
                                          kind="BatchNorm2d"))
    return graph
