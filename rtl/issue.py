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
from .quirks import block_part
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


def last_bit(config):
    """Where a slot tells that it is the last of its cluster: its highest bit."""
    return config.position_bits + 1 + config.factor_bits


@block_part
def may_issue(read, busy, in_flight, occupied, opening, issuing, config):
    """issuing: the slot in stage 1 issues in this cycle."""
    last_at, most = last_bit(config), config.total_banks

    @always_comb
    def decide():
        if occupied and not (read.slot[last_at] and busy != 0) \
                and not (opening and in_flight == most):
            issuing.next = True
        else:
            issuing.next = False

    return decide


@block_part
def present_slots(clk, reset, start, read, chunk, advance, active, channel, last_channel, occupied,
                  issuing, slot_number, fresh):
    """Stage 0."""
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

    return present, turn_over, stage0


@block_part
def hold_slot(clk, reset, read, drained, tap, issuing, occupied, opening, closing, busy, in_flight,
              fresh, config):
    """Stage 1."""
    last_at, spacing = last_bit(config), config.share - 1

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

    return stage1


@block_part
def cut_slot(clk, fields, read, chunk, tap, issuing, closing, kernel_mask, position, config):
    """What stage 1 knows of its slot: the parts of `tap`."""
    last_at, factor_lo = last_bit(config), config.position_bits + 1
    position_bits = config.position_bits
    entry_bits, kernel_bits = bits_for(config.base_entries), len(kernel_mask)
    kernel_masks = tuple((1 << min(k, kernel_bits)) - 1
                         for k in range(1 << len(fields.kernel_bits)))

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

    return mask, hold


@block
def issue(clk, reset, start, fields, read, chunk, advance, drained, tap, config):
    """The walk over channels, chunks and slots.

    start: stage 0 is active from the next cycle on, for the RUN in `fields`. read: SlotRead; chunk:
    Chunk, with `advance` it goes to the next one. drained: a chunk's drain has its last operation
    in this cycle. tap: Tap, driven.
    """
    active = bit()
    busy = word(5)                       # cycles in which no cluster may end
    channel = Signal(modbv(0)[len(fields.channels):])        # the one in turn, from 1 on
    closing = bit()                      # stage 1 has the last slot of a chunk
    fresh = Signal(bool(1))              # the slot to be presented is the first of a chunk
    in_flight = word(config.total_banks.bit_length())        # chunks
    issuing = bit()
    kernel_mask = word(bits_for(config.offset_entries))
    last_channel = bit()
    occupied = bit()                     # stage 1 has a slot
    opening = bit()                      # it is the first of a chunk
    position = word(len(chunk.position))
    slot_number = Signal(modbv(0)[len(read.address):])       # of the slot to be presented
    return (
        equal(channel, fields.channels, last_channel),
        may_issue(read, busy, in_flight, occupied, opening, issuing, config),
        present_slots(clk, reset, start, read, chunk, advance, active, channel, last_channel,
                      occupied, issuing, slot_number, fresh),
        hold_slot(clk, reset, read, drained, tap, issuing, occupied, opening, closing, busy,
                  in_flight, fresh, config),
        cut_slot(clk, fields, read, chunk, tap, issuing, closing, kernel_mask, position, config),
        activity(clk, reset, issuing, tap.active, latency.tap_in_flight(config)))
