"""Slices of slices become one: of rows, of columns, and channels cut off or filled with zeros."""

from __future__ import annotations

import dataclasses

from ..ir.graph import Graph
from ..ir.slices import merged, picked
from .rewrite import drop_unread


def merge_slices(graph: Graph) -> Graph:
    """Let every Slice that reads a Slice read what lies before that."""
    graph = graph.copy()
    for node in list(graph):
        if picked(node.op) is None:
            continue
        (source,) = graph.inputs(node.name)
        if picked(graph[source].op) is None:
            continue
        (before,) = graph.inputs(source)
        op = merged(graph[source].op, node.op, graph[before].shape, node.shape)
        graph.replace(node.name, dataclasses.replace(node, op=op), [before])
        drop_unread(graph, source)
    return graph
