"""What scales of channels change in the sums of layers, with real codebooks and clusters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from ...arch.config import Config
from ..ir.graph import Conv, Graph, Input, Output, without
from ..ir.quantised import Codebook, Floats
from ..quantise import emulate
from ..quantise.cluster import Points
from ..quantise.emulate import compute, pieces, rounded
from ..quantise.quantise import codebook, functions, groups, measured
from ..quantise.weights import cluster_weights
from .exponents import Exponents, factor, scaled


class Trial:
    """Layers of a canonical graph, tried on images x (n, C, H, W), or as many as memory holds.

    sums: what noise of power 1 in each layer's sums counts, by node and channel.
    """

    def __init__(self, graph: Graph, x: Floats, sums: Mapping[str, Floats], config: Config,
                 clusters: int) -> None:
        self._graph, self._sums, self._config, self._clusters = graph, sums, config, clusters
        self._x = next(pieces(graph, x))
        coded = [node.name for node in graph if not isinstance(node.op, Input | Output)]
        self._group = {name: group for group in groups(graph, coded) for name in group}

    @functools.cached_property
    def _exact(self) -> dict[str, Floats]:
        return emulate.run(self._graph, self._x)

    def gain(self, nodes: Sequence[str], sources: Sequence[str], exponents: Exponents) -> float:
        """dB of noise that the sums of these nodes lose by the scales, the mean of the nodes.

        sources: the tensors that are clustered; others stay exact.
        """
        plain, books = self._books(sources, {}), self._books(sources, exponents)
        return float(np.mean([self._noise(name, {}, plain) - self._noise(name, exponents, books)
                              for name in nodes]))

    def _books(self, sources: Sequence[str], exponents: Exponents) -> dict[str, Codebook]:
        out: dict[str, Codebook] = {}
        for name in sources:
            if name not in out:
                group = self._group[name]
                values = np.concatenate([(self._exact[other] / factor(exponents, other)).ravel()
                                         for other in measured(self._graph, group)])
                book = codebook(Points.of(values[values != 0]), functions(self._graph, group),
                                self._config)
                out.update(dict.fromkeys(group, book))
        return out

    def _noise(self, name: str, exponents: Exponents, books: Mapping[str, Codebook]) -> float:
        """Error of a node's sums, less its mean by channel, in dB and as the outputs count it."""
        node, sources = without(self._graph[name]), self._graph.inputs(name)
        wanted = compute(node, [self._exact[source] for source in sources])
        found = [self._coded(source, exponents, books) for source in sources]
        weight = None
        if isinstance(node.op, Conv):
            found[0] /= factor(exponents, sources[0])
            op = scaled(node.op, exponents, sources[0])
            node = dataclasses.replace(node, op=op)
            weight = cluster_weights(op.weight, self._clusters)
        error = compute(node, found, weight) - wanted
        counted = float((error.var(axis=(0, 2, 3)) * self._sums[name]).sum())
        return 10 * float(np.log10(counted)) if counted else 0.0

    def _coded(self, name: str, exponents: Exponents, books: Mapping[str, Codebook]) -> Floats:
        """A tensor behind its codebook, in the network's own units."""
        if name not in books:
            return self._exact[name].copy()
        own = factor(exponents, name)
        return rounded(self._exact[name] / own, books[name]) * own
