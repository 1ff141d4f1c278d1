"""Clustered weights: few magnitudes a layer, a scale a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir.quantised import ClusteredWeight, Floats
from .cluster import Clusterings, Points, nearest
from .shared import magnitudes_of, shared_magnitudes

# Alternations between magnitudes and scales, and the steps in which a scale may move in each. The
# layers of the two example networks gain 0.4 to 3.2 dB over scales that stay at the rms; a fourth
# round adds less than 0.1 dB.
ROUNDS = 3
GAINS = np.linspace(0.75, 1.35, 25)
# share of a channel's power by which two ways to add up an error never differ
CLOSE = 1e-6
# weights of a layer from which on only those that are not zero are looked at
LARGE = 1 << 22


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
    size = _rows(np.abs(weight))
    used = size != 0
    rms = _rms(size, used)
    relative = size / rms[:, None]
    scale = np.ones(len(weight))
    sizes = _Sizes(relative)
    for _ in range(ROUNDS):
        points = Points.of((relative / scale[:, None])[used])
        magnitudes = Clusterings(points, clusters).centroids(clusters)
        scale, assigned = _best_scales(relative, used, magnitudes, scale, sizes)
    return _clustered(weight, (rms, assigned), magnitudes, scale * rms)


def _rows(size: Floats) -> Floats:
    """Sizes by channel: (K, weights); of large layers those that are not zero, filled up with
    zeros to as many as the fullest channel has."""
    rows = size.reshape(len(size), -1)
    if rows.size < LARGE:
        return rows
    used = rows != 0
    counts = used.sum(axis=1)
    out = np.zeros((len(rows), int(counts.max(initial=0))))
    out[np.arange(out.shape[1]) < counts[:, None]] = rows[used]
    return out


def kept(weight: Floats, clusters: int) -> ClusteredWeight | None:
    """The weights (K, C/g, kh, kw) as they are, if they have no more magnitudes; else None."""
    if magnitudes_of(weight[:1]) > clusters:
        return None
    distinct = np.unique(np.abs(weight[weight != 0]))
    if len(distinct) <= clusters:
        magnitudes = distinct if len(distinct) else np.ones(1)
        return _clustered(weight, (), magnitudes, np.ones(len(weight)))
    return shared_magnitudes(weight, clusters)


def _clustered(weight: Floats, divisors: Sequence[Floats], magnitudes: Floats, scale: Floats
               ) -> ClusteredWeight:
    """Every weight as the magnitude nearest to its size divided by those of its channel."""
    used = np.flatnonzero(weight)
    size = np.abs(weight.reshape(-1)[used])
    for divisor in divisors:
        size /= np.repeat(divisor, np.count_nonzero(weight.reshape(len(weight), -1), axis=1))
    index = np.zeros(weight.size, np.min_scalar_type(len(magnitudes)))
    index[used] = nearest(magnitudes, size) + 1
    return ClusteredWeight(magnitudes, index.reshape(weight.shape), weight < 0, scale)


def _sum(values: NDArray[np.generic]) -> Floats:
    """Over all weights of a channel."""
    return values.sum(axis=1, dtype=np.float64)  # type: ignore[attr-defined]


def _rms(size: Floats, used: NDArray[np.bool_]) -> Floats:
    """Root mean square of each channel's non-zero weights, 1 for a channel without any."""
    count = _sum(used)
    return np.where(count > 0, np.sqrt(_sum(np.square(size)) / np.maximum(count, 1)), 1.0)


def _best_scales(relative: Floats, used: NDArray[np.bool_], magnitudes: Floats, scale: Floats,
                 sizes: _Sizes) -> tuple[Floats, Floats]:
    """The best of GAINS times each channel's scale.

    Returns the scales that the magnitudes are multiplied with, those of least squared error, and
    the ones that weights are divided by to find their magnitude. sizes: the same weights in order,
    which tell what is worth trying.
    """
    error = np.full(len(scale), np.inf)
    best, assigned = scale.copy(), scale.copy()
    for gain, promising in zip(GAINS, sizes.promising(magnitudes, scale).T, strict=True):
        rows = np.flatnonzero(promising)
        if rows.size:
            tried = scale[rows] * gain
            fitted, left = _fit(relative[rows], used[rows], magnitudes, tried)
            better = left < error[rows]
            rows = rows[better]
            error[rows], best[rows], assigned[rows] = left[better], fitted[better], tried[better]
    return best, assigned


def _fit(relative: Floats, used: NDArray[np.bool_], magnitudes: Floats, tried: Floats
         ) -> tuple[Floats, Floats]:
    """The scales of least squared error, and that error, for weights assigned by `tried`."""
    found = np.where(used, magnitudes[nearest(magnitudes, relative / tried[:, None])], 0.0)
    power = _sum(np.square(found))
    fitted = np.where(power > 0, _sum(relative * found) / np.maximum(power, 1e-300), 1.0)
    return fitted, _sum(np.square(relative - found * fitted[:, None]))


class _Sizes:
    """The sizes of each channel's weights, ascending, and their prefix sums."""

    def __init__(self, relative: Floats) -> None:
        self._sorted = np.sort(relative, axis=1)
        self._sums = np.pad(np.cumsum(self._sorted, axis=1), ((0, 0), (1, 0)))
        self._power = np.square(self._sorted).sum(axis=1)
        self._zeros = (self._sorted == 0).sum(axis=1)

    def promising(self, magnitudes: Floats, scale: Floats) -> NDArray[np.bool_]:
        """Gains (K, GAINS) that could be the best of a channel: all but those whose error, told
        from the sums of stretches of weights, is more than the least by what rounding can make."""
        error = self._power[:, None] - self._kept(magnitudes, scale)
        return error <= error.min(axis=1, keepdims=True) + CLOSE * self._power[:, None]

    def _kept(self, magnitudes: Floats, scale: Floats) -> Floats:
        """The power (K, GAINS) that the magnitudes times the best scale take away."""
        limits = reaching((magnitudes[1:] + magnitudes[:-1]) / 2, scale[:, None] * GAINS)
        ends = np.empty((*limits.shape[:2], len(magnitudes) + 1), np.int64)
        ends[..., 0], ends[..., -1] = self._zeros[:, None], self._sorted.shape[1]
        for at, sizes, limit in zip(ends[..., 1:-1], self._sorted, limits, strict=True):
            at[:] = np.searchsorted(sizes, limit)
        sums = np.take_along_axis(self._sums[:, None], ends, axis=2)
        power = np.diff(ends) @ np.square(magnitudes)
        return np.square(np.diff(sums) @ magnitudes) / np.maximum(power, 1e-300)


def reaching(quotients: Floats, divisors: Floats) -> Floats:
    """The least numbers whose quotients, as rounded, are at least these: (*divisors, quotients)."""
    divisors = divisors[..., None]
    out = quotients * divisors
    while (high := np.nextafter(out, 0) / divisors >= quotients).any():
        out = np.where(high, np.nextafter(out, 0), out)
    while (low := out / divisors < quotients).any():
        out = np.where(low, np.nextafter(out, np.inf), out)
    return out
