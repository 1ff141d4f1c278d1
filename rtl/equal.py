"""Equality of two words, on a carry chain."""

from __future__ import annotations

from myhdl import always_comb, block, intbv

from .signals import word

GROUP = 3                # bits of each word that a look-up table of six inputs compares


@block
def equal(one, other, same):
    """Combinational: same = (one == other); both are equally wide, more than three bits.

    A look-up table for every three bits; then 1 is added to the bits that say which of them are
    equal: it runs through all of them if and only if all are.
    """
    width = len(one)
    groups = (width + GROUP - 1) // GROUP
    differing, agreeing = word(groups * GROUP), word(groups)

    @always_comb
    def differ():
        differing.next = one ^ other

    @always_comb
    def agree():
        for g in range(groups):
            agreeing.next[g] = not (differing[GROUP * g] or differing[GROUP * g + 1]
                                    or differing[GROUP * g + 2])

    @always_comb
    def run_through():
        total = intbv(0)[groups + 1:]
        total[:] = agreeing + 1
        same.next = total[groups]

    return differ, agree, run_through
