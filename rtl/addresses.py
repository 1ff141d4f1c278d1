"""From a tap's table entries to memory rows: base table, kernel-offset table, two adders.

    cycle after the tap's: base, offset    2: their sum    3: rows, and offset inside the row pair
"""

from __future__ import annotations

from myhdl import ConcatSignal, always, always_comb, block, concat, intbv

from ..arch.config import bits_for
from .ram import ram
from .signals import word


class Window:
    """P codes from cell `offset` on of a row pair: the odd word of `odd_row` and the even word of
    `even_row` (the same row, or the next one if the window starts in the odd word).
    """

    def __init__(self, config):
        self.even_row = word(bits_for(config.rows))
        self.odd_row = word(bits_for(config.rows))
        self.offset = word(config.lane_bits + 1)


@block
def addresses(clk, tap, fields, ports, window, pair, config):
    """tap: Tap; ports: TablePorts; window: Window, driven, 3 cycles after the tap.

    pair: of the tap's base entry, 1 cycle after the tap.
    """
    width, lane_bits = config.address_bits, config.lane_bits
    row_lo = lane_bits + 1
    base_data = ConcatSignal(ports.pair, ports.address)
    base_at = ConcatSignal(fields.base_bank, tap.entry)
    base_entry = word(width + 1)
    offsets = [word(width) for _ in range(2 * config.offset_entries)]
    offset_bits = len(tap.kernel) + 1
    offset = word(width)
    total = word(width)
    position0 = word(width)
    position1 = word(width)
    start = word(width)
    base_table = ram(clk, ports.base_we, ports.base_at, base_data, base_at, base_entry,
                     2 * config.base_entries)

    @always_comb
    def show():
        pair.next = base_entry[width]

    @always(clk.posedge)
    def look_up():
        at = intbv(0)[offset_bits:]
        if ports.offset_we:
            offsets[ports.offset_at].next = ports.address
        if tap.active:
            at[:] = concat(fields.offset_bank, tap.kernel)
            offset.next = offsets[at]

    @always_comb
    def reach():
        wide = intbv(0)[width + 1:]
        wide[:] = total + position1
        start.next = wide[width:]

    @always(clk.posedge)
    def add():
        words = intbv(0)[width - lane_bits + 1:]
        wide = intbv(0)[width + 1:]
        if tap.active:
            position0.next = tap.chunk_position
            position1.next = position0
            wide[:] = base_entry[width:] + offset
            total.next = wide[width:]
            window.odd_row.next = start[width:row_lo]
            window.offset.next = start[row_lo:]
            # the even row of a window that begins in the odd word is the next one
            words[:] = start[width:lane_bits]
            words[:] = words + 1
            window.even_row.next = words[width - lane_bits:1]

    return base_table, show, look_up, reach, add
