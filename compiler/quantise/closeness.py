"""How close an output is to the float network's: what is left of it, in dB, over some images."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..ir.graph import Conv, Graph
from ..ir.quantised import Floats
from .emulate import sqnr

# what differs from image to image by less than this part of an output's power is rounding
STILL = 1e-18


@dataclasses.dataclass(frozen=True)
class Closeness:
    """One output against the float network's, over the same images; SQNR in dB, the larger the
    better.

    sqnr: of the values as they are; infinite where they are equal. varying: the signal is what
    differs from each element's mean over the images, so that a network whose output hardly varies
    is seen through; -infinite where nothing varies, NaN for a single image. typical: the same of
    each image by itself, its (lower) median; a few images of large values do not hide the others.
    agreement: images with the same largest element; None where the output is no vector.
    """

    sqnr: float
    varying: float
    typical: float
    agreement: int | None

    @property
    def least(self) -> float:
        """What is left at least, of all images together and of a typical one."""
        if np.isnan(self.varying):
            return self.sqnr
        return min(self.varying, self.typical)


def closeness(exact: Floats, found: Floats, mean: Floats | None = None) -> Closeness:
    """Compare outputs (n, C, H, W). mean: (C, H, W) of the float network's over more images; that
    of `exact` if it is not given."""
    if mean is None:
        # n images are nearer to their own mean than to that of all, by n - 1 to n in power
        varies = (exact - exact.mean(axis=0)) * np.sqrt(len(exact) / max(1, len(exact) - 1))
    else:
        varies = exact - mean
    if len(exact) == 1 and mean is None:
        varying = typical = np.nan
    elif np.square(varies).sum() <= STILL * np.square(exact).sum():
        varying = typical = -np.inf
    else:
        error = found - exact
        varying = sqnr(varies, varies + error)
        each = [sqnr(y, y + e) for y, e in zip(varies, error, strict=True)]
        typical = sorted(each)[(len(each) - 1) // 2]
    return Closeness(sqnr(exact, found), varying, typical, agreement(exact, found))


def agreement(exact: Floats, found: Floats) -> int | None:
    """Images whose largest element is the same, of vectors (n, C, 1, 1) with C > 1; else None."""
    if exact.shape[1] < 2 or exact.shape[2:] != (1, 1):
        return None
    return int((exact.argmax(axis=1) == found.argmax(axis=1)).sum())


def affordable(graph: Graph, macs: int, fewest: int, most: int) -> int:
    """How many images cost about so many multiply-accumulates; at least and at most so many."""
    image = sum(node.op.weight.size * node.shape[1] * node.shape[2]
                for node in graph if isinstance(node.op, Conv))
    return min(most, max(fewest, macs // max(1, image)))


def spread(x: Floats, count: int) -> Floats:
    """At most `count` of the images, evenly from the first to the last."""
    if len(x) <= count:
        return x
    return x[np.linspace(0, len(x) - 1, count).round().astype(int)]
