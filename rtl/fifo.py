"""A FIFO on a small clocked memory."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, intbv, modbv


@block
def fifo(clk, reset, clear, put, word_in, take, there, word_out, taken, depth):
    """A word put in cycle a can be taken from a+1 on, if it is the oldest.

    put, word_in: a word enters at the end of this cycle (never when `depth` words are inside).
    there: a word is inside; take: the oldest one leaves for `word_out`, a register, at the end of
    this cycle (only if there). taken: words that left since the last clear, modulo 2 * depth.
    clear: everything leaves. depth: a power of two.
    """
    width = len(word_in)
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]
    place_bits = depth.bit_length() - 1
    newest = Signal(modbv(0)[len(taken):])       # words put since the last clear, modulo 2 * depth
    tail, head = (Signal(intbv(0)[place_bits:]) for _ in range(2))
    fetched = Signal(intbv(0)[width:])

    @always_comb
    def show():
        there.next = newest != taken
        tail.next = newest[place_bits:]
        head.next = taken[place_bits:]
        word_out.next = fetched

    @always_seq(clk.posedge, reset=reset)
    def count():
        if clear:
            newest.next = 0
            taken.next = 0
        else:
            if put:
                newest.next = newest + 1
            if take:
                taken.next = taken + 1

    @always_seq(clk.posedge, reset=None)
    def store():
        if put:
            memory[tail].next = word_in
        if take:
            fetched.next = memory[head]

    return show, count, store
