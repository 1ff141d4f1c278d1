"""The collector: the write port of the activation memory, for RUN, FILL and LOAD.

    positions served -> cells of the two words (masks) -> write, traced
"""

from __future__ import annotations

from myhdl import (
    ConcatSignal,
    Signal,
    always,
    always_comb,
    always_seq,
    block,
    concat,
    downrange,
    intbv,
    modbv,
)

from ..arch.config import bits_for
from ..arch.isa import HEAD, Fill, Op
from .equal import equal
from .signals import bit, word


class Fills:
    """FILL: in a cycle with `now` there is a row to be filled in the next cycle: the first one,
    `row`, with `code`, in the cycle of the take, and in those with `more` the row behind the one
    written then, with the same code.
    """

    def __init__(self, config):
        self.now = bit()
        self.more = bit()
        self.row = word(bits_for(config.rows))
        self.code = word(config.code_bits)


@block
def filler(clk, reset, go, instruction, fill, ended, config):
    """Counts the rows of a FILL from its take on.

    go, instruction: of the Command; fill: Fills, driven; ended: in the FILL's end-stamp cycle.
    """
    count_bits = len(fill.row) + 1
    opcode = instruction(*HEAD[0].ends())
    first_row = instruction(*Fill.field("row").ends(len(fill.row)))
    all_rows = instruction(*Fill.field("rows").ends(count_bits))
    new_code = instruction(*Fill.field("code").ends(config.code_bits))
    is_fill = int(Op.FILL)
    count = Signal(modbv(0)[count_bits:])        # rows up to that of this cycle
    rows = word(count_bits)
    at_last, last = bit(), bit()
    compare = equal(count, rows, at_last)

    @always_comb
    def choose():
        fill.row.next = first_row
        fill.code.next = new_code
        if go:
            fill.now.next = opcode == is_fill
            last.next = all_rows == 1
        else:
            fill.now.next = fill.more
            last.next = at_last

    @always_seq(clk.posedge, reset=reset)
    def follow():
        ended.next = fill.now and last
        fill.more.next = fill.now and not last

    @always(clk.posedge)
    def count_up():
        if go:
            count.next = 2
            rows.next = all_rows
        else:
            count.next = count + 1

    return compare, choose, follow, count_up


class Aim:
    """Where the positions of an operation are written. quads[d], cells[d]: the one cell of position
    d, as one bit of 2P/4 and one of 4, of the cells of the two words; with D = 1 all other quads
    instead of that one. All quads are 0 if it is not served.
    """

    def __init__(self, config):
        self.quads = [word(config.row_codes // 4) for _ in range(config.drain)]
        self.cells = [word(4) for _ in range(config.drain)]
        self.even_row = word(bits_for(config.rows))
        self.odd_row = word(bits_for(config.rows))
        self.wanted = bit()


@block
def take_aim(clk, reset, served, addresses, aim, config):
    """aim: Aim, driven, a cycle after the bits and addresses of the served positions. wanted: there
    is anything to write; even_row, odd_row: of the words (both the same if only one is written).
    """
    positions, quads = config.drain, config.row_codes // 4
    lane_bits, row_lo, width = config.lane_bits, config.lane_bits + 1, config.address_bits
    row_bits = width - row_lo
    others = (1 << quads) - 1 if positions == 1 else 0
    hit_quads, hit_cells = aim.quads, aim.cells

    @always_seq(clk.posedge, reset=reset)
    def decide():
        aim.wanted.next = served != 0

    @always(clk.posedge)
    def find():
        at = intbv(0)[width:]
        number = intbv(0)[row_lo:]
        quad = intbv(0)[quads:]
        one = intbv(0)[4:]
        for d in range(positions):
            if reset or not served[d]:
                hit_quads[d].next = 0
            else:
                at[:] = addresses[d]
                number[:] = at[row_lo:]
                quad[:] = 1
                quad[:] = quad << number[:2]
                hit_quads[d].next = quad ^ others
            if served[d]:
                at[:] = addresses[d]
                one[:] = 1
                one[:] = one << at[2:]
                hit_cells[d].next = one

    @always(clk.posedge)
    def find_rows():
        at = intbv(0)[width:]
        even = intbv(0)[row_bits:]
        odd = intbv(0)[row_bits:]
        if served != 0:
            even[:] = 0
            odd[:] = 0
            for d in downrange(positions):
                at[:] = addresses[d]
                if served[d]:
                    even[:] = at[width:row_lo]
                    odd[:] = at[width:row_lo]
            for d in downrange(positions):
                at[:] = addresses[d]
                if served[d]:
                    if at[lane_bits]:
                        odd[:] = at[width:row_lo]
                    else:
                        even[:] = at[width:row_lo]
            aim.even_row.next = even
            aim.odd_row.next = odd

    return decide, find, find_rows


@block
def write_port(clk, reset, go, aim, codes, fill, rows, write, wrote, config):
    """The registers before the memory: a row of LOAD or FILL, or the cells of an operation.

    go: of the Command; aim: Aim, codes: of the operation's positions; write: MemoryWrite, driven;
    wrote: there is one.
    """
    last_part, row_bits = config.beats_per_row - 1, len(fill.row)
    row_there = bit()
    enabling = enable_one if config.drain == 1 else enable_several

    @always_comb
    def judge():
        row_there.next = fill.now or (rows.valid and rows.part == last_part)

    @always_seq(clk.posedge, reset=reset)
    def remember():
        wrote.next = row_there or aim.wanted

    @always(clk.posedge)
    def locate():
        following = intbv(0)[row_bits + 1:]
        following[:] = write.even_row + 1
        if rows.valid:
            write.even_row.next = rows.address
            write.odd_row.next = rows.address
        elif go:
            write.even_row.next = fill.row
            write.odd_row.next = fill.row
        elif fill.more:
            write.even_row.next = following[row_bits:]
            write.odd_row.next = following[row_bits:]
        else:
            write.even_row.next = aim.even_row
            write.odd_row.next = aim.odd_row

    return (judge, remember, locate, enabling(clk, reset, row_there, wrote, aim, write, config),
            write_data(clk, go, aim, codes, fill, rows, write, config))


@block
def enable_one(clk, reset, row_there, wrote, aim, write, config):
    """The cells that are written, for D = 1: the quads that are not hit are reset, so that all
    quads can share what goes into them. No row comes with an operation.
    """
    quads = config.row_codes // 4
    enables = write.enables
    other_quads, hit_cells = aim.quads[0], aim.cells[0]
    cleared = bit()          # reset in the cycle before
    change = bit()
    shared = word(4)

    @always_comb
    def judge():
        change.next = row_there or aim.wanted or wrote or cleared

    @always_comb
    def choose():
        if row_there:
            shared.next = 15
        elif aim.wanted:
            shared.next = hit_cells
        else:
            shared.next = 0

    @always(clk.posedge)
    def enable():
        cleared.next = reset
        for q in range(quads):
            if other_quads[q]:
                enables[q].next = 0
            elif change:
                enables[q].next = shared

    return judge, choose, enable


@block
def enable_several(clk, reset, row_there, wrote, aim, write, config):
    """As `enable_one`, for several positions."""
    positions, quads = config.drain, config.row_codes // 4
    enables = write.enables
    hit_quads, hit_cells = aim.quads, aim.cells
    cleared = bit()          # reset in the cycle before

    @always(clk.posedge)
    def enable():
        quad = intbv(0)[quads:]
        one = intbv(0)[4:]
        cleared.next = reset
        if row_there:
            for q in range(quads):
                enables[q].next = 15
        elif aim.wanted or wrote or cleared:
            for q in range(quads):
                one[:] = 0
                for d in range(positions):
                    quad[:] = hit_quads[d]
                    if quad[q]:
                        one[:] = one | hit_cells[d]
                enables[q].next = one

    return enable


@block
def write_data(clk, go, aim, codes, fill, rows, write, config):
    """The codes for `write_port`. The parts of a row come one after the other; all rows of a FILL
    are the first one's.
    """
    positions, quads, code_bits = config.drain, config.row_codes // 4, config.code_bits
    quad_bits = 4 * code_bits
    beats, beat_width = config.beats_per_row, len(rows.beat)
    quads_a_beat = quads // beats
    parts = write.codes
    hit_quads, hit_cells = aim.quads, aim.cells

    @always(clk.posedge)
    def place():
        beat = intbv(0)[beat_width:]
        quad = intbv(0)[quads:]
        hit = intbv(0)[4:]
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
        elif go or aim.wanted:
            first[:] = codes[0]
            if go:
                first[:] = fill.code
            for q in range(quads):
                cell0[:] = first
                cell1[:] = first
                cell2[:] = first
                cell3[:] = first
                for d in range(1, positions):
                    quad[:] = hit_quads[d]
                    hit[:] = hit_cells[d]
                    code[:] = codes[d]
                    if quad[q] and hit[0]:
                        cell0[:] = code
                    if quad[q] and hit[1]:
                        cell1[:] = code
                    if quad[q] and hit[2]:
                        cell2[:] = code
                    if quad[q] and hit[3]:
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
    aim = Aim(config)
    wrote = bit()
    return (filler(clk, reset, go, instruction, fill, filled, config),
            take_aim(clk, reset, flow.served, flow.addresses, aim, config),
            write_port(clk, reset, go, aim, codes, fill, rows, write, wrote, config),
            trace_port(write, wrote, trace))
