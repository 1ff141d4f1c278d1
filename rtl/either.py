"""Sums with a chosen operand, at one look-up table a bit.

A look-up table before a carry chain has room for the choice if the chain's other input, which goes
beside it, is a word as it is. Yosys takes for that the operand made of fewer pieces; of two that
are made of as many, it takes either, by chance. So the chosen word is made in two halves.
"""

from __future__ import annotations

from myhdl import always_comb, block, concat, intbv

from .signals import word


@block
def add_either(fixed, first, one, other, total):
    """Combinational: total = fixed + (one if first else other), cut to the width of all four."""
    width = len(fixed)
    middle = width // 2
    low, high = word(middle), word(width - middle)

    @always_comb
    def choose():
        if first:
            low.next = one[middle:]
            high.next = one[width:middle]
        else:
            low.next = other[middle:]
            high.next = other[width:middle]

    @always_comb
    def add():
        wide = intbv(0)[width + 1:]
        wide[:] = fixed + concat(high, low)
        total.next = wide[width:]

    return choose, add
