"""The clustering of an elementwise function: which code on which stretch of the real line."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..ir import layers
from ..ir.quantised import Codebook, Floats, Ints

# halvings after which two doubles, of all, are neighbours
HALVINGS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Segments:
    """x -> rank of the codebook value nearest to function(x).

    starts: (S - 1,) ascending; ranks: (S,). Segment i is starts[i - 1] <= x < starts[i].
    """

    starts: Floats
    ranks: Ints

    def __len__(self) -> int:
        return len(self.ranks)

    def __call__(self, x: Floats) -> Ints:
        return self.ranks[np.searchsorted(self.starts, x, side="right")]

    def within(self, low: float, high: float) -> Segments:
        """The segments in which low <= x <= high can lie; the outer two have no end."""
        first, end = np.searchsorted(self.starts, [low, high], side="right")
        return Segments(self.starts[first:end], self.ranks[first:end + 1])


def boundaries(codebook: Codebook) -> Floats:
    """Real values half way between neighbours of a codebook."""
    real = codebook.values * codebook.scale
    return (real[1:] + real[:-1]) / 2


def segments(function: str, codebook: Codebook) -> Segments:
    """The segments of a function (a name of layers.py) on the whole real line.

    A function that never falls has at most one a value; each stretch on which it falls adds some.
    """
    f = layers.function(function)
    between = boundaries(codebook)
    edges, at_edges = _edges(f, between)
    starts, ranks = [np.zeros(0)], [at_edges[:1]]
    for low, high, before, after in zip(edges, edges[1:], at_edges, at_edges[1:], strict=False):
        rises = after >= before
        crossed = np.arange(before, after) if rises else np.arange(before - 1, after - 1, -1)
        starts.append(_crossings(f, between[crossed], low, high, rises))
        ranks.append(crossed + 1 if rises else crossed)
    return _without_empty(np.concatenate(starts), np.concatenate(ranks).astype(np.int64))


def count(function: str, codebook: Codebook) -> int:
    """len(segments(...)) without looking for where they begin.

    Two that begin at the same double count as two here, so it is never less.
    """
    _, at_edges = _edges(layers.function(function), boundaries(codebook))
    return 1 + int(np.abs(np.diff(at_edges)).sum())


def _edges(f: layers.Function, between: Floats) -> tuple[Floats, Ints]:
    """The ends of the stretches on which f is monotone, and the ranks that it has there."""
    far = 1e6 * (1 + float(np.abs(between).max(initial=0)))
    edges = np.array([-far, *f.turns, far])
    return edges, np.searchsorted(between, f.apply(edges), side="right")


def _crossings(f: layers.Function, levels: Floats, low: float, high: float, rises: bool) -> Floats:
    """The least x in [low, high], where f is monotone, with f(x) >= level (falling: < level).

    The doubles in order are halved, not the stretch: near zero they lie closer than any stretch.
    """
    lows = np.full(len(levels), _rank_of_double(np.float64(low)))
    highs = np.full(len(levels), _rank_of_double(np.float64(high)))
    for _ in range(HALVINGS):
        middle = (lows & highs) + ((lows ^ highs) >> 1)      # (lows + highs) >> 1 in 64 bits
        reached = (f.apply(_double_of_rank(middle)) >= levels) == rises
        highs = np.where(reached, middle, highs)
        lows = np.where(reached, lows, middle)
    return _double_of_rank(highs)


def _rank_of_double(x: np.float64) -> np.int64:
    """Doubles as integers of the same order; 0 for both zeros."""
    bits = x.view(np.int64)
    return bits if bits >= 0 else np.iinfo(np.int64).min - bits


def _double_of_rank(rank: Ints) -> Floats:
    """Inverse of `_rank_of_double`."""
    bits = np.where(rank >= 0, rank, np.iinfo(np.int64).min - np.minimum(rank, 0))
    return bits.view(np.float64)


def _without_empty(starts: Floats, ranks: Ints) -> Segments:
    """Of several segments that start at one place, as at a step of the function, the last."""
    keep = np.append(np.diff(starts) > 0, True) if len(starts) else np.zeros(0, bool)
    return Segments(starts[keep], ranks[np.append(True, keep)])
