"""The destination walker: where each position of each chunk is written, one step of D a cycle.

    place -> next -> ... -> next (D times) -> place
      |       |       addresses of a step -> + dst_plane for each digit -> drain

The last move of a chunk goes on to the first position inside the rectangle, where the next chunk
begins, or to the next channel.
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, intbv, modbv

from ..arch.config import bits_for
from .signals import bit, word


class Place:
    """A raster position, the address of its element, and what the walk needs besides.

    address, row_address, image_address, channel_address: of the position, its row's, its image's
    and its channel's first one; column_phase, row_phase: of the position in the split destination;
    column_inside, row_inside, image_inside: whether it lies in the rectangle, in one of the images.
    """

    def __init__(self, fields):
        width = len(fields.dst)
        self.column = word(len(fields.width))
        self.row = word(len(fields.height))
        self.image = word(len(fields.images))
        self.address = word(width)
        self.row_address = word(width)
        self.image_address = word(width)
        self.channel_address = word(width)
        self.column_phase = word(2)
        self.row_phase = word(2)
        self.column_inside = bit()
        self.row_inside = bit()
        self.image_inside = bit()


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


class Ahead:
    """What the next column, row and image would be, and what ends before them."""

    def __init__(self, fields):
        self.column = Signal(modbv(0)[len(fields.width):])
        self.row = Signal(modbv(0)[len(fields.height):])
        self.image = Signal(modbv(0)[len(fields.images):])
        self.width_ends = bit()
        self.row_ends = bit()
        self.height_ends = bit()
        self.image_ends = bit()
        self.images_end = bit()


class Turns:
    """Where a move leads: to the next row, image or channel; if to none, to the next column."""

    def __init__(self):
        self.row = bit()
        self.image = bit()
        self.channel = bit()


@block
def look(place, fields, ahead):
    """Combinational: Ahead of a Place."""
    @always_comb
    def count():
        ahead.column.next = place.column + 1
        ahead.row.next = place.row + 1
        ahead.image.next = place.image + 1

    @always_comb
    def compare():
        ahead.width_ends.next = ahead.column == fields.width
        ahead.row_ends.next = ahead.column == fields.pitch
        ahead.height_ends.next = ahead.row == fields.height
        ahead.image_ends.next = ahead.row == fields.image_rows
        ahead.images_end.next = ahead.image == fields.images

    return count, compare


@block
def judge(ahead, turns):
    """Combinational: Turns to the next raster position."""
    @always_comb
    def decide():
        turns.row.next = ahead.row_ends
        turns.image.next = ahead.row_ends and ahead.image_ends
        turns.channel.next = False

    return decide


@block
def judge_last(place, ahead, closing, turns):
    """The same for the last position of a step; if `closing`, of a chunk: on into the rectangle."""
    to_row, to_image = bit(), bit()

    @always_comb
    def rows():
        to_row.next = ahead.row_ends or (
            closing and (ahead.width_ends or not place.column_inside))

    @always_comb
    def images():
        if to_row:
            to_image.next = ahead.image_ends or (
                closing and (ahead.height_ends or not place.row_inside))
        else:
            to_image.next = closing and not place.row_inside

    @always_comb
    def decide():
        turns.row.next = to_row
        turns.image.next = to_image
        turns.channel.next = closing and (
            (to_image and ahead.images_end) or not place.image_inside)

    return rows, images, decide


@block
def move(place, ahead, turns, fields, after):
    """Combinational: `after` is the Place that `turns` leads to."""
    @always_comb
    def count():
        after.column.next = ahead.column
        after.row.next = place.row
        after.image.next = place.image
        after.column_inside.next = place.column_inside and not ahead.width_ends
        after.row_inside.next = place.row_inside
        after.image_inside.next = place.image_inside
        if turns.row or turns.image or turns.channel:
            after.column.next = 0
            after.row.next = ahead.row
            after.column_inside.next = True
            after.row_inside.next = place.row_inside and not ahead.height_ends
        if turns.image or turns.channel:
            after.row.next = 0
            after.image.next = ahead.image
            after.row_inside.next = True
            after.image_inside.next = place.image_inside and not ahead.images_end
        if turns.channel:
            after.image.next = 0
            after.image_inside.next = True

    return count, addresses_of(place, turns, fields, after)


@block
def addresses_of(place, turns, fields, after):
    """The addresses and phases of `move`: one of the addresses, and a step from there."""
    width = len(fields.dst)

    @always_comb
    def step():
        origin = intbv(0)[width:]
        amount = intbv(0)[width:]
        total = intbv(0)[width + 1:]
        phase = intbv(0)[3:]
        after.column_phase.next = fields.x_start
        after.row_phase.next = place.row_phase
        if turns.channel or turns.image:
            after.row_phase.next = fields.y_start
        if turns.channel:
            origin[:] = place.channel_address
            amount[:] = fields.dst_channel
        elif turns.image:
            origin[:] = place.image_address
            amount[:] = fields.dst_image
        elif turns.row:
            origin[:] = place.row_address
            amount[:] = fields.y_step
            phase[:] = place.row_phase + fields.y_mod
            if phase >= fields.split:
                phase[:] = phase - fields.split
                amount[:] = fields.y_both
            after.row_phase.next = phase[2:]
        else:
            origin[:] = place.address
            amount[:] = fields.x_step
            phase[:] = place.column_phase + fields.x_mod
            if phase >= fields.split:
                phase[:] = phase - fields.split
                amount[:] = fields.x_both
            after.column_phase.next = phase[2:]
        total[:] = origin + amount
        after.address.next = total[width:]
        after.row_address.next = place.row_address
        after.image_address.next = place.image_address
        after.channel_address.next = place.channel_address
        if turns.channel or turns.image or turns.row:
            after.row_address.next = total[width:]
        if turns.channel or turns.image:
            after.image_address.next = total[width:]
        if turns.channel:
            after.channel_address.next = total[width:]

    return step


@block
def walk(clk, reset, start, advance, fields, place, after, closing, to_channel, step, config):
    """The place of the next step's first position.

    after: the place of the step after it; closing: the step ends its chunk (driven), to_channel:
    its channel. start, advance and the flags of `step` are those of `destinations`.
    """
    last_index = config.drain_steps - 1
    index = word(bits_for(config.drain_steps))
    left = word(len(fields.channels))
    running = bit()

    @always_comb
    def judge_step():
        closing.next = index == last_index

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
            step.ends_channel.next = to_channel
            step.ends_run.next = to_channel and left == 1
            if running:
                if closing:
                    index.next = 0
                else:
                    index.next = index + 1
                if to_channel:
                    left.next = left - 1
                    running.next = left != 1

    @always(clk.posedge)
    def go_on():
        if start:
            place.column.next = 0
            place.row.next = 0
            place.image.next = 0
            place.address.next = fields.dst
            place.row_address.next = fields.dst
            place.image_address.next = fields.dst
            place.channel_address.next = fields.dst
            place.column_phase.next = fields.x_start
            place.row_phase.next = fields.y_start
            place.column_inside.next = True
            place.row_inside.next = True
            place.image_inside.next = True
        elif advance:
            place.column.next = after.column
            place.row.next = after.row
            place.image.next = after.image
            place.address.next = after.address
            place.row_address.next = after.row_address
            place.image_address.next = after.image_address
            place.channel_address.next = after.channel_address
            place.column_phase.next = after.column_phase
            place.row_phase.next = after.row_phase
            place.column_inside.next = after.column_inside
            place.row_inside.next = after.row_inside
            place.image_inside.next = after.image_inside

    return judge_step, count, go_on


@block
def emit(clk, advance, place, address, inside):
    """One position of a step."""
    @always(clk.posedge)
    def keep():
        if advance:
            address.next = place.address
            inside.next = place.column_inside and place.row_inside and place.image_inside

    return keep


@block
def destinations(clk, reset, start, advance, fields, step, config):
    """The steps of all chunks of all channels of a RUN, in order.

    start: the RUN in `fields` begins; advance: `step` takes the next one, both at the end of the
    cycle. After the step that ends the RUN `there` falls.
    """
    positions = config.drain
    places = [Place(fields) for _ in range(positions + 1)]
    aheads = [Ahead(fields) for _ in range(positions)]
    turns = [Turns() for _ in range(positions)]
    closing = bit()
    last = positions - 1
    looks = [look(places[d], fields, aheads[d]) for d in range(positions)]
    judges = [judge(aheads[d], turns[d]) for d in range(last)]
    judges.append(judge_last(places[last], aheads[last], closing, turns[last]))
    moves = [move(places[d], aheads[d], turns[d], fields, places[d + 1])
             for d in range(positions)]
    register = walk(clk, reset, start, advance, fields, places[0], places[positions], closing,
                    turns[last].channel, step, config)
    emits = [emit(clk, advance, places[d], step.addresses[d], step.inside[d])
             for d in range(positions)]
    return looks, judges, moves, register, emits
