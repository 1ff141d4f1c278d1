"""Biases that give every channel back the mean that clustering takes from it.

The errors of weights and inputs do not cancel within a channel: its sums move by a mean that the
next layers see in every element. On 2,500 test images of CIFAR-10, ResNet-20 has 81.4 % in floating
point; with 16 magnitudes a layer and 5-bit activations 80.2 %, and 81.0 % with corrected biases.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..ir import layers
from ..ir.graph import Conv, Graph, Input, Node, Output, without
from ..ir.quantised import ClusteredWeight, Codebook, Floats, Radix
from .emulate import MOST_ELEMENTS, compute, rounded


def correct_biases(graph: Graph, x: Floats, weights: dict[str, ClusteredWeight],
                   tensors: dict[str, Codebook | Radix]) -> dict[str, ClusteredWeight]:
    """The weights with biases that undo what their layer's sums lose in the mean over x.

    Layers are corrected in order, each behind the corrected ones before it.
    """
    out = dict(weights)
    x = x[:max(1, 4 * MOST_ELEMENTS // sum(int(np.prod(node.shape)) for node in graph))]
    exact: dict[str, Floats] = {}
    coded: dict[str, Floats] = {}
    unread = {node.name: len(graph.readers(node.name)) for node in graph}
    for node in graph:
        names = graph.inputs(node.name)
        if isinstance(node.op, Output):
            continue
        if isinstance(node.op, Input):
            exact[node.name] = y = np.asarray(x, np.float64)
        elif isinstance(node.op, Conv):
            exact[node.name], y, out[node.name] = _corrected(
                node, node.op, [exact[n] for n in names], [coded[n] for n in names],
                dataclasses.replace(weights[node.name], bias=None))
        else:
            exact[node.name] = compute(node, [exact[n] for n in names])
            y = compute(node, [coded[n] for n in names])
        coded[node.name] = rounded(y, tensors[node.name])
        for name in set(names):
            unread[name] -= 1
            if not unread[name]:
                del exact[name], coded[name]
    return out


def _corrected(node: Node, op: Conv, exact: list[Floats], coded: list[Floats],
               weight: ClusteredWeight) -> tuple[Floats, Floats, ClusteredWeight]:
    """Outputs of a convolution from exact and from rounded inputs, and its weight with a bias."""
    sums = without(node)
    wanted, found = compute(sums, exact), compute(sums, coded, weight)
    moved = shift((wanted - found).mean(axis=(2, 3)))
    apply = layers.function(op.function).apply
    return (apply(wanted), apply(found + moved[:, None, None]),
            dataclasses.replace(weight, bias=op.bias + moved))


def shift(errors: Floats) -> Floats:
    """Mean over the images (n, K), less what so few images make of errors that have no mean."""
    if len(errors) < 2:
        return np.zeros(errors.shape[1])
    mean = errors.mean(axis=0)
    doubt = errors.var(axis=0, ddof=1) / len(errors)
    power = np.square(mean)         # zero too where the mean is below the root of the least double
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sure = np.where(power > 0, np.maximum(0, 1 - doubt / power), 0.0)
    # to float32, so that the last bits of a sum's order do not count
    return (mean * sure).astype(np.float32).astype(np.float64)
