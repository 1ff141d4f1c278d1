"""The float network on calibration images, which every step of quantisation looks at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ir import layers
from ..ir.graph import Conv, Graph, Input, Node, without
from ..ir.quantised import Floats
from . import emulate
from .emulate import Held, compute, pieces


class Exact:
    """Every tensor of the float network on images x (n, C, H, W), exact as float64 is.

    Where memory holds all tensors of all images they are computed once, else whenever they are
    asked for.
    """

    def __init__(self, graph: Graph, x: Floats) -> None:
        self.graph = graph
        self._x = x
        fits = len(x) <= most_images(graph)
        self._held = [list(part) for part in self._parts()] if fits else None

    def tensors(self) -> Iterator[tuple[str, Floats]]:
        """Every tensor by node name, of some images after the others."""
        for part in self._held or self._parts():
            for node, sums in part:
                yield node.name, _output(node, sums)

    def sums(self) -> Iterator[tuple[Node, Floats]]:
        """Every node with what it computes, a convolution before its function, of all images
        together or of the first as many as memory holds."""
        if self._held is None:
            yield from _sums(self.graph, self._x[:most_images(self.graph)])
            return
        for same in zip(*self._held, strict=True):
            yield same[0][0], np.concatenate([sums for _, sums in same])

    def _parts(self) -> Iterator[Iterator[tuple[Node, Floats]]]:
        return (_sums(self.graph, piece) for piece in pieces(self.graph, self._x))


def most_images(graph: Graph) -> int:
    """How many images memory holds all tensors of."""
    return max(1, 4 * emulate.MOST_ELEMENTS // sum(int(np.prod(node.shape)) for node in graph))


def _sums(graph: Graph, x: Floats) -> Iterator[tuple[Node, Floats]]:
    held = Held(graph)
    for node in graph:
        if isinstance(node.op, Input):
            y = np.asarray(x, np.float64)
        else:
            y = compute(without(node) if isinstance(node.op, Conv) else node, held.inputs(node))
        yield node, y
        held.put(node, _output(node, y))


def _output(node: Node, sums: Floats) -> Floats:
    return layers.function(node.op.function).apply(sums) if isinstance(node.op, Conv) else sums
