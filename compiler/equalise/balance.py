"""Scales of channels that make the noise of clustering small, by a model of it.

A layer reads a tensor whose channels c hold the mean square p_c, and noise of power 1 in channel c
makes noise of power g_c in the network's outputs. One codebook for the tensor makes an error that
is alike in all channels and grows with the sum of p_c; one set of magnitudes for the weights,
scaled by the row, one that is alike in all columns and grows with the row's sum of squares. What
both make in the outputs is proportional to

    (sum of p_c / s_c^2) * (sum of g_c * s_c^2)

for scales s_c: real value = s_c * stored value. One layer alone is best with s_c^4 = p_c / g_c, in
the manner of "Data-Free Quantization through Weight Equalization and Bias Correction" (Nagel and
others, ICCV 2019), which has ranges in the place of p and g.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Add, AvgPool, Conv, Graph
from ..ir.quantised import Floats, Ints
from .channels import Channels
from .sensitivity import Noise, Seen

# Rounds of improvement at most, and the change of log2 s^2 after which there are no more.
ROUNDS = 500
SETTLED = 0.005


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A layer and one tensor that it computes with.

    node, source: who reads what. channel: the class of each channel, power: p, weight: g; (C,).
    """

    node: str
    source: str
    channel: Ints
    power: Floats
    weight: Floats

    def noise(self, square: Floats) -> float:
        """Noise of the outputs in dB, up to a constant. square: s^2 by class."""
        scale = square[self.channel]
        found = (self.power / scale).sum() * (self.weight * scale).sum()
        return 10 * float(np.log10(found)) if found else 0.0


def readers(graph: Graph, of: Channels, seen: Mapping[str, Seen], noise: Noise) -> list[Reader]:
    """Every layer with every tensor that it computes with."""
    return [Reader(node.name, source, of.of[source], seen[source].power,
                   noise.read[node.name, slot])
            for node in graph if isinstance(node.op, Conv | Add | AvgPool)
            for slot, source in enumerate(graph.inputs(node.name))]


def balanced(parts: Sequence[Reader], free: NDArray[np.bool_]) -> Floats:
    """s^2 of every class for the least product of all readers' noise; 1 where it is not free.

    The noise is a sum of exponentials of log s, so each round can set s to the least of a function
    that touches it from above: it never grows. Channels that are always zero, or have no weight,
    keep 1.
    """
    square = np.ones(len(free))
    for _ in range(ROUNDS):
        held, read = np.zeros(len(free)), np.zeros(len(free))
        for part in parts:
            scale = square[part.channel]
            held += np.bincount(part.channel, _shares(part.power / scale), len(free))
            read += np.bincount(part.channel, _shares(part.weight * scale), len(free))
        moves = free & (held > 0) & (read > 0)
        step = np.sqrt(held[moves] / read[moves])
        square[moves] *= step
        if np.abs(np.log2(step)).max(initial=0) < SETTLED:
            break
    return square


def _shares(power: Floats) -> Floats:
    return power / (power.sum() or 1.0)
