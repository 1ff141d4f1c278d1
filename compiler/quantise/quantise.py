"""Meanings for all tensors and clusters for all weights: canonical graph to Quantised.

Everything is exact 1-D k-means on what the float network shows on calibration data, so the result
is a function of its arguments alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import networkx as nx
import numpy as np

from ...arch.check import SCALES
from ...arch.config import Config
from ..errors import CompileError, InternalError
from ..ir.graph import Add, AvgPool, Concat, Conv, Graph, Input, MaxPool, Node, Output
from ..ir.quantised import ClusteredWeight, Codebook, Floats, Quantised, Radix
from ..stages import At, nowhere
from .calibrate import Histogram, check_calibration, fill, ranges
from .clipping import Limits, clipped
from .cluster import Clusterings, Points
from .correct import correct_biases
from .exact import Exact
from .segments import count
from .weights import cluster_weights

# bits of the input's integers on a machine that is wide enough; see input_bits()
INPUT_BITS = 8
OUTPUT_BITS = 16
# an output may grow to this many times what calibration has shown
HEADROOM = 2.0
# largest integer value of a codebook, where 2^AB values do not need more; see levels()
LEVELS = 127


def quantise(graph: Graph, calibration: Floats, config: Config, clusters: int = 16,
             held_back: Floats | None = None, at: At = nowhere) -> Quantised:
    """Quantise a canonical graph.

    calibration: floating point (n, C, H, W), finite, like what the network will see. held_back:
    more of the same kind, not calibrated on; where the network is poor on them, they decide
    whether rare large values are cut off. clusters: weight magnitudes a layer. at: is told the
    layer at hand. Raises CompileError
    for unfit calibration data or clusters.
    """
    check_clusters(clusters)
    check_calibration(graph, calibration)
    exact = Exact(graph, calibration)
    seen = ranges(exact)
    weights = _weights([node for node in graph if isinstance(node.op, Conv)], clusters, at)

    def within(limits: Limits) -> Quantised:
        tensors = _tensors(exact, config, seen, limits)
        return Quantised(graph, tensors, correct_biases(exact, weights, tensors), seen)

    if held_back is None or not len(held_back):
        return within({})
    check_calibration(graph, held_back)
    return clipped(exact, held_back, within)


def _weights(nodes: list[Node], clusters: int, at: At) -> dict[str, ClusteredWeight]:
    found = {}
    for number, node in enumerate(nodes):
        at(node.path, number, len(nodes))
        found[node.name] = cluster_weights(node.op.weight, clusters)  # type: ignore[attr-defined]
    return found


def check_clusters(clusters: int) -> None:
    """Refuse what is no number of magnitudes."""
    if not isinstance(clusters, int) or clusters < 1:
        raise CompileError(f"clusters must be a whole number, at least 1, found {clusters!r}; 16 "
                           "is usual")


# ---- tensors -------------------------------------------------------------------------------
def _tensors(exact: Exact, config: Config, seen: dict[str, tuple[float, float]], limits: Limits
             ) -> dict[str, Codebook | Radix]:
    """limits: the largest magnitude that an input or a codebook stands for, where it is limited."""
    graph = exact.graph
    out: dict[str, Codebook | Radix] = {}
    coded: list[str] = []
    for node in graph:
        largest = max(abs(limit) for limit in seen[node.name])
        bits = plane_bits(graph, node, config)
        if isinstance(node.op, Input):
            out[node.name] = radix(min(largest, limits.get(node.name, np.inf)), bits, config)
        elif bits:
            out[node.name] = radix(largest * HEADROOM, bits, config)
        elif not isinstance(node.op, Output):
            coded.append(node.name)
    together = list(groups(graph, coded))
    histograms = [_histogram(graph, group, seen, limits) for group in together]
    fill(exact, {name: histogram for group, histogram in zip(together, histograms, strict=True)
                 for name in measured(graph, group)})
    for group, histogram in zip(together, histograms, strict=True):
        book = codebook(histogram.points(), functions(graph, group), config)
        out.update(dict.fromkeys(group, book))
    return out


def is_radix_output(graph: Graph, node: Node) -> bool:
    """The node is read by outputs only, and can be drained without a clustering table."""
    readers = graph.readers(node.name)
    return (isinstance(node.op, Conv | AvgPool | Add) and node.op.function == "identity"
            and bool(readers) and all(isinstance(graph[r].op, Output) for r in readers))


def plane_bits(graph: Graph, node: Node, config: Config) -> int:
    """Bits of a tensor's integers that are kept in radix planes, 0 for a tensor of codes."""
    if isinstance(node.op, Input):
        return input_bits(config)
    return OUTPUT_BITS if is_radix_output(graph, node) else 0


def input_bits(config: Config) -> int:
    """Bits of an input's integers: the decode table holds them, and S one that is subtracted."""
    return min(INPUT_BITS, config.value_bits, config.sum_bits - 1)


def radix(largest: float, bits: int, config: Config) -> Radix:
    """A radix tensor whose greatest integer stands for `largest`."""
    scale = max((largest or 1.0) / ((1 << (bits - 1)) - 1), SCALES[0])
    return Radix(scale, bits, -(-bits // config.code_bits))


def groups(graph: Graph, names: list[str]) -> Iterator[list[str]]:
    """Tensors that must share a codebook, in the order of the graph."""
    together: nx.Graph = nx.Graph()
    together.add_nodes_from(names)
    for name in names:
        if isinstance(graph[name].op, MaxPool | Concat):
            together.add_edges_from((name, source) for source in graph.inputs(name))
    order = {name: i for i, name in enumerate(names)}
    for group in nx.connected_components(together):
        yield sorted(group, key=order.__getitem__)


def measured(graph: Graph, group: list[str]) -> list[str]:
    """The tensors of a group whose values something computes with, so whose error counts."""
    return [name for name in group
            if any(not isinstance(graph[r].op, MaxPool | Concat) for r in graph.readers(name))]


def _histogram(graph: Graph, group: list[str], seen: dict[str, tuple[float, float]],
               limits: Limits) -> Histogram:
    names = measured(graph, group)
    most = max(limits.get(name, np.inf) for name in names)
    return Histogram(max(-most, min(seen[name][0] for name in names)),
                     min(most, max(seen[name][1] for name in names)))


def functions(graph: Graph, group: list[str]) -> set[str]:
    ops = [graph[name].op for name in group]
    return {op.function for op in ops if isinstance(op, Conv | AvgPool | Add)}


# ---- codebooks -----------------------------------------------------------------------------
def codebook(points: Points, functions: set[str], config: Config) -> Codebook:
    """The best codebook for non-zero points whose clustering fits the machine's table.

    Zero is a value of its own. Every function of the layers that write the tensor must have at most
    2^AB segments; where one falls somewhere, that takes some of the values.
    """
    for values in candidates(points, config.codes - 1):
        book = rounded_codebook(values, levels(config))
        if all(count(function, book) <= config.codes for function in functions):
            return book
    raise InternalError("not even a codebook of zero alone fits")


def levels(config: Config) -> int:
    """The largest integer value of a codebook: enough that 2^AB codes can be distinct."""
    return min((1 << (config.value_bits - 1)) - 1, max(LEVELS, config.codes - 1))


def candidates(points: Points, most: int) -> Iterator[Floats]:
    """Real values beside zero, best first: so many negative, so many positive ones."""
    split = int(np.searchsorted(points.values, 0))
    below = Clusterings(Points(-points.values[:split][::-1], points.counts[:split][::-1]),
                        most, zero=True)
    above = Clusterings(Points(points.values[split:], points.counts[split:]), most, zero=True)
    choices = sorted((below.costs[i] + above.costs[j], i + j, i)
                     for i in range(len(below.costs)) for j in range(len(above.costs))
                     if i + j <= most)
    low, high = functools.cache(below.centroids), functools.cache(above.centroids)
    for _, together, i in choices:
        yield np.concatenate([-low(i)[::-1], high(together - i)])


def rounded_codebook(values: Floats, largest: int) -> Codebook:
    """Zero and the given real values on an integer grid; equal integers become one."""
    scale = float(np.abs(values).max(initial=0)) / largest
    if scale == 0:
        return Codebook(1.0 / largest, np.array([0, largest], np.int64))
    scale = max(scale, SCALES[0])
    integers = np.rint(values / scale).astype(np.int64)
    return Codebook(scale, np.unique(np.append(integers, 0)))
