"""A first-word-fall-through FIFO on a clocked memory."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, intbv


@block
def fifo(clk, reset, clear, put, word_in, take, there, word_out, depth):
    """A word put in cycle a is at the head from a+1 on, if it is the oldest.

    put, word_in: a word enters at the end of this cycle (never when `depth` words are inside).
    there: word_out is the oldest word; take: it leaves at the end of this cycle (only if there).
    clear: everything leaves. depth: a power of two.
    """
    width = len(word_in)
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]
    tail = Signal(intbv(0, min=0, max=depth))
    head = Signal(intbv(0, min=0, max=depth))
    count = Signal(intbv(0, min=0, max=depth + 1))
    filled = Signal(bool(0))
    fetched = Signal(intbv(0)[width:])
    passed = Signal(intbv(0)[width:])
    fresh = Signal(bool(0))
    following = Signal(intbv(0, min=0, max=depth))
    newest = depth - 1

    @always_comb
    def look_ahead():
        if not take:
            following.next = head
        elif head == newest:
            following.next = 0
        else:
            following.next = head + 1

    @always_seq(clk.posedge, reset=reset)
    def count_words():
        head.next = following
        if put:
            if tail == newest:
                tail.next = 0
            else:
                tail.next = tail + 1
        if put and not take:
            count.next = count + 1
            filled.next = True
        elif take and not put:
            count.next = count - 1
            filled.next = count != 1
        if clear:
            head.next = 0
            tail.next = 0
            count.next = 0
            filled.next = False
        fresh.next = put and tail == following

    @always_seq(clk.posedge, reset=None)
    def store():
        if put:
            memory[tail].next = word_in
        fetched.next = memory[following]
        passed.next = word_in

    @always_comb
    def show():
        there.next = filled
        if fresh:
            word_out.next = passed
        else:
            word_out.next = fetched

    return look_ahead, count_words, store, show
