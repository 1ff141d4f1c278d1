"""Sums of more taps than the machine holds at once, in parts that are added.

A channel whose taps fill more than the tap cache, or that reads more than the base table holds, is
computed by several layers. Each writes its part of the sum as an integer in radix planes, fine
enough that the largest sum fits; a last layer reads these digit by digit, adds them exactly and
does all else. What is lost is a half of a part's unit a part.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ...arch.config import Config
from ...arch.keys import keys
from ...arch.program import Points, Taps
from ..errors import power_of_two
from ..ir.quantised import Radix
from .lowered import Ints, Terms, Value

# bits of a part's integers at most and at least, and clusters that digits of its last plane take
BITS, LEAST_BITS = 16, 8
CLUSTERS = 32


def integers(config: Config, parts: int) -> Radix | None:
    """What so many parts are written as, up to the unit; None where their sum would not fit."""
    taps = list(itertools.accumulate(len(factors(config, plane)) for plane in range(4)))
    planes = max((n for n in range(1, 5) if len(factors(config, n - 1)) <= CLUSTERS
                  and parts * taps[n - 1] <= config.tap_slots), default=0)
    bits = min(BITS, planes * config.code_bits, config.total_bits - (parts - 1).bit_length())
    return Radix(1.0, bits, -(-bits // config.code_bits)) if bits >= LEAST_BITS else None


def enough_slots(taps: int, config: Config) -> int:
    """The least tap_slots with which sums of so many taps can be divided."""
    slots = power_of_two(config.tap_slots + 1)
    while integers(dataclasses.replace(config, tap_slots=slots), -(-taps // slots)) is None:
        slots *= 2
    return slots


def factors(config: Config, plane: int) -> list[int]:
    """Factors of clusters that add up to the power of two of a plane."""
    most = (1 << (config.factor_bits - 1)) - 1
    whole, rest = divmod(1 << (config.code_bits * plane), most)
    return [most] * whole + [rest] * bool(rest)


def adding(values: Sequence[Value], config: Config) -> tuple[Terms, Ints]:
    """Taps, and their factors, that add integers of all values channel by channel."""
    channels, digits = values[0].shape[0], values[0].meaning
    assert isinstance(digits, Radix)
    alone = digits.bits > config.value_bits       # a tap reads the digit, not its part
    reads = [(source, plane, factor) for source in range(len(values))
             for plane in range(digits.planes)
             for factor in (factors(config, plane) if alone else [1])]
    source, plane, factor = (np.tile(column, channels) for column in np.array(reads).T)
    k = np.repeat(np.arange(channels), len(reads))
    zero = np.zeros_like(k)
    return Terms(k.astype(np.int32), np.ones(len(k)), Points(source, k, plane, zero, zero),
                 np.arange(len(k), dtype=np.uint32), zero != 0, zero != 0), factor


def fits(taps: Taps, values: Sequence[Value], config: Config) -> bool:
    """Do the tap cache and the base table hold every channel? values: of the sources."""
    first = taps.cluster_taps[taps.channel_clusters]
    counts = np.diff(first)
    if counts.max(initial=0) > config.tap_slots:
        return False
    return (_at_most(taps, values, config) <= config.base_entries
            or _entries_fit(taps, config))


def cut(terms: Terms, values: Sequence[Value], slots: int, config: Config) -> list[Ints]:
    """The taps of each of as few parts as possible, as indices: in each, no channel has more than
    `slots` taps, or reads more than the base table holds."""
    terms = terms.sorted()
    order = np.argsort(keys(terms.k, terms.point), kind="stable")
    counts = np.bincount(terms.k)
    parts = max(2, -(-int(counts.max()) // slots))
    few = _at_most(terms, values, config) <= config.base_entries
    while True:
        found = list(_stretches(counts, parts))
        if few or all(_entries_fit(terms.take(order[part]), config) for part in found):
            return [order[part] for part in found]
        parts += 1


def _stretches(counts: Ints, parts: int) -> Iterator[Ints]:
    """Of rows of so many numbers one behind the other, part by part what each row gives to it."""
    starts = np.cumsum(counts) - counts
    for number in range(parts):
        first, end = (-(-counts * n // parts) for n in (number, number + 1))
        length = end - first
        at = np.cumsum(length) - length
        yield np.arange(int(length.sum())) + np.repeat(starts + first - at, length)


# ---- base entries --------------------------------------------------------------------------------
def _ways(lines: Ints, columns: Ints, config: Config) -> Iterator[tuple[Ints, int]]:
    """Ways to share base entries: the group of each kernel position, and the channels that an entry
    has. lines, columns: of the positions, counted from 0 without gaps."""
    offsets, count = config.offset_entries, len(np.unique(keys(lines, columns)))
    if count <= offsets:
        yield np.zeros_like(lines), offsets // max(1, count)
    for height, width in itertools.product(range(1, offsets + 1), repeat=2):
        if height * width <= offsets:
            across = -(-(int(columns.max(initial=0)) + 1) // width)
            yield lines // height * across + columns // width, offsets // (height * width)


def _counted(numbers: Ints) -> Ints:
    """Numbers as the places of these among those that occur."""
    return np.unique(numbers, return_inverse=True)[1]


def _at_most(taps: Taps | Terms, values: Sequence[Value], config: Config) -> int:
    """Base entries that are enough for all channels of a layer."""
    points = taps.points
    return min((int(group.max(initial=0)) + 1)
               * sum(value.planes * -(-value.shape[0] // channels) for value in values)
               for group, channels in _ways(_counted(points.dy), _counted(points.dx), config))


def _entries_fit(taps: Taps | Terms, config: Config) -> bool:
    """Is there a way to share base entries by which no channel reads more than there are?"""
    points = taps.points
    k = (taps.k if isinstance(taps, Terms) else
         np.repeat(np.arange(len(taps.channel_clusters) - 1),
                   np.diff(taps.cluster_taps[taps.channel_clusters])))
    for group, channels in _ways(_counted(points.dy), _counted(points.dx), config):
        block = _counted(keys(points.source, points.plane, points.channel // channels, group))
        if int(block.max(initial=0)) < config.base_entries:
            return True
        _, read = np.unique(keys(k, block[taps.point]), return_index=True)
        if np.bincount(k[read]).max(initial=0) <= config.base_entries:
            return True
    return False
