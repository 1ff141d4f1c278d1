"""Memories with one write and one read port."""

from __future__ import annotations

from myhdl import Signal, always, block, intbv


@block
def ram(clk, we, write_address, write_data, read_address, read_data, depth):
    """A memory of `depth` words, all 0 at the start.

    read_data: the word that `read_address` named in the cycle before (as it was before a write).
    """
    width = len(write_data)
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]

    @always(clk.posedge)
    def serve():
        if we:
            memory[write_address].next = write_data
        read_data.next = memory[read_address]

    return serve


@block
def held_ram(clk, we, write_address, write_data, re, read_address, read_data, depth):
    """As `ram`, but read_data changes only after a cycle with `re`."""
    width = len(write_data)
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]

    @always(clk.posedge)
    def serve():
        if we:
            memory[write_address].next = write_data
        if re:
            read_data.next = memory[read_address]

    return serve


@block
def cell_ram(clk, enables, write_address, write_data, read_address, read_data, depth):
    """A memory of `depth` words of four cells, each written on its own; all 0 at the start.

    enables: a bit per cell. read_data: the word that `read_address` named in the cycle before.
    """
    width = len(write_data)
    quarter, half, three = width // 4, width // 2, 3 * width // 4
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]

    @always(clk.posedge)
    def serve():
        if enables[0]:
            memory[write_address].next[quarter:] = write_data[quarter:]
        if enables[1]:
            memory[write_address].next[half:quarter] = write_data[half:quarter]
        if enables[2]:
            memory[write_address].next[three:half] = write_data[three:half]
        if enables[3]:
            memory[write_address].next[width:three] = write_data[width:three]
        read_data.next = memory[read_address]

    return serve
