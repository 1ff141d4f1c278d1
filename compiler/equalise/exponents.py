"""Graphs whose channels are stored as other numbers than the network's: divided by powers of two.

Powers of two, because no product or sum then rounds otherwise than before: a graph with scaled
channels computes bit for bit what the graph without them does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from ..ir.graph import Conv, Graph
from ..ir.layers import columns
from ..ir.quantised import Floats, Ints

# By node, int64 (C,): real value = 2^exponent * stored value. Zero where there is no entry.
Exponents = Mapping[str, Ints]


def factor(exponents: Exponents, name: str) -> Floats:
    """2^exponent of a node's channels: (C or 1, 1, 1)."""
    return 2.0 ** np.asarray(exponents.get(name, [0]), np.float64)[:, None, None]


def to_plain(exponents: Exponents) -> dict[str, tuple[int, ...]]:
    """As a program's metadata hold them."""
    return {name: tuple(own.tolist()) for name, own in exponents.items()}


def scaled_graph(graph: Graph, exponents: Exponents) -> Graph:
    """The canonical graph with its channels stored so. Channels that are tied must agree."""
    out = graph.copy()
    for node in graph:
        sources = graph.inputs(node.name)
        if isinstance(node.op, Conv):
            op = scaled(node.op, exponents, sources[0], node.name)
            if op is not node.op:
                out.replace(node.name, dataclasses.replace(node, op=op), sources)
    return out


def scaled(op: Conv, exponents: Exponents, source: str, own: str = "") -> Conv:
    """The convolution that reads `source` and writes `own` as they are stored."""
    if source in exponents:
        column = 2.0 ** exponents[source][columns(op)]
        op = dataclasses.replace(op, weight=op.weight * column[:, :, None, None])
    if own in exponents:
        row = 2.0 ** exponents[own]
        op = dataclasses.replace(op, weight=op.weight / row[:, None, None, None],
                                 bias=op.bias / row)
    return op
