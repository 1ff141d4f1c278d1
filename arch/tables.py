"""Entries of the on-chip tables: what the 32 bits of a word say, and how many words a bank has.

    BASE      address of a logical channel (24 bits), decode pair
    OFFSET    address offset of a kernel position
    DECODE    value of a code (16 bits, two's complement)
    CLUSTER   threshold of a segment (16 bits, two's complement), code

Words are numbers or arrays of them.
"""

from __future__ import annotations

from typing import Any

from . import fixed
from .config import Config
from .isa import Table

Words = Any              # int, or NDArray[np.int64]

PAIR_AT = 24             # BASE: first bit of the pair, above the address
VALUE_BITS = 16          # DECODE: of the value; CLUSTER: of the threshold, the code above it


def depth(kind: int, config: Config) -> int:
    """Entries of one bank of a table."""
    return {Table.BASE: config.base_entries, Table.RAMP: config.base_entries,
            Table.OFFSET: config.offset_entries}.get(Table(kind), config.codes)


def base(address: Words, pair: Words) -> Words:
    """BASE words."""
    return address | pair << PAIR_AT


def address(words: Words) -> Words:
    """The addresses of BASE words."""
    return words & ((1 << PAIR_AT) - 1)


def pair(words: Words) -> Words:
    """The decode pairs of BASE words."""
    return words >> PAIR_AT


def decode(values: Words) -> Words:
    """DECODE words."""
    return values & ((1 << VALUE_BITS) - 1)


def cluster(thresholds: Words, codes: Words) -> Words:
    """CLUSTER words."""
    return decode(thresholds) | codes << VALUE_BITS


def value(words: Words) -> Words:
    """The values of DECODE words, the thresholds of CLUSTER words."""
    return fixed.wrap(words, VALUE_BITS)


def code(words: Words) -> Words:
    """The codes of CLUSTER words; what lies above a value of DECODE."""
    return words >> VALUE_BITS
