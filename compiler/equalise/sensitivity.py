"""What noise in a channel makes of noise in the network's outputs, by a linear model.

Noise is taken as independent in all elements: what a layer sums up adds up in power, and a function
multiplies it with the square of its slope. So it goes from the outputs back, once through all
layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from ..ir.graph import Activation, Add, AvgPool, Concat, Conv, Graph, MaxPool, Node, Output, without
from ..ir.layers import columns, function
from ..ir.quantised import Floats, Ints
from ..quantise.emulate import execute, pieces
from .channels import added

# A slope is measured over so much of the root mean square of all sums of a layer.
STEP = 1e-3
# Variances are at least this share of the mean square: an output that is almost constant would
# count too much otherwise.
LEAST = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What a tensor shows on calibration images, by channel: (C,).

    power: mean square. variance. slope: mean square of the slope of its function.
    """

    power: Floats
    variance: Floats
    slope: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class Noise:
    """What noise of power 1 makes in the outputs, as a share of their variance, by channel.

    sums: in the sums of a layer, by node: (K,). read: in what a node reads from an input slot.
    """

    sums: dict[str, Floats]
    read: dict[tuple[str, int], Floats]


# ---- what is seen ------------------------------------------------------------------------------
def look(graph: Graph, x: Floats) -> dict[str, Seen]:
    """What every tensor of a canonical graph shows on images x (n, C, H, W), by node."""
    apart, sums_of = _apart(graph)
    total: dict[str, Floats] = {}
    for piece in pieces(apart, x):
        sums: dict[str, Floats] = {}
        for name, y in execute(apart, piece, {}, {}):
            if name in sums_of:
                sums[sums_of[name]] = y
            else:
                found = _moments(graph[name], y, sums.pop(name, None))
                total[name] = total.get(name, 0.0) + found * (len(piece) / len(x))
    return {name: Seen(power, np.maximum(power - np.square(mean), LEAST * power), slope)
            for name, (mean, power, slope) in total.items()}


def _apart(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """The graph with every function as a node of its own, and whose sums the added nodes are."""
    out, sums_of = Graph(), {}
    for node in graph:
        sources = graph.inputs(node.name)
        called = getattr(node.op, "function", "identity")
        if called != "identity":
            sums = graph.unique(f"{node.name}.sums")
            sums_of[sums] = node.name
            out.add(dataclasses.replace(without(node), name=sums), sources)
            node, sources = dataclasses.replace(node, op=Activation(called)), [sums]
        out.add(node, sources)
    return out, sums_of


def _moments(node: Node, y: Floats, sums: Floats | None) -> Floats:
    """Mean, mean square, and mean square of the function's slope: (3, C)."""
    slope = np.ones_like(y)
    if sums is not None:
        assert isinstance(node.op, Conv | Add | AvgPool)
        apply = function(node.op.function).apply
        step = STEP * (float(np.sqrt(np.square(sums).mean())) or 1.0)
        slope = (apply(sums + step) - apply(sums - step)) / (2 * step)
    return np.stack([part.mean(axis=(0, 2, 3)) for part in (y, np.square(y), np.square(slope))])


# ---- the way back ------------------------------------------------------------------------------
def noise(graph: Graph, seen: Mapping[str, Seen]) -> Noise:
    """How much noise counts everywhere, from what the tensors have shown."""
    sums, read = {}, {}
    made = {node.name: np.zeros(node.shape[0]) for node in graph}
    for node in reversed(list(graph)):
        sums[node.name] = made[node.name] * seen[node.name].slope
        if isinstance(node.op, Output):
            sums[node.name] = np.full(node.shape[0], 1 / (seen[node.name].variance.sum() or 1.0))
        for slot, (source, found) in enumerate(zip(
                graph.inputs(node.name), _back(graph, node, sums[node.name]), strict=True)):
            read[node.name, slot] = found
            made[source] += found
    return Noise(sums, read)


def _back(graph: Graph, node: Node, sums: Floats) -> Iterator[Floats]:
    """What noise in each input of a node makes, from what noise in its sums does."""
    channels = [graph[name].shape[0] for name in graph.inputs(node.name)]
    match node.op:
        case Conv():
            rows = np.square(node.op.weight).sum(axis=(2, 3)) * sums[:, None]
            yield _summed(columns(node.op), rows, channels[0])
            for count in channels[1:]:
                k, c = added(node.op.skip, len(sums))
                yield _summed(c, sums[k], count)
        case AvgPool():
            yield sums / (node.op.kernel[0] * node.op.kernel[1])
        case Add():
            yield from (sums, sums)
        case Concat():
            yield from np.split(sums, np.cumsum(channels)[:-1])
        case MaxPool() | Output():
            yield sums


def _summed(channel: Ints, power: Floats, count: int) -> Floats:
    return np.bincount(channel.ravel(), power.ravel(), count).astype(np.float64)
