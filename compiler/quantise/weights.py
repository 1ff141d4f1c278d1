"""Clustered weights: few magnitudes a layer, a scale a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.quantised import ClusteredWeight, Floats
from .cluster import Clusterings, Points, nearest
from .shared import shared_magnitudes

# Alternations between magnitudes and scales, and the steps in which a scale may move in each. The
# layers of the two example networks gain 0.4 to 3.2 dB over scales that stay at the rms; a fourth
# round adds less than 0.1 dB.
ROUNDS = 3
GAINS = np.linspace(0.75, 1.35, 25)


def cluster_weights(weight: Floats, clusters: int) -> ClusteredWeight:
    """Weights (K, C/g, kh, kw) as at most `clusters` magnitudes times a scale a channel.

    Zeros stay zero, others stay non-zero. A layer of few magnitudes is kept exactly, one whose
    channels have them times a scale each to the rounding of float32. Else the magnitudes are the
    k-means of |w| / scale over all non-zero weights, the scales begin at the rms of each channel's,
    and both move in turn to make the relative error of the channels small.
    """
    exact = kept(weight, clusters)
    if exact is not None:
        return exact
    used = weight != 0
    size = np.abs(weight)
    rms = _rms(size, used)
    relative = size / _wide(rms)
    scale = np.ones(len(weight))
    for _ in range(ROUNDS):
        points = Points.of((relative / _wide(scale))[used])
        magnitudes = Clusterings(points, clusters).centroids(clusters)
        scale, assigned = _best_scales(relative, used, magnitudes, scale)
    return _clustered(weight, relative / _wide(assigned), magnitudes, scale * rms)


def kept(weight: Floats, clusters: int) -> ClusteredWeight | None:
    """The weights (K, C/g, kh, kw) as they are, if they have no more magnitudes; else None."""
    size = np.abs(weight)
    distinct = np.unique(size[weight != 0])
    if len(distinct) <= clusters:
        magnitudes = distinct if len(distinct) else np.ones(1)
        return _clustered(weight, size, magnitudes, np.ones(len(weight)))
    return shared_magnitudes(weight, clusters)


def _clustered(weight: Floats, size: Floats, magnitudes: Floats, scale: Floats) -> ClusteredWeight:
    index = np.where(weight != 0, nearest(magnitudes, size) + 1, 0)
    return ClusteredWeight(magnitudes, index, weight < 0, scale)


def _wide(channels: Floats) -> Floats:
    return channels[:, None, None, None]


def _sum(values: NDArray[np.generic]) -> Floats:
    """Over all weights of a channel."""
    return values.sum(axis=(1, 2, 3), dtype=np.float64)  # type: ignore[attr-defined]


def _rms(size: Floats, used: NDArray[np.bool_]) -> Floats:
    """Root mean square of each channel's non-zero weights, 1 for a channel without any."""
    count = _sum(used)
    return np.where(count > 0, np.sqrt(_sum(np.square(size)) / np.maximum(count, 1)), 1.0)


def _best_scales(relative: Floats, used: NDArray[np.bool_], magnitudes: Floats, scale: Floats
                 ) -> tuple[Floats, Floats]:
    """The best of GAINS times each channel's scale.

    Returns the scales that the magnitudes are multiplied with, those of least squared error, and
    the ones that weights are divided by to find their magnitude.
    """
    error = np.full(len(scale), np.inf)
    best, assigned = scale, scale
    for gain in GAINS:
        tried = scale * gain
        found = np.where(used, magnitudes[nearest(magnitudes, relative / _wide(tried))], 0.0)
        power = _sum(np.square(found))
        fitted = np.where(power > 0, _sum(relative * found) / np.maximum(power, 1e-300), 1.0)
        left = _sum(np.square(relative - found * _wide(fitted)))
        better = left < error
        error = np.where(better, left, error)
        best = np.where(better, fitted, best)
        assigned = np.where(better, tried, assigned)
    return best, assigned
