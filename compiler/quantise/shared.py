"""Layers whose weights already share few magnitudes, up to a scale a channel.

Compression leaves weights sign * magnitude * scale of the channel, each product rounded to float32,
and folding a batch norm multiplies every channel once more. In logarithms the magnitudes of each
channel are then a part of one set, moved by the channel's own distance; that set is looked for
here.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..ir.quantised import ClusteredWeight, Floats

# relative difference of ratios that rounding to float32 makes, at most
TOLERANCE = 5e-7


@dataclasses.dataclass(eq=False)
class _Channel:
    """The distinct logarithms of a channel's magnitudes, ascending, and how far they are moved."""

    logs: Floats
    distance: float = 0.0


def shared_magnitudes(weight: Floats, clusters: int) -> ClusteredWeight | None:
    """The weights (K, C/g, kh, kw) kept to float32, or None if more than `clusters` are needed."""
    channels = []
    for row in np.abs(weight).reshape(len(weight), -1):
        logs = _distinct(np.log(np.unique(row[row > 0])))
        if len(logs) > clusters:
            return None
        channels.append(_Channel(logs))
    found = _together(channels, clusters)
    return None if found is None else _clustered(weight, found, channels)


def magnitudes_of(weight: Floats) -> int:
    """How many magnitudes weights have that are not almost equal."""
    return len(_distinct(np.log(np.unique(np.abs(weight[weight != 0])))))


def _distinct(logs: Floats) -> Floats:
    """Ascending numbers without those that are almost the one before."""
    return logs[np.append(True, np.diff(logs) > TOLERANCE)] if len(logs) else logs


def _together(channels: list[_Channel], clusters: int) -> Floats | None:
    """The set of logarithms, ascending; sets every channel's distance. None if it grows too large.

    Channels join as soon as the set holds them; where none does, the one that fits best adds what
    it has beside.
    """
    waiting = [channel for channel in channels if len(channel.logs)]
    if not waiting:
        return np.zeros(1)
    found = max(waiting, key=lambda channel: len(channel.logs)).logs
    while waiting:
        fits = [_fit(channel.logs, found) for channel in waiting]
        joining = [(c, d) for c, (count, d) in zip(waiting, fits, strict=True)
                   if count == len(c.logs)]
        if not joining:
            best = max(range(len(waiting)), key=lambda i: fits[i][0])
            found = _with(found, waiting[best].logs - fits[best][1])
            if len(found) > clusters:
                return None
            joining = [(waiting[best], fits[best][1])]
        for channel, distance in joining:
            channel.distance = distance
            waiting.remove(channel)
    return found


def _fit(logs: Floats, found: Floats) -> tuple[int, float]:
    """Most logarithms that one distance brings onto the set, and that distance."""
    distances = np.sort((logs[:, None] - found).ravel())
    ends = np.searchsorted(distances, distances + TOLERANCE, side="right")
    first = int(np.argmax(ends - np.arange(len(distances))))
    return int(ends[first]) - first, float(distances[first:ends[first]].mean())


def _with(found: Floats, logs: Floats) -> Floats:
    """The set with the logarithms that it does not have yet."""
    nearest = np.abs(logs[:, None] - found).min(axis=1)
    return np.sort(np.append(found, logs[nearest > TOLERANCE]))


def _clustered(weight: Floats, found: Floats, channels: list[_Channel]) -> ClusteredWeight:
    distance = np.array([c.distance for c in channels], np.float64)
    used = weight != 0
    size = np.log(np.where(used, np.abs(weight), 1.0)) - distance[:, None, None, None]
    index = np.searchsorted((found[1:] + found[:-1]) / 2, size, side="right") + 1
    return ClusteredWeight(np.exp(found), np.where(used, index, 0), weight < 0, np.exp(distance))
