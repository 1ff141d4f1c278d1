"""What the float network's tensors look like on calibration data: ranges, histograms, tails."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...arch.check import SCALES
from ..errors import CompileError
from ..ir.graph import Graph, Input
from ..ir.quantised import Floats
from .cluster import MOST_POINTS, Points, binned
from .exact import Exact


@dataclasses.dataclass
class Histogram:
    """The non-zero values of some tensors in even bins, with the exact sum of each bin."""

    low: float
    high: float

    def __post_init__(self) -> None:
        self._counts = np.zeros(MOST_POINTS)
        self._sums = np.zeros(MOST_POINTS)

    def add(self, values: Floats) -> None:
        """Count values; those beyond low or high count as these."""
        values = np.clip(values[values != 0], self.low, self.high)
        span = max(self.high - self.low, np.finfo(float).tiny)
        at = ((values - self.low) / span * MOST_POINTS).astype(np.int64)
        at = np.clip(at, 0, MOST_POINTS - 1)
        self._counts += np.bincount(at, minlength=MOST_POINTS)
        self._sums += np.bincount(at, values, minlength=MOST_POINTS)

    def points(self) -> Points:
        """The histogram as points, ascending."""
        return binned(self._counts, self._sums)


@dataclasses.dataclass
class Magnitudes:
    """How many of some tensors' non-zero values are how large: STEPS bins an octave."""

    STEPS: ClassVar[int] = 16

    def __post_init__(self) -> None:
        self._counts = np.zeros(MOST_POINTS)

    def add(self, values: Floats) -> None:
        """Count values."""
        at = np.floor(self.STEPS * np.log2(np.abs(values[values != 0]))) + MOST_POINTS // 2
        self._counts += np.bincount(np.clip(at, 0, MOST_POINTS - 1).astype(np.int64),
                                    minlength=MOST_POINTS)

    def limit(self, share: float) -> float:
        """A magnitude that at most this share of the values exceeds, to a bin; infinite where that
        is the largest."""
        above = self._counts[::-1].cumsum()[::-1] > share * self._counts.sum()
        last = int(above.sum()) - 1
        if last < 0 or not self._counts[last + 1:].any():
            return np.inf
        return 2.0 ** ((last + 1 - MOST_POINTS // 2) / self.STEPS)


def check_calibration(graph: Graph, x: Floats) -> None:
    """Refuse calibration data that are not finite images of the network's input shape."""
    shape = next(node.shape for node in graph if isinstance(node.op, Input))
    if x.ndim != 4 or x.shape[1:] != shape:
        raise CompileError(f"calibration: images of shape {shape} are needed, found an array of "
                           f"shape {x.shape}; give float32 (n, C, H, W)")
    if len(x) == 0:
        raise CompileError("calibration: there is no image; give at least one, better a hundred")
    if not np.issubdtype(x.dtype, np.floating):
        raise CompileError(f"calibration: float32 values are needed, found {x.dtype}; scale the "
                           "images as for the network and convert them")
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise CompileError(f"calibration: {bad} of {x.size} values are NaN or infinite; clean the "
                           "data")
    if np.abs(x).max() > SCALES[1]:
        raise CompileError(f"calibration: its values reach {np.abs(x).max():.3g}, more than "
                           f"{SCALES[1]:.3g}; scale the images as for the network")


def ranges(exact: Exact) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every tensor, by node name."""
    out: dict[str, tuple[float, float]] = {}
    for name, y in exact.tensors():
        low, high = out.get(name, (np.inf, -np.inf))
        out[name] = min(low, _single(y.min())), max(high, _single(y.max()))
    for name, (low, high) in out.items():
        path = exact.graph[name].path
        if not np.isfinite([low, high]).all():
            raise CompileError(f"{path}: its values become infinite or NaN on the "
                               "calibration data; check the network and the scale of the data")
        if max(-low, high) > SCALES[1]:
            raise CompileError(f"{path}: its values reach {max(-low, high):.3g} on the "
                               f"calibration data, more than {SCALES[1]:.3g}; check the network "
                               "and the scale of the data")
    return out


def fill(exact: Exact, histograms: Mapping[str, Histogram | Magnitudes]) -> None:
    """Add every tensor to the counts that stand under its name."""
    for name, y in exact.tensors():
        if name in histograms:
            histograms[name].add(y.astype(np.float32).astype(np.float64))


def _single(value: float) -> float:
    """Rounded to float32, so that the last bits of a sum's order do not count."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
