"""Graphs in floating point, step by step towards the machine: the meaning of every stage.

A graph (traced or canonical) runs as it is, with clustered weights, or with clustered weights and
every tensor rounded to its codebook or radix scale. The machine's own arithmetic (factors,
requantisation) is the step after these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch.nn import functional

from ..errors import InternalError
from ..ir import layers
from ..ir.graph import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Graph,
    Input,
    MaxPool,
    Node,
    Output,
    Shape,
)
from ..ir.quantised import ClusteredWeight, Codebook, Floats, Quantised, Radix
from .cluster import nearest

# elements of all tensors that are held at once; larger batches run in pieces
MOST_ELEMENTS = 1 << 24

Weights = Mapping[str, ClusteredWeight]
Meanings = Mapping[str, Codebook | Radix]


def run(graph: Graph, x: Floats, weights: Weights | None = None, tensors: Meanings | None = None
        ) -> dict[str, Floats]:
    """Every tensor of a network, by node name, float64 (n, C, H, W).

    x: (n, C, H, W). weights, tensors: where given, what the graph computes with and rounds to.
    """
    return dict(execute(graph, x, weights or {}, tensors or {}))


def pieces(graph: Graph, x: Floats) -> Iterator[Floats]:
    """The images in batches that can run within MOST_ELEMENTS."""
    per_image = sum(int(np.prod(node.shape)) for node in graph)
    size = max(1, MOST_ELEMENTS // per_image)
    for start in range(0, len(x), size):
        yield x[start:start + size]


def execute(graph: Graph, x: Floats, weights: Weights, tensors: Meanings
            ) -> Iterator[tuple[str, Floats]]:
    """Like `run`, one node after the other; only what is still to be read is held."""
    held = Held(graph)
    for node in graph:
        if isinstance(node.op, Input):
            y = np.asarray(x, np.float64)
        else:
            y = compute(node, held.inputs(node), weights.get(node.name))
        if not isinstance(node.op, Output) and node.name in tensors:
            y = rounded(y, tensors[node.name])
        yield node.name, y
        held.put(node, y)


class Held:
    """Tensors of the nodes of a graph, each until the last node that reads it is there too."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors: dict[str, Floats] = {}
        self._unread = {node.name: len(graph.readers(node.name)) for node in graph}

    def __len__(self) -> int:
        return len(self._tensors)

    def inputs(self, node: Node) -> list[Floats]:
        """What a node reads, in slot order."""
        return [self._tensors[name] for name in self._graph.inputs(node.name)]

    def put(self, node: Node, tensor: Floats) -> None:
        """Hold what a node computed from its inputs."""
        self._tensors[node.name] = tensor
        for name in set(self._graph.inputs(node.name)):
            self._unread[name] -= 1
            if not self._unread[name]:
                del self._tensors[name]


def rounded(x: Floats, meaning: Codebook | Radix) -> Floats:
    """The nearest values that a tensor can hold."""
    if isinstance(meaning, Codebook):
        real = meaning.scale * meaning.values.astype(np.float64)
        return real[nearest(real, x)]
    limit = 1 << (meaning.bits - 1)
    return np.clip(np.floor(x / meaning.scale + 0.5), -limit, limit - 1) * meaning.scale


def compute(node: Node, inputs: list[Floats], weight: ClusteredWeight | None = None) -> Floats:
    """The output of one node; a Conv computes with `weight` where one is given."""
    match node.op:
        case Conv():
            if weight is None:
                return _conv(node.op, node.op.weight, node.op.bias, inputs)
            return _conv(node.op, weight.dense(), weight.bias_of(node.op.bias), inputs)
        case MaxPool():
            return _max_pool(node.op, inputs[0], node.shape)
        case AvgPool():
            return layers.function(node.op.function).apply(_average(node.op, inputs[0], node.shape))
        case Add():
            return layers.function(node.op.function).apply(inputs[0] + inputs[1])
        case Concat():
            return np.concatenate(inputs, axis=1)
        case BatchNorm():
            scale, shift = node.op.scale, node.op.shift
            return inputs[0] * scale[:, None, None] + shift[:, None, None]
        case Activation():
            return layers.function(node.op.function).apply(inputs[0])
        case Flatten():
            return inputs[0].reshape(len(inputs[0]), -1, 1, 1)
        case Output():
            return inputs[0]
    raise InternalError(f"{node.name}: {type(node.op).__name__} cannot be computed")


def _conv(op: Conv, weight: Floats, bias: Floats, inputs: list[Floats]) -> Floats:
    top, left, bottom, right = op.padding
    x = functional.pad(torch.tensor(inputs[0]), (left, right, top, bottom))
    y = functional.conv2d(x, torch.tensor(weight), torch.tensor(bias), op.stride, 0, op.dilation,
                          op.groups).numpy()
    for skip in inputs[1:]:
        y = y + layers.skipped(op.skip, skip, y.shape[1:])
    return layers.function(op.function).apply(y)


def _max_pool(op: MaxPool, x: Floats, shape: Shape) -> Floats:
    top, left, bottom, right = layers.covering(op, x.shape[1:], shape)
    padded = functional.pad(torch.tensor(x), (left, right, top, bottom), value=-torch.inf)
    return functional.max_pool2d(padded, op.kernel, op.stride, 0, op.dilation).numpy()


def _average(op: AvgPool, x: Floats, shape: Shape) -> Floats:
    top, left, bottom, right = layers.covering(op, x.shape[1:], shape)
    padded = functional.pad(torch.tensor(x), (left, right, top, bottom))
    sums = functional.avg_pool2d(padded, op.kernel, op.stride, divisor_override=1).numpy()
    return sums / layers.divisors(op, x.shape[1:], shape)


# ---- what each step loses -------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Loss:
    """What is left of one tensor, as SQNR in dB against the float network.

    weights: with clustered weights; activations: with tensors rounded too; integer: on the machine.
    fixed_point: the machine against the rounded network, that is what its arithmetic alone loses.
    None where no integer tensor is given.
    """

    name: str
    weights: float
    activations: float
    integer: float | None = None
    fixed_point: float | None = None


def explain(quantised: Quantised, x: Floats, integer: Mapping[str, Floats] | None = None
            ) -> list[Loss]:
    """The loss of every tensor that is computed, in the order of the graph.

    x: (n, C, H, W). integer: the machine's tensors as real numbers (n, C, H, W), by node name.
    """
    graph, integer = quantised.graph, integer or {}
    runs = (execute(graph, x, {}, {}), execute(graph, x, quantised.weights, {}),
            execute(graph, x, quantised.weights, quantised.tensors))
    rows = []
    for (name, exact), (_, clustered), (_, coded) in zip(*runs, strict=True):
        if isinstance(graph[name].op, Input | Output):
            continue
        machine = integer.get(name)
        rows.append(Loss(name, sqnr(exact, clustered), sqnr(exact, coded),
                         None if machine is None else sqnr(exact, machine),
                         None if machine is None else sqnr(coded, machine)))
    return rows


def sqnr(exact: Floats, found: Floats) -> float:
    """Power of `exact` over that of the difference, in dB; infinite where they are equal."""
    noise = float(np.square(np.asarray(exact) - found).sum())
    power = float(np.square(exact).sum())
    if noise == 0:
        return np.inf
    return 10 * float(np.log10(power / noise)) if power else -np.inf
