"""Cycles of DianNao, and of a DianNao that knows kernel classes.

DianNao multiplies T inputs by T x T weights a cycle (NFU-1) for T features, adds them in T trees
(NFU-2), and applies a function (NFU-3); T = 16. Inputs come from NBin, weights from SB, partial
sums stay in NBout, all with 16-bit values; a row of NBin or NBout holds T values, one of SB T x T.
Loads run beside the computation of what is there already.

The modified form adds no multiplier. Its sequencer holds a table of classes: features are sorted by
the window of their kernel, tiles of T features come from one class, and the loop over the kernel
takes the class's bounds. Features that are linear in another one bypass NFU-1 and NFU-2: NFU-3's
multiplier and adder take them from NBout, T a cycle. The plain form must give every feature of a
layer the smallest window that holds all, and linear features a multiplication like any other.

Both skip features and input channels that are nowhere used: these are left out of the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .work import Work

VALUE_BYTES = 2


@dataclasses.dataclass(frozen=True)
class Machine:
    """Sizes of a DianNao; the defaults are the published ones.

    bandwidth: bytes a cycle from memory: 250 GB/s at 0.98 GHz. classes: the modified form.
    """

    tile: int = 16
    frequency: float = 0.98e9
    nbin_rows: int = 64
    nbout_rows: int = 64
    sb_rows: int = 64
    stages: int = 3
    bandwidth: float = 255.0
    classes: bool = False

    @property
    def peak(self) -> float:
        """Operations a second: multiplications and the additions of the trees."""
        return (self.tile ** 2 + self.tile * (self.tile - 1)) * self.frequency

    @property
    def buffer_bytes(self) -> int:
        """NBin, NBout and SB."""
        return VALUE_BYTES * self.tile * (self.nbin_rows + self.nbout_rows
                                          + self.sb_rows * self.tile)


BASE = Machine()
MODIFIED = Machine(classes=True)


@dataclasses.dataclass(frozen=True)
class Cycles:
    """Of one layer: what the NFU computes, what memory transfers beside it, filling the stages."""

    compute: int
    memory: float
    fill: int

    @property
    def total(self) -> float:
        """The slower of computation and transfers, and the stages filled once a tile."""
        return max(self.compute, self.memory) + self.fill


def cycles(work: Work, machine: Machine) -> Cycles:
    """Cycles of one layer for one image."""
    if work.kind == "linear" and machine.classes:
        tiles = -(-work.features // machine.tile)
        moved = 2 * work.features + work.features * work.positions
        return Cycles(tiles * work.positions, VALUE_BYTES * moved / machine.bandwidth,
                      machine.stages * tiles)
    classes = work.windows.items() if machine.classes else [(work.box, work.features)]
    parts = [_class(work, height * width, features, machine)
             for (height, width), features in classes if features]
    return Cycles(sum(part.compute for part in parts), sum(part.memory for part in parts),
                  sum(part.fill for part in parts))


def total(works: Sequence[Work], machine: Machine) -> float:
    """Cycles of all layers, one after the other; a cost for budget.slim."""
    return sum(cycles(work, machine).total for work in works)


def _class(work: Work, cells: int, features: int, machine: Machine) -> Cycles:
    """Features of one window: tiles of T features, blocks of as many outputs as NBout holds."""
    tile = machine.tile
    tiles, steps = -(-features // tile), cells * -(-work.sources // tile)
    blocks = -(-work.positions // machine.nbout_rows)
    weights = tiles * steps * tile * tile * (1 if steps <= machine.sb_rows else blocks)
    whole = work.sources * work.pixels <= machine.nbin_rows * tile
    inputs = work.sources * work.pixels * (1 if whole else tiles)
    moved = weights + inputs + features * work.positions
    return Cycles(tiles * steps * work.positions, VALUE_BYTES * moved / machine.bandwidth,
                  machine.stages * tiles)
