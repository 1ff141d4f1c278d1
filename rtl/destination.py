"""The destination walker: where each position of each chunk is written, one step of D a cycle.

    count -> ... -> count (D positions) -> count           one step ahead of the addresses
      | move           | move
      v                v
    spot ->  ...  -> spot -> spot
      |                | addresses of a step -> + dst, + dst_plane for each digit -> drain

The last move of a chunk goes on to the first position inside the rectangle, where the next chunk
begins, or to the next channel.
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, intbv, modbv

from ..arch.config import bits_for
from .signals import bit, word

COLUMN, ROW, IMAGE, CHANNEL = range(4)          # levels of a move


class Count:
    """A raster position. column, row, image: how many there are up to it, of its row, image and
    channel, itself included; column_phase, row_phase: in the split destination; column_inside,
    row_inside, image_inside: whether it lies in the rectangle, in one of the images.
    """

    def __init__(self, fields):
        self.column = Signal(modbv(0)[len(fields.width):])
        self.row = Signal(modbv(0)[len(fields.height):])
        self.image = Signal(modbv(0)[len(fields.images):])
        self.column_phase = word(2)
        self.row_phase = word(2)
        self.column_inside = bit()
        self.row_inside = bit()
        self.image_inside = bit()


class Spot:
    """The address of a position's element, of its row's, its image's and its channel's first one,
    all counted from `dst` on.
    """

    def __init__(self, fields):
        width = len(fields.dst)
        self.address = word(width)
        self.row_address = word(width)
        self.image_address = word(width)
        self.channel_address = word(width)


class Move:
    """From a position to the next one: level tells what begins there (COLUMN to CHANNEL), wraps
    whether the phase in that direction does; inside: the position itself is written.
    """

    def __init__(self):
        self.level = word(2)
        self.wraps = bit()
        self.inside = bit()


class Step:
    """D positions of a chunk: addresses[d], from `dst` on, is where position d is written if
    inside[d].

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


class Ends:
    """What ends with a position: the rectangle's columns, the raster row, the rectangle's rows (if
    the raster row ends), the raster image and the images (likewise).
    """

    def __init__(self):
        self.width = bit()
        self.row = bit()
        self.height = bit()
        self.image = bit()
        self.images = bit()


class Turns:
    """What a move begins: a row, an image (then a row too), a channel (then an image too)."""

    def __init__(self):
        self.row = bit()
        self.image = bit()
        self.channel = bit()


@block
def look(count, fields, ends):
    """Combinational: Ends of a Count."""
    @always_comb
    def compare():
        ends.width.next = count.column == fields.width
        ends.row.next = count.column == fields.pitch
        ends.height.next = count.row == fields.height
        ends.image.next = count.row == fields.image_rows
        ends.images.next = count.image == fields.images

    return compare


@block
def judge(ends, turns):
    """Combinational: Turns to the next raster position."""
    @always_comb
    def decide():
        turns.row.next = ends.row
        turns.image.next = ends.row and ends.image
        turns.channel.next = False

    return decide


@block
def judge_last(count, ends, closing, turns):
    """The same for the last position of a step; if `closing`, of a chunk: on into the rectangle."""
    to_row, to_image, to_channel = bit(), bit(), bit()

    @always_comb
    def rows():
        to_row.next = ends.row or (closing and (ends.width or not count.column_inside))

    @always_comb
    def images():
        if closing and not count.row_inside:
            to_image.next = True
        else:
            to_image.next = to_row and (ends.image or (closing and ends.height))

    @always_comb
    def channels():
        to_channel.next = closing and ((to_image and ends.images) or not count.image_inside)

    @always_comb
    def decide():
        turns.row.next = to_row or to_image or to_channel
        turns.image.next = to_image or to_channel
        turns.channel.next = to_channel

    return rows, images, channels, decide


@block
def turn_phase(count, turns, fields, phase, wraps):
    """Combinational: the new phase in the direction of the move, and whether it wraps."""
    reached = word(3)

    @always_comb
    def add():
        if turns.row:
            reached.next = count.row_phase + fields.y_mod
        else:
            reached.next = count.column_phase + fields.x_mod

    @always_comb
    def wrap():
        left = intbv(0)[3:]
        wraps.next = reached >= fields.split
        left[:] = reached
        if reached >= fields.split:
            left[:] = reached - fields.split
        phase.next = left[2:]

    return add, wrap


@block
def count_on(count, ends, turns, phase, fields, after):
    """Combinational: `after` is the Count that `turns` leads to, inside a channel."""
    @always_comb
    def columns():
        if turns.row:
            after.column.next = 1
            after.column_inside.next = True
            after.column_phase.next = fields.x_start
        else:
            after.column.next = count.column + 1
            after.column_inside.next = count.column_inside and not ends.width
            after.column_phase.next = phase

    @always_comb
    def rows():
        after.row.next = count.row
        after.row_inside.next = count.row_inside
        after.row_phase.next = count.row_phase
        if turns.image:
            after.row.next = 1
            after.row_inside.next = True
            after.row_phase.next = fields.y_start
        elif turns.row:
            after.row.next = count.row + 1
            after.row_inside.next = count.row_inside and not ends.height
            after.row_phase.next = phase

    @always_comb
    def images():
        after.image.next = count.image
        after.image_inside.next = count.image_inside
        if turns.image:
            after.image.next = count.image + 1
            after.image_inside.next = count.image_inside and not ends.images

    return columns, rows, images


@block
def counters(clk, start, advance, fields, count, last, ends, turns, phase):
    """The registers with the Count of a step's first position.

    last: of its last position; ends, turns, phase: of the move from there.
    """
    new_row, new_image, new_channel = bit(), bit(), bit()

    @always_comb
    def restart():
        new_row.next = start or (advance and turns.row)
        new_image.next = start or (advance and turns.image)
        new_channel.next = start or (advance and turns.channel)

    @always(clk.posedge)
    def columns():
        if new_row:
            count.column.next = 1
            count.column_inside.next = True
            count.column_phase.next = fields.x_start
        elif advance:
            count.column.next = last.column + 1
            count.column_inside.next = last.column_inside and not ends.width
            count.column_phase.next = phase

    @always(clk.posedge)
    def rows():
        if new_image:
            count.row.next = 1
            count.row_inside.next = True
            count.row_phase.next = fields.y_start
        elif advance:
            if turns.row:
                count.row.next = last.row + 1
                count.row_inside.next = last.row_inside and not ends.height
                count.row_phase.next = phase
            else:
                count.row.next = last.row
                count.row_inside.next = last.row_inside
                count.row_phase.next = last.row_phase

    @always(clk.posedge)
    def images():
        if new_channel:
            count.image.next = 1
            count.image_inside.next = True
        elif advance:
            if turns.image:
                count.image.next = last.image + 1
                count.image_inside.next = last.image_inside and not ends.images
            else:
                count.image.next = last.image
                count.image_inside.next = last.image_inside

    return restart, columns, rows, images


@block
def describe(clk, advance, count, turns, wraps, move):
    """The Move from a position, registered."""
    @always(clk.posedge)
    def keep():
        if advance:
            move.level.next[0] = turns.channel or (turns.row and not turns.image)
            move.level.next[1] = turns.image
            move.wraps.next = wraps and not turns.image
            move.inside.next = count.column_inside and count.row_inside and count.image_inside

    return keep


@block
def arrive(spot, move, fields, address):
    """Combinational: the address that a move leads to, one of the spot's and a step from there."""
    width = len(address)
    origin, amount, wrap = word(width), word(width), word(width)

    @always_comb
    def choose_origin():
        if move.level == COLUMN:
            origin.next = spot.address
        elif move.level == ROW:
            origin.next = spot.row_address
        elif move.level == IMAGE:
            origin.next = spot.image_address
        else:
            origin.next = spot.channel_address

    @always_comb
    def choose_amount():
        if move.level == COLUMN:
            amount.next = fields.x_step
        elif move.level == ROW:
            amount.next = fields.y_step
        elif move.level == IMAGE:
            amount.next = fields.dst_image
        else:
            amount.next = fields.dst_channel

    @always_comb
    def choose_wrap():
        if not move.wraps:
            wrap.next = 0
        elif move.level[0]:
            wrap.next = fields.y_wrap
        else:
            wrap.next = fields.x_wrap

    @always_comb
    def add():
        total = intbv(0)[width + 1:]
        total[:] = origin + amount
        total[:] = total[width:] + wrap
        address.next = total[width:]

    return choose_origin, choose_amount, choose_wrap, add


@block
def step_on(spot, move, address, after):
    """Combinational: `after` is the Spot that a move leads to, inside a channel."""
    @always_comb
    def choose():
        after.address.next = address
        after.row_address.next = spot.row_address
        after.image_address.next = spot.image_address
        after.channel_address.next = spot.channel_address
        if move.level != COLUMN:
            after.row_address.next = address
        if move.level == IMAGE:
            after.image_address.next = address

    return choose


@block
def spots(clk, start, advance, spot, last, move, address):
    """The registers with the Spot of a step's first position.

    last: of its last position; move, address: from there.
    """
    @always(clk.posedge)
    def keep():
        if start:
            spot.address.next = 0
            spot.row_address.next = 0
            spot.image_address.next = 0
            spot.channel_address.next = 0
        elif advance:
            spot.address.next = address
            spot.row_address.next = last.row_address
            spot.image_address.next = last.image_address
            if move.level != COLUMN:
                spot.row_address.next = address
            if move.level[1]:
                spot.image_address.next = address
            if move.level == CHANNEL:
                spot.channel_address.next = address

    return keep


@block
def count_steps(clk, reset, start, advance, fields, closing, to_channel, ready, step, config):
    """The step in turn. closing: it ends its chunk (driven), to_channel: its channel.

    ready (driven): the moves of the step before it are there, for its addresses. start, advance and
    the flags of `step` are those of `destinations`.
    """
    last_index = config.drain_steps - 1
    index, ready_index = word(bits_for(config.drain_steps)), word(bits_for(config.drain_steps))
    channel = Signal(modbv(0)[len(fields.channels):])        # this one included
    running, at_last = bit(), bit()
    ends_chunk, ends_channel, ends_run = bit(), bit(), bit()

    @always_comb
    def judge_step():
        closing.next = index == last_index
        at_last.next = to_channel and channel == fields.channels

    @always_seq(clk.posedge, reset=reset)
    def count_up():
        if start:
            running.next = True
            ready.next = False
            index.next = 0
            channel.next = 1
        elif advance:
            ready.next = running
            if closing:
                index.next = 0
            else:
                index.next = index + 1
            if to_channel:
                channel.next = channel + 1
            if at_last:
                running.next = False

    @always_seq(clk.posedge, reset=reset)
    def keep():
        if advance:
            ready_index.next = index
            ends_chunk.next = closing
            ends_channel.next = to_channel
            ends_run.next = at_last
            step.there.next = ready and not start
            step.index.next = ready_index
            step.ends_chunk.next = ends_chunk
            step.ends_channel.next = ends_channel
            step.ends_run.next = ends_run

    return judge_step, count_up, keep


@block
def emit(clk, advance, spot, move, address, inside):
    """One position of a step."""
    @always(clk.posedge)
    def keep():
        if advance:
            address.next = spot.address
            inside.next = move.inside

    return keep


@block
def destinations(clk, reset, start, advance, fields, step, config):
    """The steps of all chunks of all channels of a RUN, in order.

    start: the RUN in `fields` begins; advance: `step` takes the next one, both at the end of the
    cycle; the first one is ready in the second cycle after start. After the step that ends the RUN
    `there` falls.
    """
    positions = config.drain
    last = positions - 1
    counts = [Count(fields) for _ in range(positions)]
    ends = [Ends() for _ in range(positions)]
    turns = [Turns() for _ in range(positions)]
    phases, wraps = [word(2) for _ in range(positions)], [bit() for _ in range(positions)]
    moves = [Move() for _ in range(positions)]
    places = [Spot(fields) for _ in range(positions)]
    addresses = [word(config.address_bits) for _ in range(positions)]
    closing, ready, go = bit(), bit(), bit()
    each = [(look(counts[d], fields, ends[d]),
             turn_phase(counts[d], turns[d], fields, phases[d], wraps[d]),
             describe(clk, advance, counts[d], turns[d], wraps[d], moves[d]),
             arrive(places[d], moves[d], fields, addresses[d]),
             emit(clk, advance, places[d], moves[d], step.addresses[d], step.inside[d]))
            for d in range(positions)]
    inner = [(judge(ends[d], turns[d]),
              count_on(counts[d], ends[d], turns[d], phases[d], fields, counts[d + 1]),
              step_on(places[d], moves[d], addresses[d], places[d + 1]))
             for d in range(last)]
    outer = (judge_last(counts[last], ends[last], closing, turns[last]),
             counters(clk, start, advance, fields, counts[0], counts[last], ends[last],
                      turns[last], phases[last]),
             spots(clk, start, go, places[0], places[last], moves[last], addresses[last]))
    steps = count_steps(clk, reset, start, advance, fields, closing, turns[last].channel, ready,
                        step, config)

    @always_comb
    def follow():
        go.next = advance and ready

    return each, inner, outer, steps, follow
