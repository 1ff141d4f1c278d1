"""Clustering: the code of a value, by binary search over 2^AB - 1 ascending thresholds.

    value -> level 0 (1 threshold) -> level 1 (2) -> ... -> level AB-1 -> segment -> code

Each level has a small memory with the thresholds that it can meet, and finds one bit of the
segment, highest first, in one cycle. Every memory has two banks.
"""

from __future__ import annotations

from myhdl import always, block, concat, intbv

from .delay import delay_line
from .signals import word


@block
def first_level(clk, active, ports, bank, value, found, code_bits):
    """Level 0: compares with the middle threshold. ports: TablePorts."""
    middle = 1 << (code_bits - 1)
    thresholds = [word(len(ports.threshold)) for _ in range(2)]

    @always(clk.posedge)
    def search():
        at = intbv(0)[1:]
        if ports.cluster_we and ports.cluster_at[code_bits:] == middle:
            at[0] = ports.cluster_at[code_bits]
            thresholds[at].next = ports.threshold
        if active:
            at[0] = bank
            found.next[0] = value >= thresholds[at]

    return search


@block
def level(clk, active, ports, bank, value, found, found_out, code_bits):
    """A further level: `found` are the bits so far, found_out has one more, a cycle later."""
    known = len(found)
    rest = code_bits - known             # bits of the segment from this level on
    middle = 1 << (rest - 1)
    top = code_bits + 1
    thresholds = [word(len(ports.threshold)) for _ in range(2 << known)]

    @always(clk.posedge)
    def search():
        at = intbv(0)[known + 1:]
        if ports.cluster_we and ports.cluster_at[rest:] == middle:
            at[:] = ports.cluster_at[top:rest]
            thresholds[at].next = ports.threshold
        if active:
            at[:] = concat(bank, found)
            found_out.next[known + 1:1] = found
            found_out.next[0] = value >= thresholds[at]

    return search


@block
def code_map(clk, active, ports, fields, segment, direct, code, code_bits):
    """code: in mode CODE that of the segment, else `direct`, both of the cycle before."""
    codes = [word(code_bits) for _ in range(2 << code_bits)]

    @always(clk.posedge)
    def look_up():
        at = intbv(0)[code_bits + 1:]
        mapped = intbv(0)[code_bits:]
        if ports.cluster_we:
            codes[ports.cluster_at].next = ports.code
        if active:
            at[:] = concat(fields.cluster_bank, segment)
            mapped[:] = codes[at]
            if fields.clustered:
                code.next = mapped
            else:
                code.next = direct

    return look_up


@block
def clustering(clk, reset, active, ports, fields, value, direct, code, code_bits):
    """code: in mode CODE that of `value`, AB + 1 cycles later; else `direct`, AB cycles later."""
    later = code_bits - 1
    values = [word(len(value)) for _ in range(later)]
    founds = [word(k + 1) for k in range(code_bits)]
    delayed = word(code_bits)

    @always(clk.posedge)
    def carry():
        if active:
            values[0].next = value
            for k in range(1, later):
                values[k].next = values[k - 1]

    levels = [first_level(clk, active, ports, fields.cluster_bank, value, founds[0], code_bits)]
    for k in range(1, code_bits):
        levels.append(level(clk, active, ports, fields.cluster_bank, values[k - 1], founds[k - 1],
                            founds[k], code_bits))
    line = delay_line(clk, reset, active, direct, delayed, later)
    chosen = code_map(clk, active, ports, fields, founds[code_bits - 1], delayed, code, code_bits)
    return carry, levels, line, chosen
