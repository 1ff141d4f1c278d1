"""Delay lines, and what tells a pipeline that nothing is in it."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, concat, intbv

from .signals import word


@block
def delay_line(clk, reset, active, source, delayed, cycles):
    """`delayed` is `source` of `cycles` (at least 2) cycles ago, counting those with `active`.

    The reset makes it flip-flops on every family: there are two beside each look-up table, and more
    of them to spare than of tables that could be shift registers.
    """
    width = len(source)
    length = cycles * width
    kept = length - width
    line = Signal(intbv(0)[length:])

    @always_seq(clk.posedge, reset=reset)
    def shift():
        if active:
            line.next = concat(line[kept:], source)

    @always_comb
    def last():
        delayed.next = line[length:kept]

    return shift, last


@block
def activity(clk, reset, entering, active, cycles):
    """active: at least in the `cycles` cycles after one with `entering`.

    The registers of a pipeline that hold still without it do nothing for nothing.
    """
    left = word(cycles.bit_length())

    @always_seq(clk.posedge, reset=reset)
    def count():
        if entering:
            active.next = True
            left.next = cycles
        elif left != 0:
            left.next = left - 1
        else:
            active.next = False

    return count
