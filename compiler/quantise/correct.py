"""Biases that give every channel back the mean that clustering takes from it.

The errors of weights and inputs do not cancel within a channel: its sums move by a mean that the
next layers see in every element. On 2,500 test images of CIFAR-10, ResNet-20 has 81.4 % in floating
point; with 16 magnitudes a layer and 5-bit activations 80.2 %, and 81.0 % with corrected biases.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..ir import layers
from ..ir.graph import Conv, Input, Node, Output, without
from ..ir.quantised import ClusteredWeight, Codebook, Floats, Radix
from .emulate import Held, compute, rounded
from .exact import Exact


def correct_biases(exact: Exact, weights: dict[str, ClusteredWeight],
                   tensors: dict[str, Codebook | Radix]) -> dict[str, ClusteredWeight]:
    """The weights with biases that undo what their layer's sums lose in the mean over the images.

    Layers are corrected in order, each behind the corrected ones before it.
    """
    out = dict(weights)
    coded = Held(exact.graph)
    for node, wanted in exact.sums():
        if isinstance(node.op, Output):
            continue
        if isinstance(node.op, Input):
            y = wanted
        elif isinstance(node.op, Conv):
            y, out[node.name] = _corrected(node, node.op, wanted, coded.inputs(node),
                                           dataclasses.replace(weights[node.name], bias=None))
        else:
            y = compute(node, coded.inputs(node))
        coded.put(node, rounded(y, tensors[node.name]))
    return out


def _corrected(node: Node, op: Conv, wanted: Floats, coded: list[Floats],
               weight: ClusteredWeight) -> tuple[Floats, ClusteredWeight]:
    """Output of a convolution from rounded inputs, and its weight with a bias. wanted: the exact
    sums."""
    found = compute(without(node), coded, weight)
    moved = shift((wanted - found).mean(axis=(2, 3)))
    return (layers.function(op.function).apply(found + moved[:, None, None]),
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
