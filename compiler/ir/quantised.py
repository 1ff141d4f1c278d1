"""What quantisation adds to a canonical graph: a codebook or a scale per tensor, clustered weights.

This is all that lowering reads beside the graph.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ...arch.columns import columns, dims, span
from .graph import Graph

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Codebook:
    """A clustered tensor: real value = scale * values[rank].

    values: ascending distinct int64, zero among them, at most 2^AB, every one fits value_bits and
    so does its negative.
    """

    scale: float
    values: Ints

    def __str__(self) -> str:
        return f"{len(self.values)} values {span(self.values)} of {self.scale:.4g}"

    @property
    def order(self) -> int:
        """Number of values below zero: code = (rank - order) mod 2^AB."""
        return int(np.searchsorted(self.values, 0))

    def by_code(self, codes: int) -> Ints:
        """Integer value of every code, 0 for codes not in use. codes: 2^AB."""
        out = np.zeros(codes, np.int64)
        out[(np.arange(len(self.values)) - self.order) % codes] = self.values
        return out


@dataclasses.dataclass(frozen=True)
class Radix:
    """A tensor of radix planes: real value = scale * integer of `bits` bits two's complement.

    bits: at most 8 for what layers read (the input image), 16 for outputs.
    """

    scale: float
    bits: int
    planes: int

    @property
    def most(self) -> int:
        """The greatest integer."""
        return (1 << (self.bits - 1)) - 1

    def __str__(self) -> str:
        return f"{self.bits} bits in {self.planes} planes of {self.scale:.4g}"


@dataclasses.dataclass(frozen=True, eq=False)
class ClusteredWeight:
    """weight = sign * magnitudes[index - 1] * channel_scale[k]; index 0: no weight.

    magnitudes: (J,) ascending, positive; index, negative: (K, C/g, kh, kw); channel_scale: (K,).
    bias: (K,) in place of the convolution's own; None: that one.
    """

    magnitudes: Floats
    index: Ints
    negative: NDArray[np.bool_]
    channel_scale: Floats
    bias: Floats | None = None

    def bias_of(self, own: Floats) -> Floats:
        """The bias that counts. own: that of the convolution."""
        return np.asarray(own if self.bias is None else self.bias, np.float64)

    def dense(self) -> Floats:
        """The clustered weights as a dense array (K, C/g, kh, kw)."""
        values = np.concatenate([[0.0], self.magnitudes])[self.index]
        np.negative(values, out=values, where=self.negative)
        values *= self.channel_scale[:, None, None, None]
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Quantised:
    """A canonical graph with the meaning of every tensor in integers.

    tensors: by node name (Output nodes have none of their own: they pass their input on). Tensors
    that meet in a Concat or a MaxPool share one Codebook object. A node that feeds an Output is
    Radix of 16 bits unless layers read it too, it has a function, or it is a MaxPool or a Concat.
    weights: by name of Conv node.
    ranges: smallest and largest real value seen in calibration, by node name.
    """

    graph: Graph
    tensors: dict[str, Codebook | Radix]
    weights: dict[str, ClusteredWeight]
    ranges: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        """A line a tensor and a line for all weights of a layer."""
        tensors = columns(("tensor", "makes", "integers", "seen"), (
            (node.name, dims(node.shape), self.tensors[node.name],
             span(self.ranges.get(node.name, ())))
            for node in self.graph if node.name in self.tensors))
        weights = columns(("weights of", "shape", "not zero", "magnitudes", "from..to",
                           "scales of channels"), (
            (name, dims(weight.index.shape), int(np.count_nonzero(weight.index)),
             len(weight.magnitudes), span(weight.magnitudes), span(weight.channel_scale))
            for name, weight in self.weights.items()))
        return f"{tensors}\n\n{weights}"
