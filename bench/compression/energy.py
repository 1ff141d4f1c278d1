"""Energy of one image from counts of operations and accesses times published unit costs.

Costs are those of a 45 nm process at 0.9 V as printed in Table I of the publication of EIE (Han et
al., ISCA 2016, after Horowitz, ISSCC 2014): picojoules of a 32-bit integer addition 0.1 and
multiplication 3.1, a 32-bit read of a 32 KB SRAM 5, of DRAM 640; of floating point addition 0.9
and multiplication 3.7. The same publication puts a 16-bit multiplication at a fifth of a 32-bit
one. Narrower accesses are taken in proportion to their bits. Registers, control, clocks and leakage
are not counted, so ratios of designs say more than any sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from kcnn.compress.account import Layer, Operations, clustered, original, skipping

SRAM_BIT, DRAM_BIT = 5 / 32, 640 / 32
SUM_BITS = 32


@dataclasses.dataclass(frozen=True)
class Unit:
    """Picojoules of a multiplication and of an addition."""

    multiplication: float
    addition: float


FLOAT32 = Unit(3.7, 0.9)
INTEGER32 = Unit(3.1, 0.1)
INTEGER16 = Unit(3.1 / 5, 0.1)


@dataclasses.dataclass(frozen=True)
class Energy:
    """Picojoules: in adders and multipliers, in SRAM, in DRAM."""

    compute: float = 0
    sram: float = 0
    dram: float = 0

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.sram + self.dram

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.compute + other.compute, self.sram + other.sram,
                      self.dram + other.dram)


def total(parts: Iterable[Energy]) -> Energy:
    """The sum over layers."""
    return sum(parts, Energy())


def energy(operations: Operations, unit: Unit, sram_bits: float, dram_bits: float) -> Energy:
    """Counts times costs."""
    return Energy(operations.multiplications * unit.multiplication
                  + operations.additions * unit.addition,
                  sram_bits * SRAM_BIT, dram_bits * DRAM_BIT)


def dense(layer: Layer, unit: Unit = FLOAT32, bits: int = 32) -> Energy:
    """Nothing skipped: each multiply-accumulate reads a weight and an activation from SRAM; weights
    come from DRAM once, outputs are written once."""
    return energy(original(layer), unit, 2 * layer.macs * bits + layer.outputs * bits,
                  layer.weights * bits)


def broadcast(layer: Layer, stored_bytes: int, word_bits: int = 16, value_bits: int = 8) -> Energy:
    """The second paper's kind: a non-zero activation is read once and broadcast, a PE reads a word
    and reads and writes a sum for each product; the stored form comes from DRAM once."""
    bits = (layer.nonzero_inputs * value_bits + layer.matched * (word_bits + 2 * SUM_BITS)
            + layer.outputs * value_bits)
    return energy(skipping(layer, zero_weights=True), INTEGER16, bits, 8 * stored_bytes)


def cluster_sums(layer: Layer, values: int, stored_bytes: int, index_bits: int = 8,
                 code_bits: int = 4, zero_weights: bool = True) -> Energy:
    """KCNN's kind, form A: for each addition an index (with its gap) and an activation code are
    read; the sums of the clusters are registers."""
    operations = clustered(layer, values, zero_weights)
    additions = operations.additions - operations.multiplications
    bits = additions * (index_bits + code_bits) + layer.outputs * code_bits
    return energy(operations, INTEGER16, bits, 8 * stored_bytes)


def taps(layer: Layer, clusters: int, stored_bytes: int, lanes: int, code_bits: int = 4,
         slot_bits: int = 32) -> Energy:
    """Our machine: each weight's slot is read once for `lanes` positions, an activation code for
    every addition, zero activations included; clusters: of all channels, one multiplication and
    addition for each cluster and position."""
    chunks = -(-layer.positions // lanes)
    last = clusters * layer.positions
    operations = Operations(last, layer.used_macs + last)
    bits = (layer.nonzero * chunks * slot_bits + layer.used_macs * code_bits
            + layer.outputs * code_bits)
    return energy(operations, INTEGER16, bits, 8 * stored_bytes)
