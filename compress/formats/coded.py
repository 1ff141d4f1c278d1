"""A layer's weights as small codes: what all storage formats store, and give back bit by bit.

    weight = scale[channel] * value of the code        code 0: no weight
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clusters import Clusters
from ..errors import CompressError

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]
CODE_BITS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """codes: (K, C / groups, kh, kw) uint8, below 2^bits; the kernel of an fc layer is 1x1.

    values: float32, value of every code, values[0] = 0, the others distinct; or None where a code
    is the value itself, an 8-bit two's complement integer. scale: float32, (1,) or (K,).
    """

    codes: Codes
    bits: int
    values: Floats | None
    scale: Floats

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(K, C / groups, kh, kw)."""
        k, c, height, width = self.codes.shape
        return k, c, height, width

    @property
    def nonzero(self) -> int:
        """Weights that are not zero."""
        return int(np.count_nonzero(self.codes))

    def table(self) -> Floats:
        """Value of every code, without the scale."""
        if self.values is None:
            return np.arange(256).astype(np.int8).astype(np.float32)
        return self.values

    def dense(self) -> Floats:
        """The weights."""
        return self.table()[self.codes] * self.scale[:, None, None, None]

    def same(self, other: Coded) -> bool:
        """Equal in every bit."""
        return (self.bits == other.bits and np.array_equal(self.codes, other.codes)
                and np.array_equal(self.scale, other.scale)
                and np.array_equal(self.table(), other.table())
                and (self.values is None) == (other.values is None))


def four(weight: NDArray[Any]) -> NDArray[Any]:
    """A weight as (K, C / groups, kh, kw), whether of a convolution or fully connected."""
    return weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))


def eight_bit(weight: NDArray[np.floating[Any]]) -> Coded:
    """Symmetric 8-bit integers with one scale a layer; a small weight may become zero."""
    array = four(np.asarray(weight, np.float64))
    scale = float(np.abs(array).max(initial=0)) / 127 or 1.0
    integers = np.rint(array / scale).astype(np.int8)
    return Coded(integers.view(np.uint8), CODE_BITS, None, np.array([scale], np.float32))


def of_values(weight: NDArray[np.floating[Any]]) -> Coded:
    """A layer that has at most 255 distinct non-zero weights, exactly."""
    array = four(np.asarray(weight, np.float32))
    found = np.unique(array[array != 0])
    if len(found) > 255:
        raise CompressError(f"a layer has {len(found)} distinct weights, more than 255 codes can "
                            "tell apart; cluster it or take 8-bit integers")
    codes = np.where(array != 0, np.searchsorted(found, array) + 1, 0).astype(np.uint8)
    return _coded(codes, found, np.ones(1, np.float32))


def of_clusters(clusters: Clusters) -> Coded:
    """A clustered layer: a code for each value and sign that occurs."""
    values = np.concatenate([np.zeros(1), clusters.values.numpy()]).astype(np.float32)
    relative = four(clusters.sign.numpy() * values[clusters.index.numpy()])
    coded = of_values(relative)
    scale = clusters.scale.numpy()
    scale = scale[:1] if (scale == scale[0]).all() else scale
    return dataclasses.replace(coded, scale=scale.astype(np.float32))


def _coded(codes: Codes, found: Floats, scale: Floats) -> Coded:
    bits = max(1, len(found).bit_length())
    return Coded(codes, bits, np.concatenate([np.zeros(1, np.float32), found]), scale)
