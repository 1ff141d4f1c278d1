"""Copies for readers that need codes of their own."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Add, Concat, Conv, Graph, Input, MaxPool, Output
from .rewrite import insert, pointwise, rewire


def insert_copies(graph: Graph) -> Graph:
    """Give a `Copy` to readers that cannot take the network's input.

    It lies in radix planes, which only the first input of a layer can read: max pools,
    concatenations, additions and outputs read an identity convolution instead, which makes codes.
    """
    graph = graph.copy()
    for node in list(graph):
        if isinstance(node.op, Input):
            _copy_input(graph, node.name)
    return graph


def _copy_input(graph: Graph, name: str) -> None:
    slots = list(_code_slots(graph, name))
    if not slots:
        return
    copy = insert(graph, f"{name}.copy", pointwise(graph[name].shape[0], "Copy"), name)
    for reader, slot in slots:
        rewire(graph, reader, slot, copy)


def _code_slots(graph: Graph, name: str) -> Iterator[tuple[str, int]]:
    """(reader, slot) wherever a tensor is read as codes, not through decode tables of planes."""
    for reader in graph.readers(name):
        op = graph[reader].op
        for slot, source in enumerate(graph.inputs(reader)):
            codes = isinstance(op, MaxPool | Concat | Add | Output) or isinstance(op, Conv) and slot
            if source == name and codes:
                yield reader, slot
