"""Channels of one tensor brought to like ranges, where the layers around can undo it.

One codebook holds all channels of a tensor and one set of magnitudes all weights of a layer, so a
channel that is small beside the others is lost, even where the next layer makes it large again.
Here each channel is divided by a power of two and the weights that read it are multiplied with it:
not a bit of the float network's results changes. balance.py finds the scales; they are kept where
real codebooks and clusters lose less with them on calibration images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import networkx as nx
import numpy as np

from ...arch.columns import columns, span
from ...arch.config import Config
from ...arch.meta import MOST_EXPONENT
from ..ir.graph import Graph
from ..ir.quantised import Floats, Ints
from ..quantise.calibrate import check_calibration
from ..stages import At, nowhere
from .balance import Reader, balanced, readers
from .channels import Channels, channels
from .exponents import Exponents, scaled_graph
from .sensitivity import look, noise
from .trial import Trial

# calibration images that are looked at, and those whose sums are computed
IMAGES = 32
TRIED = 8
# dB that scales must gain, by the model to be tried and then by what is measured
PROMISING = 1.0
WORTH = 0.5
# dB that the model must see lost for a layer to be told
TOLD = 6.0


@dataclasses.dataclass(frozen=True)
class Uneven:
    """A layer that reads channels of unequal range which keep it. loss: dB, by the model."""

    path: str
    loss: float
    why: str

    def __str__(self) -> str:
        return (f"{self.path}: the channels that it reads differ in range, which costs about "
                f"{self.loss:.0f} dB, and cannot be equalised, since {self.why}")


@dataclasses.dataclass(frozen=True, eq=False)
class Equalised:
    """A canonical graph with equalised channels. exponents: real value = 2^exponent * value in
    the graph, by node and channel. uneven: what could not be helped."""

    graph: Graph
    exponents: Exponents = dataclasses.field(default_factory=dict)
    uneven: tuple[Uneven, ...] = ()

    def __str__(self) -> str:
        """The graph, a line for every node with scaled channels, and what could not be helped."""
        scaled = [(name, int(np.count_nonzero(own)), len(own), span(own))
                  for name, own in self.exponents.items() if own.any()]
        table = columns(("scaled", "channels", "of", "exponents of 2"), scaled)
        return "\n\n".join([str(self.graph), table if scaled else "no channel is scaled",
                            *map(str, self.uneven)])


def equalise(graph: Graph, calibration: Floats, config: Config, clusters: int = 16,
             at: At = nowhere) -> Equalised:
    """Equalise a canonical graph, as far as its clusters and codebooks gain by it.

    calibration, config, clusters: as for quantise. Raises CompileError for unfit calibration data.
    """
    check_calibration(graph, calibration)
    of = channels(graph, clusters)
    with np.errstate(over="ignore", invalid="ignore"):
        seen = look(graph, _some(calibration, IMAGES))
        counts = noise(graph, seen)
    parts = readers(graph, of, seen, counts)
    if not all(np.isfinite([part.power, part.weight]).all() for part in parts):
        return Equalised(graph)         # quantise says what becomes infinite
    trial = Trial(graph, _some(calibration, TRIED), counts.sums, config, clusters)
    chosen = _chosen(graph, of, parts, trial, at)
    exponents = of.by_node(chosen)
    return Equalised(scaled_graph(graph, exponents), exponents,
                     tuple(_uneven(graph, of, parts, chosen)))


def _some(x: Floats, count: int) -> Floats:
    """At most so many images, from everywhere."""
    return x[::-(-len(x) // count)]


def _chosen(graph: Graph, of: Channels, parts: list[Reader], trial: Trial, at: At) -> Ints:
    """The exponents of all classes, zero where they gain nothing."""
    best = np.rint(np.log2(balanced(parts, of.free)) / 2).clip(-MOST_EXPONENT, MOST_EXPONENT)
    best = best.astype(np.int64)
    out = np.zeros(len(best), np.int64)
    groups = list(_together(of, parts))
    for number, together in enumerate(groups):
        at(graph[together[0].node].path, number, len(groups))
        own = np.zeros(len(best), np.int64)
        classes = np.concatenate([part.channel for part in together])
        own[classes] = best[classes]
        if (_gain(together, own) >= PROMISING
                and trial.gain([part.node for part in together],
                               [part.source for part in together], of.by_node(own)) >= WORTH):
            out += own
    return out


def _together(of: Channels, parts: list[Reader]) -> Iterator[list[Reader]]:
    """Readers whose tensors have scales that depend on one another."""
    links: nx.Graph = nx.Graph()
    for number, part in enumerate(parts):
        free = np.unique(part.channel[of.free[part.channel]])
        links.add_edges_from((number, -1 - c) for c in free.tolist())
    for found in nx.connected_components(links):
        yield [parts[number] for number in sorted(found) if number >= 0]


def _gain(parts: list[Reader], exponents: Ints) -> float:
    """dB that the model sees gained, the mean of all readers."""
    before, after = np.ones(len(exponents)), np.exp2(2.0 * exponents)
    return float(np.mean([part.noise(before) - part.noise(after) for part in parts]))


def _uneven(graph: Graph, of: Channels, parts: list[Reader], chosen: Ints) -> Iterator[Uneven]:
    """Layers that would lose less if what keeps its scale did not have to."""
    now, best = np.exp2(2.0 * chosen), balanced(parts, np.ones(len(chosen), bool))
    for part in parts:
        loss = part.noise(now) - part.noise(best)
        kept = [of.why[c] for c in part.channel.tolist() if of.why[c]]
        if loss >= TOLD and kept:
            yield Uneven(graph[part.node].path, loss, kept[0])
