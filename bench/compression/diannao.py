"""Cycles of DianNao, and of a DianNao that knows kernel classes.

DianNao multiplies T inputs by T x T weights a cycle (NFU-1) for T features, adds them in T trees
(NFU-2), and applies a function (NFU-3); T = 16. Inputs come from NBin, weights from SB, partial
sums stay in NBout, all with 16-bit values; a row of NBin or NBout holds T values, one of SB T x T.
Loads run beside the computation of what is there already.

The modified form adds no multiplier. Its sequencer holds a table of classes: features are sorted by
the window of their kernel, most cells first, T at a time make a tile, and the loop over the kernel
takes bounds that hold the tile's windows. So it is never slower than the plain form. Features that
are linear in another one bypass NFU-1 and NFU-2: NFU-3's multiplier and adder take them from NBout,
T a cycle. The plain form must give every feature of a layer the smallest window that holds all, and
linear features a multiplication like any other.

Both skip features and input channels that are nowhere used: these are left out of the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kcnn.compress.work import Work

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
        count = -(-work.features // machine.tile)
        moved = 2 * work.features + work.features * work.positions
        return Cycles(count * work.positions, VALUE_BYTES * moved / machine.bandwidth,
                      machine.stages * count)
    tiles, deep = _tiles(work, machine), -(-work.sources // machine.tile)
    blocks = -(-work.positions // machine.nbout_rows)
    rows = sum(cells * deep * (1 if cells * deep <= machine.sb_rows else blocks) for cells in tiles)
    whole = work.sources * work.pixels <= machine.nbin_rows * machine.tile
    inputs = work.sources * work.pixels * (min(1, len(tiles)) if whole else len(tiles))
    moved = machine.tile ** 2 * rows + inputs + work.features * work.positions
    return Cycles(sum(tiles) * deep * work.positions, VALUE_BYTES * moved / machine.bandwidth,
                  machine.stages * len(tiles))


def total(works: Sequence[Work], machine: Machine) -> float:
    """Cycles of all layers, one after the other; a cost for budget.slim."""
    return sum(cycles(work, machine).total for work in works)


def _tiles(work: Work, machine: Machine) -> list[int]:
    """Cells that the loop over the kernel runs through, for every tile of T features."""
    if not machine.classes:
        height, width = work.box
        return [height * width] * -(-work.features // machine.tile)
    found = sorted(work.windows.items(), key=lambda item: -item[0][0] * item[0][1])
    every = [window for window, count in found for _ in range(count)]
    parts = [every[i:i + machine.tile] for i in range(0, len(every), machine.tile)]
    return [max(h for h, _ in part) * max(w for _, w in part) for part in parts]
