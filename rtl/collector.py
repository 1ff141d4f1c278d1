"""The collector: the write port of the activation memory, for RUN, FILL and LOAD.

    positions served -> cells of the two words (masks) -> write, traced
"""

from __future__ import annotations

from myhdl import (
    ConcatSignal,
    always,
    always_comb,
    always_seq,
    block,
    concat,
    downrange,
    intbv,
)

from ..arch.config import bits_for
from ..arch.isa import HEAD, Fill, Op
from .signals import bit, word


class Fills:
    """FILL: in a cycle with `now`, row `row` is to be filled with `code` (in the next cycle)."""

    def __init__(self, config):
        self.now = bit()
        self.row = word(bits_for(config.rows))
        self.code = word(config.code_bits)


@block
def filler(clk, reset, go, instruction, fill, ended, config):
    """Counts the rows of a FILL from its take on.

    go, instruction: of the Command; fill: Fills, driven (combinational); ended: in the FILL's
    end-stamp cycle.
    """
    rows_field, row_field, code_field = Fill.field("rows"), Fill.field("row"), Fill.field("code")
    row_bits = len(fill.row)
    count_bits = row_bits + 1
    opcode = instruction(HEAD[0].hi, HEAD[0].lo)
    first_row = instruction(row_field.lo + row_bits, row_field.lo)
    all_rows = instruction(rows_field.lo + count_bits, rows_field.lo)
    new_code = instruction(code_field.lo + config.code_bits, code_field.lo)
    is_fill = int(Op.FILL)
    more = bit()
    row = word(row_bits)
    left = word(count_bits)
    code = word(config.code_bits)
    left_now = word(count_bits)

    @always_comb
    def choose():
        if go:
            fill.now.next = opcode == is_fill
            fill.row.next = first_row
            fill.code.next = new_code
            left_now.next = all_rows
        else:
            fill.now.next = more
            fill.row.next = row
            fill.code.next = code
            left_now.next = left

    @always_seq(clk.posedge, reset=reset)
    def count():
        ended.next = fill.now and left_now == 1
        more.next = fill.now and left_now != 1

    @always(clk.posedge)
    def keep():
        following = intbv(0)[row_bits + 1:]
        if fill.now:
            following[:] = fill.row + 1
            row.next = following[row_bits:]
            left.next = left_now - 1
            code.next = fill.code

    return choose, count, keep


@block
def aim(clk, reset, served, addresses, hits, wanted, even_row, odd_row, config):
    """Where an operation writes, a cycle after the bits and addresses of its served positions.

    hits[d]: the cell of position d, as one bit of 2P, if it is served; even_row, odd_row: of the
    words written (both the same if only one is); wanted: there is anything to write.
    """
    positions, cells = config.drain, config.row_codes
    lane_bits, row_lo, width = config.lane_bits, config.lane_bits + 1, config.address_bits
    row_bits = width - row_lo

    @always_seq(clk.posedge, reset=reset)
    def decide():
        wanted.next = served != 0

    @always(clk.posedge)
    def find():
        at = intbv(0)[width:]
        number = intbv(0)[row_lo:]
        mark = intbv(0)[cells:]
        even = intbv(0)[row_bits:]
        odd = intbv(0)[row_bits:]
        if reset:
            for d in range(positions):
                hits[d].next = 0
        elif served != 0 or wanted:
            even[:] = 0
            odd[:] = 0
            for d in downrange(positions):
                at[:] = addresses[d]
                number[:] = at[row_lo:]
                mark[:] = 0
                if served[d]:
                    mark[:] = 1
                    even[:] = at[width:row_lo]
                    odd[:] = at[width:row_lo]
                mark[:] = mark << number
                hits[d].next = mark
            for d in downrange(positions):
                at[:] = addresses[d]
                if served[d]:
                    if at[lane_bits]:
                        odd[:] = at[width:row_lo]
                    else:
                        even[:] = at[width:row_lo]
            even_row.next = even
            odd_row.next = odd

    return decide, find


@block
def write_port(clk, reset, wanted, hits, codes, even_row, odd_row, fill, rows, write, wrote,
               config):
    """The registers before the memory: a row of LOAD or FILL, or the cells of an operation.

    hits, codes: of the operation's positions; write: MemoryWrite, driven; wrote: there is one.
    """
    positions, quads, cells = config.drain, config.row_codes // 4, config.row_codes
    last_part = config.beats_per_row - 1
    enables = write.enables
    row_there = bit()
    cleared = bit()          # reset in the cycle before

    @always_comb
    def judge():
        row_there.next = fill.now or (rows.valid and rows.part == last_part)

    @always_seq(clk.posedge, reset=reset)
    def remember():
        wrote.next = row_there or wanted

    @always(clk.posedge)
    def locate():
        if rows.valid:
            write.even_row.next = rows.address
            write.odd_row.next = rows.address
        elif fill.now:
            write.even_row.next = fill.row
            write.odd_row.next = fill.row
        else:
            write.even_row.next = even_row
            write.odd_row.next = odd_row

    @always(clk.posedge)
    def enable():
        hit = intbv(0)[cells:]
        cleared.next = reset
        if row_there:
            for q in range(quads):
                enables[q].next = 15
        elif wanted or wrote or cleared:
            hit[:] = hits[0]
            for d in range(1, positions):
                hit[:] = hit | hits[d]
            for q in range(quads):
                enables[q].next = hit[4:]
                hit[:] = hit >> 4

    return judge, remember, locate, enable, write_data(clk, wanted, hits, codes, fill, rows,
                                                       write, config)


@block
def write_data(clk, wanted, hits, codes, fill, rows, write, config):
    """The codes for `write_port`. The parts of a row come one after the other."""
    positions, quads, code_bits = config.drain, config.row_codes // 4, config.code_bits
    quad_bits, cells = 4 * code_bits, config.row_codes
    beats, beat_width = config.beats_per_row, len(rows.beat)
    quads_a_beat = quads // beats
    parts = write.codes

    @always(clk.posedge)
    def place():
        beat = intbv(0)[beat_width:]
        hit = intbv(0)[cells:]
        first = intbv(0)[code_bits:]
        code = intbv(0)[code_bits:]
        cell0 = intbv(0)[code_bits:]
        cell1 = intbv(0)[code_bits:]
        cell2 = intbv(0)[code_bits:]
        cell3 = intbv(0)[code_bits:]
        if rows.valid:
            for p in range(beats):
                beat[:] = rows.beat
                for r in range(quads_a_beat):
                    if rows.part == p:
                        parts[p * quads_a_beat + r].next = beat[quad_bits:]
                    beat[:] = beat >> quad_bits
        elif fill.now or wanted:
            first[:] = codes[0]
            if fill.now:
                first[:] = fill.code
            for q in range(quads):
                cell0[:] = first
                cell1[:] = first
                cell2[:] = first
                cell3[:] = first
                for d in range(1, positions):
                    hit[:] = hits[d]
                    hit[:] = hit >> (4 * q)
                    code[:] = codes[d]
                    if hit[0]:
                        cell0[:] = code
                    if hit[1]:
                        cell1[:] = code
                    if hit[2]:
                        cell2[:] = code
                    if hit[3]:
                        cell3[:] = code
                parts[q].next = concat(cell3, cell2, cell1, cell0)

    return place


@block
def trace_port(write, wrote, trace):
    """What the memory is given in this cycle. write: MemoryWrite; trace: Trace, driven."""
    enables, parts = write.enables, write.codes
    mask = ConcatSignal(*reversed(enables))
    codes = ConcatSignal(*reversed(parts))

    @always_comb
    def show():
        trace.write.next = wrote
        trace.row.next = write.even_row
        trace.odd_row.next = write.odd_row
        trace.mask.next = mask
        trace.codes.next = codes

    return show


@block
def collector(clk, reset, go, instruction, flow, codes, rows, write, trace, filled, config):
    """Writes of the activation memory.

    go, instruction: of the Command; flow: served and addresses of an operation, one cycle before
    its codes; rows: Rows; filled: the end stamp of a FILL; write: MemoryWrite and trace: Trace,
    driven.
    """
    fill = Fills(config)
    hits = [word(config.row_codes) for _ in range(config.drain)]
    even_row, odd_row = word(bits_for(config.rows)), word(bits_for(config.rows))
    wanted, wrote = bit(), bit()
    return (filler(clk, reset, go, instruction, fill, filled, config),
            aim(clk, reset, flow.served, flow.addresses, hits, wanted, even_row, odd_row, config),
            write_port(clk, reset, wanted, hits, codes, even_row, odd_row, fill, rows, write,
                       wrote, config),
            trace_port(write, wrote, trace))
