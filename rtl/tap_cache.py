"""The tap cache: two buffers of slots, each with the taps of one output channel."""

from __future__ import annotations

from myhdl import ConcatSignal, always, always_comb, always_seq, block, concat

from .equal import equal
from .ram import held_ram
from .signals import bit, word

BLOCK_BITS = 1 << 15     # of a block RAM, parity apart


class SlotRead:
    """Issue to tap cache: in a cycle with `re` slot `address` of buffer `turn` is presented; it is
    in `slot` from the next cycle on. `free`: that was its last use, the buffer is empty again.

    there: buffer `turn` is full; at_end: `address` is that of its last slot (combinational).
    """

    def __init__(self, slots):
        self.turn = bit()
        self.re = bit()
        self.address = word(len(slots.address))
        self.free = bit()
        self.slot = word(len(slots.slot))
        self.there = bit()
        self.at_end = bit()


@block
def slot_memory(clk, we, write_at, slot_in, re, read_at, slot_out, depth):
    """`held_ram` in two: as many bits as fill whole block RAMs of `depth` words, and the others.

    In one, blocks that are wider than needed would be stacked, with a choice behind them.
    """
    width, column = len(slot_in), max(1, BLOCK_BITS // depth)
    split = width // column * column
    if split in (0, width):
        return held_ram(clk, we, write_at, slot_in, re, read_at, slot_out, depth)
    low_in, low_out = word(split), word(split)
    high_in, high_out = word(width - split), word(width - split)
    memories = (held_ram(clk, we, write_at, low_in, re, read_at, low_out, depth),
                held_ram(clk, we, write_at, high_in, re, read_at, high_out, depth))

    @always_comb
    def part():
        low_in.next = slot_in[split:]
        high_in.next = slot_in[:split]

    @always_comb
    def join():
        slot_out.next = concat(high_out, low_out)

    return memories, part, join


@block
def tap_cache(clk, reset, slots, read, depth):
    """slots: Slots, of which `full` is driven; read: SlotRead, of which slot, there and at_end
    are driven. depth: slots of a buffer.
    """
    write_at = ConcatSignal(slots.buffer, slots.address)
    read_at = ConcatSignal(read.turn, read.address)
    last0 = word(len(slots.address))
    last1 = word(len(slots.address))
    full0, full1 = bit(), bit()
    at_end0, at_end1 = bit(), bit()
    compare = (equal(read.address, last0, at_end0), equal(read.address, last1, at_end1))
    memory = slot_memory(clk, slots.we, write_at, slots.slot, read.re, read_at, read.slot,
                         2 * depth)

    @always_seq(clk.posedge, reset=reset)
    def occupy():
        if slots.close and not slots.buffer:
            full0.next = True
        elif read.free and not read.turn:
            full0.next = False
        if slots.close and slots.buffer:
            full1.next = True
        elif read.free and read.turn:
            full1.next = False

    @always(clk.posedge)
    def measure():
        if slots.close and not slots.buffer:
            last0.next = slots.address
        if slots.close and slots.buffer:
            last1.next = slots.address

    @always_comb
    def choose():
        slots.full.next[0] = full0
        slots.full.next[1] = full1
        if read.turn:
            read.there.next = full1
            read.at_end.next = at_end1
        else:
            read.there.next = full0
            read.at_end.next = at_end0

    return memory, compare, occupy, measure, choose
