"""Wide conditions on a carry chain: a word is 0, two words are equal."""

from __future__ import annotations

from myhdl import always_comb, block, intbv

from .signals import word

GROUP = 3                # bits of each of two words that a look-up table of six inputs compares


@block
def is_zero(bits, group, zero):
    """Combinational: zero = (bits == 0); there are more bits than one group.

    A look-up table for every `group` bits, with what is before them; then 1 is added to the bits
    that say which groups are 0: it runs through all of them if and only if all are.
    """
    width = len(bits)
    groups = (width + group - 1) // group
    padded, clear = word(groups * group), word(groups)

    @always_comb
    def pad():
        padded.next = bits

    @always_comb
    def judge():
        for g in range(groups):
            clear.next[g] = True
            for b in range(group):
                if padded[group * g + b]:
                    clear.next[g] = False

    @always_comb
    def run_through():
        total = intbv(0)[groups + 1:]
        total[:] = clear + 1
        zero.next = total[groups]

    return pad, judge, run_through


@block
def equal(one, other, same):
    """Combinational: same = (one == other); both are equally wide, more than three bits."""
    differing = word(len(one))

    @always_comb
    def differ():
        differing.next = one ^ other

    return differ, is_zero(differing, GROUP, same)
