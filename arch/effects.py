"""What instructions read and write: regions, and for a RUN exactly the cells, and its sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from . import parse, raster, tables
from .config import Config
from .isa import UNIT_BYTES, Fill, Instruction, Load, Mode, Run, Store, Table, TableLoad
from .region import Region, Space, table

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Regions = tuple[Region, ...]


def regions(ins: Instruction, config: Config, area: int = 0) -> tuple[Regions, Regions]:
    """What an instruction reads and writes beside the constants, streams and table entries.

    area: the part of external memory that the addresses of LOAD and STORE are in. Nothing for END,
    and for a RUN, whose fields alone do not tell it: see `banks`, `reads` and `writes`.
    """
    if isinstance(ins, TableLoad):
        return (), (Region(table(ins.kind), ins.bank, ins.first, ins.first + ins.count),)
    if not isinstance(ins, Load | Store | Fill):
        return (), ()
    rows = (Region(Space.ROWS, 0, ins.row, ins.row + ins.rows),)
    if isinstance(ins, Fill):
        return (), rows
    start = ins.address * UNIT_BYTES
    outside = (Region(Space.EXTERNAL, area, start, start + ins.rows * config.row_bytes),)
    return (outside, rows) if isinstance(ins, Load) else (rows, outside)


def banks(run: Run, pairs: Iterable[int], config: Config) -> Regions:
    """The banks of the tables that a RUN reads, whole. pairs: of its base entries."""
    found = [(Table.BASE, run.base_bank), (Table.OFFSET, run.offset_bank)]
    found += [(Table.DECODE, pair) for pair in sorted(pairs)]
    if run.mode == Mode.CODE:
        found.append((Table.CLUSTER, run.cluster_bank))
    return tuple(Region(table(kind), bank, 0, tables.depth(kind, config)) for kind, bank in found)


@dataclasses.dataclass(frozen=True)
class Flat:
    """A decoded stream as arrays.

    scales, biases: (K,) one a channel; positions, negative: (T,) one a tap; factors: (G,) one a
    cluster; cluster_taps: (G + 1,) first tap of every cluster; channel_clusters: (K + 1,) first
    cluster of every channel.
    """

    scales: Ints
    biases: Ints
    positions: Ints
    negative: Mask
    factors: Ints
    cluster_taps: Ints
    channel_clusters: Ints

    @property
    def channel_taps(self) -> Ints:
        """Taps of every channel: (K,)."""
        return np.diff(self.cluster_taps[self.channel_clusters])


def flat(parsed: parse.Parsed) -> Flat:
    """What a parsed stream says, without the times of its items."""
    return Flat(parsed.scale, parsed.bias, parsed.position, parsed.negative.astype(bool),
                parsed.factor, parsed.cluster_taps, parsed.channel_clusters)


def reads(run: Run, starts: Ints, memory_codes: int) -> Mask:
    """Cells that the lanes inside the rectangle read: bool (memory_codes,).

    starts: base + offset of every tap.
    """
    cells = np.zeros(memory_codes, bool)
    cells[(starts + run.origin) % memory_codes] = True
    cells = _spread(cells, 1, run.width)
    cells = _spread(cells, run.pitch, run.height)
    return _spread(cells, run.pitch * run.image_rows, run.images)


def _spread(cells: Mask, step: int, count: int) -> Mask:
    """Cells moved by 0, step, ... (count - 1) * step, together."""
    done = 1
    while done < count:
        more = min(done, count - done)
        cells = cells | np.roll(cells, step * more)
        done += more
    return cells


def outputs(run: Run) -> int:
    """Codes that a RUN writes."""
    return run.channels * run.digits * run.images * run.height * run.width


def writes(run: Run, memory_codes: int) -> Ints:
    """Address of every code written: (channels, digits, images, height, width)."""
    position = np.indices((run.images, run.height, run.width), sparse=True)
    at = raster.bases(run).T[:, :, None, None, None] + raster.destinations(run, position)
    return at % memory_codes


def largest_sums(flat: Flat, low: Ints, high: Ints, maximum: bool) -> tuple[Ints, Ints, Ints, Ints]:
    """Bounds of every S and T: S lowest and highest (R,), T lowest and highest (K,).

    low, high: bounds of what each tap adds, zero among them. maximum: a MAX cluster adds one value,
    within the bounds of its last tap.
    """
    if maximum:
        last = flat.cluster_taps[1:] - 1
        s_low, s_high = low[last], high[last]
    else:
        s_low, s_high = (_sum_parts(v, flat.cluster_taps) for v in (low, high))
    ends = s_low * flat.factors, s_high * flat.factors
    t_low = _sum_parts(np.minimum(*ends), flat.channel_clusters)
    t_high = _sum_parts(np.maximum(*ends), flat.channel_clusters)
    return s_low, s_high, t_low, t_high


def _sum_parts(values: Ints, first: Ints) -> Ints:
    """Sum of values[first[i]:first[i + 1]] for every i."""
    total = np.concatenate([[0], np.cumsum(values)])
    return total[first[1:]] - total[first[:-1]]
