"""The destination walker: where each position of each chunk is written, one step of D a cycle.

    place -> next -> ... -> next (D times) -> to the rectangle (end of a chunk) -> place
      |       |                 addresses of a step -> + dst_plane for each digit -> drain
"""

from __future__ import annotations

from myhdl import always, always_comb, always_seq, block, intbv

from ..arch.config import bits_for
from .signals import bit, word


class Place:
    """A raster position, the address of its element, and what the walk needs besides.

    address, row_address, image_address: of the position, its row's and its image's first one;
    column_phase, row_phase: of the position in the split destination.
    """

    def __init__(self, fields):
        width = len(fields.dst)
        self.column = word(len(fields.last_column))
        self.row = word(len(fields.last_column))
        self.image = word(len(fields.images) + 1)
        self.address = word(width)
        self.row_address = word(width)
        self.image_address = word(width)
        self.column_phase = word(2)
        self.row_phase = word(2)


class Step:
    """D positions of a chunk: addresses[d] is where position d is written if inside[d].

    there: the registers hold a step; index: its number in the chunk; ends_chunk: it is the
    chunk's last one; ends_channel, ends_run: the channel's, the RUN's.
    """

    def __init__(self, config):
        self.there = bit()
        self.addresses = [word(config.address_bits) for _ in range(config.drain)]
        self.inside = [bit() for _ in range(config.drain)]
        self.index = word(bits_for(config.drain_steps))
        self.ends_chunk = bit()
        self.ends_channel = bit()
        self.ends_run = bit()


@block
def move(place, after, fields, to_rectangle):
    """Combinational: `after` is the next raster position (to_rectangle false), or the first one
    from `place` on whose row and column lie in the rectangle (true).
    """
    width, row_bits = len(fields.dst), len(place.row) + 1
    by_one = not to_rectangle
    to_row, to_image = bit(), bit()

    @always_comb
    def judge_next():
        to_row.next = place.column == fields.last_column
        to_image.next = place.column == fields.last_column and place.row == fields.last_row

    @always_comb
    def judge_rectangle():
        row = intbv(0)[row_bits:]
        row[:] = place.row
        if place.column >= fields.width:
            row[:] = row + 1
        to_row.next = place.column >= fields.width
        to_image.next = row >= fields.height

    @always_comb
    def apply():
        at = intbv(0)[width + 1:]
        phase = intbv(0)[4:]
        after.column.next = 0
        after.row.next = place.row
        after.image.next = place.image
        after.row_address.next = place.row_address
        after.image_address.next = place.image_address
        after.column_phase.next = fields.x_start
        after.row_phase.next = place.row_phase
        if to_image:
            at[:] = place.image_address + fields.dst_image
            after.row.next = 0
            after.image.next = place.image + 1
            after.row_address.next = at[width:]
            after.image_address.next = at[width:]
            after.row_phase.next = fields.y_start
        elif to_row:
            phase[:] = place.row_phase + fields.y_mod
            if phase >= fields.split:
                phase[:] = phase - fields.split
                at[:] = place.row_address + fields.y_both
            else:
                at[:] = place.row_address + fields.y_step
            after.row.next = place.row + 1
            after.row_address.next = at[width:]
            after.row_phase.next = phase[2:]
        else:
            after.column.next = place.column
            after.column_phase.next = place.column_phase
            at[:] = place.address
            if by_one:
                phase[:] = place.column_phase + fields.x_mod
                if phase >= fields.split:
                    phase[:] = phase - fields.split
                    at[:] = place.address + fields.x_both
                else:
                    at[:] = place.address + fields.x_step
                after.column.next = place.column + 1
                after.column_phase.next = phase[2:]
        after.address.next = at[width:]

    return apply, judge_rectangle if to_rectangle else judge_next


@block
def walk(clk, reset, start, advance, fields, place, after, first, step, config):
    """The place of the next step's first position, over chunks and channels.

    after: the place D positions on; first: from there on, the first one in the rectangle, where the
    next chunk begins. start, advance and the flags of `step` are those of `destinations`.
    """
    width = config.address_bits
    last_index = config.drain_steps - 1
    index = word(bits_for(config.drain_steps))
    left = word(len(fields.channels))
    running = bit()
    moving = bit()
    closing, beyond = bit(), bit()       # last step of a chunk, of a channel
    channel_address = word(width)
    next_channel = word(width)

    @always_comb
    def judge():
        total = intbv(0)[width + 1:]
        moving.next = advance and running
        closing.next = index == last_index
        beyond.next = index == last_index and first.image >= fields.images
        total[:] = channel_address + fields.dst_channel
        next_channel.next = total[width:]

    @always_seq(clk.posedge, reset=reset)
    def count():
        if start:
            running.next = True
            left.next = fields.channels
            index.next = 0
        elif advance:
            step.there.next = running
            step.index.next = index
            step.ends_chunk.next = closing
            step.ends_channel.next = beyond
            step.ends_run.next = beyond and left == 1
            if running:
                if closing:
                    index.next = 0
                else:
                    index.next = index + 1
                if beyond:
                    left.next = left - 1
                    running.next = left != 1

    @always(clk.posedge)
    def go_on():
        if start:
            channel_address.next = fields.dst
        elif moving and beyond:
            channel_address.next = next_channel
        if start or (moving and beyond):
            place.column.next = 0
            place.row.next = 0
            place.image.next = 0
            place.column_phase.next = fields.x_start
            place.row_phase.next = fields.y_start
            if start:
                place.address.next = fields.dst
                place.row_address.next = fields.dst
                place.image_address.next = fields.dst
            else:
                place.address.next = next_channel
                place.row_address.next = next_channel
                place.image_address.next = next_channel
        elif moving and closing:
            place.column.next = first.column
            place.row.next = first.row
            place.image.next = first.image
            place.address.next = first.address
            place.row_address.next = first.row_address
            place.image_address.next = first.image_address
            place.column_phase.next = first.column_phase
            place.row_phase.next = first.row_phase
        elif moving:
            place.column.next = after.column
            place.row.next = after.row
            place.image.next = after.image
            place.address.next = after.address
            place.row_address.next = after.row_address
            place.image_address.next = after.image_address
            place.column_phase.next = after.column_phase
            place.row_phase.next = after.row_phase

    return judge, count, go_on


@block
def emit(clk, advance, place, fields, address, inside):
    """One position of a step."""
    @always(clk.posedge)
    def keep():
        if advance:
            address.next = place.address
            inside.next = (place.column < fields.width and place.row < fields.height
                           and place.image < fields.images)

    return keep


@block
def destinations(clk, reset, start, advance, fields, step, config):
    """The steps of all chunks of all channels of a RUN, in order.

    start: the RUN in `fields` begins; advance: `step` takes the next one, both at the end of the
    cycle. After the final step `there` falls.
    """
    places = [Place(fields) for _ in range(config.drain + 1)]
    first = Place(fields)
    after = places[-1]
    moves = [move(places[d], places[d + 1], fields, False) for d in range(config.drain)]
    inward = move(after, first, fields, True)
    register = walk(clk, reset, start, advance, fields, places[0], after, first, step, config)
    emits = [emit(clk, advance, places[d], fields, step.addresses[d], step.inside[d])
             for d in range(config.drain)]
    return moves, inward, register, emits
