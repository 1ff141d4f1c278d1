"""Stages 0 and 1: present slots to the tap cache, and issue one tap a clock to the lanes.

    tap cache --slot--> stage 1 --tap--> addresses, lanes
       ^ address           | busy multiplier, TB chunks in flight: wait
    stage 0 <--------------+
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, intbv, modbv

from ..arch import latency
from ..arch.config import bits_for
from .delay import activity
from .equal import equal
from .signals import bit, word


class Tap:
    """A tap in the cycle after its issue.

    active: there may be one anywhere in lanes and multipliers; valid: there is one; last: of its
    cluster; closing: of its chunk; entry: of the base table; kernel: entry of the offset table;
    chunk_position: raster address of its chunk, origin included.
    """

    def __init__(self, config):
        self.active = bit()
        self.valid = bit()
        self.last = bit()
        self.closing = bit()
        self.negative = bit()
        self.factor = word(config.factor_bits)
        self.entry = word(bits_for(config.base_entries))
        self.kernel = word(bits_for(config.offset_entries))
        self.chunk_position = word(config.address_bits)


@block
def issue(clk, reset, start, fields, read, chunk, advance, drained, tap, config):
    """The walk over channels, chunks and slots.

    start: stage 0 is active from the next cycle on, for the RUN in `fields`. read: SlotRead; chunk:
    Chunk, with `advance` it goes to the next one. drained: a chunk's drain has its last operation
    in this cycle. tap: Tap, driven.
    """
    share, most = config.share, config.total_banks
    spacing = share - 1
    factor_lo = config.position_bits + 1
    last_at = factor_lo + config.factor_bits
    position_bits = config.position_bits
    entry_bits = bits_for(config.base_entries)
    kernel_bits = bits_for(config.offset_entries)
    settings = 1 << len(fields.kernel_bits)
    kernel_masks = tuple((1 << min(k, kernel_bits)) - 1 for k in range(settings))
    kernel_mask = word(kernel_bits)
    active = bit()
    channel = Signal(modbv(0)[len(fields.channels):])        # the one in turn, from 1 on
    slot_number = Signal(modbv(0)[len(read.address):])       # of the slot to be presented
    fresh = Signal(bool(1))              # it is the first of a chunk
    occupied = bit()                     # stage 1 holds a slot
    opening, closing = bit(), bit()      # it is the first, the last of its chunk
    position = word(len(chunk.position))
    issuing = bit()
    busy = word(5)                       # cycles in which no cluster may end
    in_flight = word(most.bit_length())  # chunks
    last_channel = bit()
    compare = equal(channel, fields.channels, last_channel)

    @always_comb
    def decide():
        if occupied and not (read.slot[last_at] and busy != 0) \
                and not (opening and in_flight == most):
            issuing.next = True
        else:
            issuing.next = False

    @always_comb
    def present():
        read.address.next = slot_number
        if active and read.there and (issuing or not occupied):
            read.re.next = True
        else:
            read.re.next = False

    @always_comb
    def turn_over():
        advance.next = read.re and read.at_end
        read.free.next = read.re and read.at_end and chunk.last

    @always_seq(clk.posedge, reset=reset)
    def stage0():
        if start:
            active.next = True
            channel.next = 1
        elif read.free:
            channel.next = channel + 1
            if last_channel:
                active.next = False
        if read.free:
            read.turn.next = not read.turn
        if advance:
            slot_number.next = 0
        elif read.re:
            slot_number.next = slot_number + 1
        if read.re:
            fresh.next = read.at_end

    @always_seq(clk.posedge, reset=reset)
    def stage1():
        if read.re:
            occupied.next = True
        elif issuing:
            occupied.next = False
        if read.re:
            opening.next = fresh
            closing.next = read.at_end
        if issuing and read.slot[last_at]:
            busy.next = spacing
        elif busy != 0:
            busy.next = busy - 1
        if issuing and opening and not drained:
            in_flight.next = in_flight + 1
        elif drained and not (issuing and opening):
            in_flight.next = in_flight - 1
        tap.valid.next = issuing

    @always(clk.posedge)
    def mask():
        kernel_mask.next = kernel_masks[fields.kernel_bits]

    @always(clk.posedge)
    def hold():
        place = intbv(0)[position_bits:]
        if read.re:
            position.next = chunk.position
        if issuing:
            tap.last.next = read.slot[last_at]
            tap.closing.next = closing
            tap.negative.next = read.slot[position_bits]
            tap.factor.next = read.slot[last_at:factor_lo]
            place[:] = read.slot[position_bits:]
            tap.kernel.next = place[kernel_bits:] & kernel_mask
            if fields.kernel_bits[2]:            # 5 at most
                place[:] = place >> 4
            elif fields.kernel_bits[1]:
                place[:] = place >> 2
            if fields.kernel_bits[0]:
                place[:] = place >> 1
            tap.entry.next = place[entry_bits:]
            tap.chunk_position.next = position

    moving = activity(clk, reset, issuing, tap.active, latency.tap_in_flight(config))
    return compare, decide, present, turn_over, stage0, stage1, mask, hold, moving
