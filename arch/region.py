"""Stretches of the memories that instructions read and write."""

from __future__ import annotations

import dataclasses
import enum

from .isa import Table


class Space(enum.Enum):
    """The memories of a machine, and what an item of each is."""

    ROWS = "rows"            # activation memory: a row of 2P codes
    EXTERNAL = "bytes"       # external memory: a byte
    BASE = "BASE"            # the on-chip tables: an entry
    OFFSET = "OFFSET"
    DECODE = "DECODE"
    CLUSTER = "CLUSTER"


TABLES = (Space.BASE, Space.OFFSET, Space.DECODE, Space.CLUSTER)


@dataclasses.dataclass(frozen=True)
class Region:
    """The items first to end - 1 of a memory.

    part: bank of a table (DECODE: pair), area of external memory; regions of different parts have
    nothing in common.
    """

    space: Space
    part: int
    first: int
    end: int

    def meets(self, other: Region) -> bool:
        """Is an item in both?"""
        return (self.space == other.space and self.part == other.part
                and self.first < other.end and other.first < self.end)

    def holds(self, other: Region) -> bool:
        """Is every item of the other one in this one?"""
        return (self.space == other.space and self.part == other.part
                and self.first <= other.first and other.end <= self.end)

    def items(self, size: int = 1) -> slice:
        """The region in an array of its memory whose elements are one size-th of an item."""
        return slice(self.first * size, self.end * size)


def table(kind: int) -> Space:
    """The table that a TABLE of this kind writes; RAMP writes BASE."""
    return Space.BASE if kind == Table.RAMP else Space[Table(kind).name]
