"""Rare large values, cut off where images that were not calibrated on show that it pays.

One value in ten thousand that is a hundred times larger stretches the scale of the input or of a
codebook until nothing is left of the others. Cutting it off ruins the images that have it. So
several shares are tried, and the one stands that keeps most on images held back from calibration:
of all of them together and of a typical one (closeness.Closeness.least).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ..ir.graph import Graph, Input, Output
from ..ir.quantised import Floats, Quantised
from .calibrate import Magnitudes, fill
from .closeness import affordable, closeness, spread
from .emulate import execute, pieces
from .exact import Exact

# a network that keeps this many dB on images held back is taken as it is
ENOUGH = 12.0
# what cutting must gain, and what it must lead to, in dB: less is found by chance
GAIN, RESCUED = 1.0, 3.0
# multiply-accumulates of the images that decide
MACS, FEWEST, MOST = 500_000_000, 8, 64

# node -> largest magnitude that it shall hold; the others are not limited
Limits = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Cut:
    """Shares of the non-zero values that are cut off: those of the input, and of every tensor."""

    input: float
    tensors: float

    def limits(self, graph: Graph, sizes: Mapping[str, Magnitudes]) -> Limits:
        """The limit of every tensor."""
        return {node.name: sizes[node.name].limit(
            self.input if isinstance(node.op, Input) else self.tensors) for node in graph}


CUTS = (Cut(0, 1e-4), Cut(0, 1e-3), Cut(1e-4, 1e-4), Cut(1e-3, 1e-3), Cut(1e-2, 1e-2))


def clipped(exact: Exact, held_back: Floats, within: Callable[[Limits], Quantised]) -> Quantised:
    """The network without limits, or within those that keep most of it on the images held back, if
    they keep enough more. within: the network within limits."""
    graph = exact.graph
    x = spread(held_back, affordable(graph, MACS, FEWEST, MOST))
    wanted = _outputs(graph, x)
    best = within({})
    most = _kept(best, x, wanted)
    if most >= ENOUGH:
        return best
    most = max(most + GAIN, RESCUED)
    sizes = {node.name: Magnitudes() for node in graph}
    fill(exact, sizes)
    for cut in CUTS:
        found = within(cut.limits(graph, sizes))
        kept = _kept(found, x, wanted)
        if kept > most:
            best, most = found, kept
    return best


def _outputs(graph: Graph, x: Floats, quantised: Quantised | None = None) -> dict[str, Floats]:
    """Every output of the float network, or of the clustered one."""
    weights, tensors = (quantised.weights, quantised.tensors) if quantised else ({}, {})
    parts = [{name: y for name, y in execute(graph, piece, weights, tensors)
              if isinstance(graph[name].op, Output)} for piece in pieces(graph, x)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _kept(quantised: Quantised, x: Floats, exact: Mapping[str, Floats]) -> float:
    """The least that is left of any output."""
    found = _outputs(quantised.graph, x, quantised)
    return min(closeness(exact[name], found[name]).least for name in exact)
