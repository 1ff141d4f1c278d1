"""Channels that must be scaled alike, and those that cannot be scaled at all.

A channel may be divided by a positive number where all that reads it can undo that: a convolution
can, by a column of its weights. Maxima, means, sums and whatever passes channels on cannot, so
what goes in and what comes out gets one scale. A function that is not positively homogeneous, the
host, and weights of few magnitudes, which a column's scale would part, keep their channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Add, AvgPool, Concat, Conv, Graph, Input, MaxPool, Node, Output, Skip
from ..ir.layers import columns, homogeneous
from ..ir.quantised import Ints
from ..quantise.weights import kept
from .exponents import Exponents

Pairs = Iterator[tuple[Ints, Ints]]


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """of: the class of every channel, by node: int64 (C,). why: for every class why it keeps its
    scale, as the end of a sentence; empty where it may be scaled."""

    of: dict[str, Ints]
    why: tuple[str, ...]

    @property
    def free(self) -> NDArray[np.bool_]:
        """The classes that may be scaled: (classes,)."""
        return np.array([not why for why in self.why], bool)

    def by_node(self, exponents: Ints) -> Exponents:
        """Exponents of classes as those of channels, for the nodes that have any."""
        found = {name: exponents[classes] for name, classes in self.of.items()}
        return {name: own for name, own in found.items() if own.any()}


def channels(graph: Graph, clusters: int) -> Channels:
    """The classes of a canonical graph, where a layer's weights keep so many magnitudes."""
    sizes = [node.shape[0] for node in graph]
    starts = np.cumsum([0, *sizes])
    own = {node.name: np.arange(start, start + size)
           for node, start, size in zip(graph, starts, sizes, strict=False)}
    together: nx.Graph = nx.empty_graph(int(starts[-1]))
    for node in graph:
        for a, b in _ties(graph, node, own):
            together.add_edges_from(zip(a.tolist(), b.tolist(), strict=True))
    label = np.zeros(starts[-1], np.int64)
    found = list(nx.connected_components(together))
    for number, members in enumerate(found):
        label[list(members)] = number
    why = [""] * len(found)
    for node in graph:
        for members, reason in _fixed(graph, node, own, clusters):
            for number in label[members].tolist():
                why[number] = why[number] or reason
    return Channels({name: label[members] for name, members in own.items()}, tuple(why))


def added(skip: Skip, outputs: int) -> tuple[Ints, Ints]:
    """Output channels that something is added to, and the channels of the skip tensor."""
    reads = np.arange(outputs) if skip.channels is None else skip.channels
    return np.flatnonzero(reads >= 0), reads[reads >= 0]


def _ties(graph: Graph, node: Node, own: dict[str, Ints]) -> Pairs:
    """Channels of equal scale."""
    sources, out = [own[name] for name in graph.inputs(node.name)], own[node.name]
    match node.op:
        case MaxPool() | AvgPool() | Add() | Output():
            for source in sources:
                yield source, out
        case Concat():
            yield np.concatenate(sources), out
        case Conv():
            for source in sources[1:]:
                to, of = added(node.op.skip, len(out))
                yield source[of], out[to]
            if _passes(node.op):
                k, c = np.nonzero(node.op.weight.any(axis=(2, 3)))
                yield sources[0][columns(node.op)[k, c]], out[k]


def _passes(op: Conv) -> bool:
    """It passes channels on, all times one factor: two codebooks of one scale lose nothing more."""
    used = op.weight[op.weight != 0]
    return homogeneous(op.function) and bool((used == used[:1]).all()) and not _mixing(op).any()


def _mixing(op: Conv) -> NDArray[np.bool_]:
    """Rows that read several channels: (K,). Other rows turn a column's scale into their own."""
    return op.weight.any(axis=(2, 3)).sum(axis=1) > 1


def _fixed(graph: Graph, node: Node, own: dict[str, Ints], clusters: int
           ) -> Iterator[tuple[Ints, str]]:
    """Channels whose scale must stay, and why."""
    op = node.op
    if isinstance(op, Input):
        yield own[node.name], f"{node.name} comes from the host, which can scale it (preprocess)"
    if isinstance(op, Output):
        yield own[node.name], f"{node.name} goes to the host"
    if isinstance(op, Conv | AvgPool | Add) and not homogeneous(op.function):
        yield own[node.name], f"{node.path} ends in {op.function}, which is not proportional"
    if isinstance(op, Conv) and _mixing(op).any() and kept(op.weight, clusters) is not None:
        read = columns(op)[_mixing(op)]
        yield (own[graph.inputs(node.name)[0]][np.unique(read)],
               f"the weights of {node.path} share their magnitudes")
