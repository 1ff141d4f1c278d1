"""What images look like, in a few numbers; whether others look like them.

An image has features: its least and greatest value, its standard deviation, the mean step from a
pixel to the next one across and down, and the mean of every channel. Of the calibration images a
binary keeps mean and standard deviation of each. The mean over N other images may be
FAR + FARTHER / sqrt(N) standard deviations away: images of one class, or a few, are still alike,
those that miss a scaling, an offset or an order of their axes are not (bench/likeness.py).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAR, FARTHER = 3.0, 6.0
LEAST_SPREAD = 0.03          # of a feature, as a share of the range of all values
MOST_CHANNELS = 16           # whose means are kept by themselves
DIGITS = 5                   # significant ones that are kept
NAMES = ("least value", "greatest value", "standard deviation", "step across", "step down")

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Likeness:
    """mean, spread: of every feature over the images (spread: the standard deviation, but not less
    than LEAST_SPREAD). low, high: of all values."""

    low: float
    high: float
    mean: tuple[float, ...]
    spread: tuple[float, ...]


def measure(x: Floats) -> Likeness:
    """What images (N, C, H, W) look like."""
    found = features(x)
    low, high = float(x.min()), float(x.max())
    spread = np.maximum(found.std(axis=0), LEAST_SPREAD * (high - low))
    return Likeness(_short(low), _short(high), *(tuple(map(_short, row.tolist())) for row in (
        found.mean(axis=0), spread)))


def features(x: Floats) -> NDArray[np.float64]:
    """(N, features) of images (N, C, H, W)."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    steps = [np.abs(np.diff(x, axis=axis)).reshape(len(x), -1) for axis in (3, 2)]
    columns = [flat.min(axis=1), flat.max(axis=1), flat.std(axis=1),
               *(step.mean(axis=1, dtype=np.float64) if step.size else np.zeros(len(x))
                 for step in steps)]
    means = x.mean(axis=(2, 3), dtype=np.float64)
    if x.shape[1] > MOST_CHANNELS:
        means = means.mean(axis=1, keepdims=True)
    return np.column_stack([*columns, means])


def unlike(known: Likeness, x: Floats) -> str | None:
    """What is unusual about images (N, C, H, W), in words; None where nothing is."""
    found = features(x).mean(axis=0)
    if len(found) != len(known.mean):
        return None
    away = np.abs(found - known.mean) / np.maximum(known.spread, np.finfo(float).tiny)
    worst = int(away.argmax())
    if not away[worst] > FAR + FARTHER / math.sqrt(len(x)):
        return None
    return (f"the {_name(worst, len(found))} of an image is {found[worst]:.4g} on average, there "
            f"{known.mean[worst]:.4g}, varying by {known.spread[worst]:.2g}")


def _name(number: int, count: int) -> str:
    if number < len(NAMES):
        return NAMES[number]
    alone = count == len(NAMES) + 1
    return "mean value" if alone else f"mean value of channel {number - len(NAMES)}"


def _short(value: float) -> float:
    """A few digits: the last bits of a sum depend on the processor."""
    return float(f"{value:.{DIGITS}g}")


def to_plain(known: Likeness) -> dict[str, Any]:
    """As metadata hold it."""
    return dataclasses.asdict(known)
