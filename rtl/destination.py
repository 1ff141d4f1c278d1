"""The destination walker: where each position of each chunk is written, one step of D a cycle.

    count -> ... -> count (D positions) -> count           two steps ahead of the addresses
      | move           | move
    stride           stride                                one step ahead
      v                v
    spot ->  ...  -> spot -> spot
      |                | addresses of a step -> + dst_plane for each digit -> drain

The last move of a chunk goes on to the first position inside the rectangle, where the next chunk
begins, or to the next channel. The first position of all is reached by a move too, to channel 0.
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from ..arch.config import bits_for
from .either import add_either
from .equal import equal
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
    """The address of a position's element, and of its row's and its image's first one."""

    def __init__(self, fields):
        width = len(fields.dst)
        self.address = word(width)
        self.row_address = word(width)
        self.image_address = word(width)


class Move:
    """From a position to the next one: level tells what begins there (COLUMN to CHANNEL), wraps
    whether the phase in that direction does; inside: the position itself is written.
    """

    def __init__(self):
        self.level = word(2)
        self.wraps = bit()
        self.inside = bit()


class Stride:
    """A Move with what it adds: `amount` to the address of the position that it leaves (COLUMN), of
    its row's or its image's first one; at CHANNEL the whole address.
    """

    def __init__(self, fields):
        self.level = word(2)
        self.inside = bit()
        self.amount = word(len(fields.dst))


class Step:
    """D positions of a chunk: addresses[d] is where digit 0 of position d is written if inside[d].

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


class Phases:
    """The phases after a step to the next column and to the next row, and which of them wrap."""

    def __init__(self):
        self.column = word(2)
        self.row = word(2)
        self.column_wraps = bit()
        self.row_wraps = bit()


class Turns:
    """What a move begins: a row, an image (then a row too), a channel (then an image too)."""

    def __init__(self):
        self.row = bit()
        self.image = bit()
        self.channel = bit()


@block
def look(count, fields, ends):
    """Combinational: Ends of a Count."""
    return (equal(count.column, fields.width, ends.width),
            equal(count.column, fields.pitch, ends.row),
            equal(count.row, fields.height, ends.height),
            equal(count.row, fields.image_rows, ends.image),
            equal(count.image, fields.images, ends.images))


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
def turn_phase(phase, amount, split, after, wraps):
    """Combinational: the phase after a step of `amount` in a direction, and whether it wraps.

    Of split, 1 to 4, two bits tell all: so each bit is a function of six.
    """
    reached = word(3)

    @always_comb
    def add():
        reached.next = phase + amount

    @always_comb
    def wrap():
        phases = intbv(0)[3:]
        left = intbv(0)[3:]
        phases[:] = split[2:]
        if phases == 0:
            phases[:] = 4
        wraps.next = reached >= phases
        left[:] = reached
        if reached >= phases:
            left[:] = reached - phases
        after.next = left[2:]

    return add, wrap


@block
def turn_phases(count, fields, phases):
    """Combinational: the Phases behind a Count."""
    return (turn_phase(count.column_phase, fields.x_mod, fields.split, phases.column,
                       phases.column_wraps),
            turn_phase(count.row_phase, fields.y_mod, fields.split, phases.row, phases.row_wraps))


@block
def count_on(count, ends, turns, phases, fields, after):
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
            after.column_phase.next = phases.column

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
            after.row_phase.next = phases.row

    @always_comb
    def images():
        after.image.next = count.image
        after.image_inside.next = count.image_inside
        if turns.image:
            after.image.next = count.image + 1
            after.image_inside.next = count.image_inside and not ends.images

    return columns, rows, images


@block
def counters(clk, start, advance, fields, count, last, ends, turns, phases):
    """The registers with the Count of a step's first position.

    last: of its last position; ends, turns, phases: of the move from there.
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
            count.column_phase.next = phases.column

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
                count.row_phase.next = phases.row
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
def describe(clk, start, advance, count, turns, phases, move):
    """The Move from a position, registered; after `start` one to a channel."""
    @always(clk.posedge)
    def keep():
        if start:
            move.level.next = CHANNEL
            move.wraps.next = False
        elif advance:
            move.level.next[0] = turns.channel or (turns.row and not turns.image)
            move.level.next[1] = turns.image
            if turns.row:
                move.wraps.next = phases.row_wraps and not turns.image
            else:
                move.wraps.next = phases.column_wraps
        if advance:
            move.inside.next = count.column_inside and count.row_inside and count.image_inside

    return keep


@block
def walk_channels(clk, start, advance, running, move, fields, address):
    """`address` of the next channel: of channel 0 in the cycle after `start`.

    move: of a step's last position; running: falls behind the RUN's last step.
    """
    clear, go = bit(), bit()
    following = word(len(address))
    add = add_either(address, start, fields.dst, fields.dst_channel, following)

    @always_comb
    def control():
        clear.next = not running and not start
        go.next = start or (advance and move.level == CHANNEL)

    @always(clk.posedge)
    def walk():
        if clear:
            address.next = 0
        elif go:
            address.next = following

    return add, control, walk


@block
def measure(clk, advance, move, channel_address, fields, stride):
    """The Stride of a Move, registered. channel_address: of the next channel."""
    width = len(stride.amount)
    middle = width // 2
    step = word(width)
    low, high = word(middle), word(width - middle)       # of what a wrap adds; see `add_either`

    @always_comb
    def choose_step():
        if move.level == COLUMN:
            step.next = fields.x_step
        elif move.level == ROW:
            step.next = fields.y_step
        elif move.level == IMAGE:
            step.next = fields.dst_image
        else:
            step.next = channel_address

    @always_comb
    def choose_wrap():
        if not move.wraps:
            low.next = 0
            high.next = 0
        elif move.level[0]:
            low.next = fields.y_wrap[middle:]
            high.next = fields.y_wrap[width:middle]
        else:
            low.next = fields.x_wrap[middle:]
            high.next = fields.x_wrap[width:middle]

    @always(clk.posedge)
    def add():
        total = intbv(0)[width + 1:]
        total[:] = step + concat(high, low)
        if advance:
            stride.amount.next = total[width:]
            stride.level.next = move.level
            stride.inside.next = move.inside

    return choose_step, choose_wrap, add


@block
def arrive(spot, stride, address):
    """Combinational: the address that a stride leads to."""
    width = len(address)
    middle = width // 2
    low, high = word(middle), word(width - middle)       # of where it starts; see `add_either`

    @always_comb
    def choose():
        if stride.level == COLUMN:
            low.next = spot.address[middle:]
            high.next = spot.address[width:middle]
        elif stride.level == ROW:
            low.next = spot.row_address[middle:]
            high.next = spot.row_address[width:middle]
        elif stride.level == IMAGE:
            low.next = spot.image_address[middle:]
            high.next = spot.image_address[width:middle]
        else:
            low.next = 0
            high.next = 0

    @always_comb
    def add():
        total = intbv(0)[width + 1:]
        total[:] = stride.amount + concat(high, low)
        address.next = total[width:]

    return choose, add


@block
def step_on(spot, stride, address, after):
    """Combinational: `after` is the Spot that a stride leads to, inside a channel."""
    @always_comb
    def choose():
        after.address.next = address
        after.row_address.next = spot.row_address
        after.image_address.next = spot.image_address
        if stride.level != COLUMN:
            after.row_address.next = address
        if stride.level == IMAGE:
            after.image_address.next = address

    return choose


@block
def spots(clk, advance, spot, last, stride, address):
    """The registers with the Spot of a step's first position.

    last: of its last position; stride, address: from there.
    """
    @always(clk.posedge)
    def keep():
        if advance:
            spot.address.next = address
            spot.row_address.next = last.row_address
            spot.image_address.next = last.image_address
            if stride.level != COLUMN:
                spot.row_address.next = address
            if stride.level[1]:
                spot.image_address.next = address

    return keep


@block
def pass_step(clk, reset, start, advance, step, after):
    """What is known of a step beside its positions, one stage later."""
    @always_seq(clk.posedge, reset=reset)
    def keep():
        if start:
            after.there.next = False
        elif advance:
            after.there.next = step.there
        if advance:
            after.index.next = step.index
            after.ends_chunk.next = step.ends_chunk
            after.ends_channel.next = step.ends_channel
            after.ends_run.next = step.ends_run

    return keep


@block
def count_steps(clk, reset, start, advance, fields, closing, to_channel, running, step, config):
    """The step in turn. closing: it ends its chunk (driven), to_channel: its channel.

    running (driven): there is one, from the cycle after `start` on. start, advance and the flags of
    `step`, which comes three steps later, are those of `destinations`.
    """
    last_index = config.drain_steps - 1
    index = word(bits_for(config.drain_steps))
    channel = Signal(modbv(0)[len(fields.channels):])        # this one included
    last_channel, at_last = bit(), bit()
    moving, arriving = Step(config), Step(config)
    compare = equal(channel, fields.channels, last_channel)

    @always_comb
    def judge_step():
        closing.next = index == last_index
        at_last.next = to_channel and last_channel

    @always_seq(clk.posedge, reset=reset)
    def count_up():
        if start:
            running.next = True
            index.next = 0
            channel.next = 1
        elif advance:
            if closing:
                index.next = 0
            else:
                index.next = index + 1
            if to_channel:
                channel.next = channel + 1
            if at_last:
                running.next = False

    @always_seq(clk.posedge, reset=reset)
    def number():
        if advance:
            moving.index.next = index
            moving.ends_chunk.next = closing
            moving.ends_channel.next = to_channel
            moving.ends_run.next = at_last

    follow = [pass_step(clk, reset, start, advance, moving, arriving),
              pass_step(clk, reset, start, advance, arriving, step)]

    @always_seq(clk.posedge, reset=reset)
    def begin():
        if start:
            moving.there.next = False
        elif advance:
            moving.there.next = running

    return compare, judge_step, count_up, number, begin, follow


@block
def emit(clk, advance, spot, stride, address, inside):
    """One position of a step."""
    @always(clk.posedge)
    def keep():
        if advance:
            address.next = spot.address
            inside.next = stride.inside

    return keep


@block
def destinations(clk, reset, start, advance, fields, step, config):
    """The steps of all chunks of all channels of a RUN, in order.

    start: the RUN in `fields` begins; advance: `step` takes the next one, both at the end of the
    cycle; the first one is ready in the third cycle after start. After the step that ends the RUN
    `there` falls.
    """
    positions = config.drain
    last = positions - 1
    counts = [Count(fields) for _ in range(positions)]
    ends = [Ends() for _ in range(positions)]
    turns = [Turns() for _ in range(positions)]
    phases = [Phases() for _ in range(positions)]
    moves = [Move() for _ in range(positions)]
    strides = [Stride(fields) for _ in range(positions)]
    places = [Spot(fields) for _ in range(positions)]
    addresses = [word(config.address_bits) for _ in range(positions)]
    channel_address = word(config.address_bits)
    closing, running = bit(), bit()
    each = [(look(counts[d], fields, ends[d]),
             turn_phases(counts[d], fields, phases[d]),
             describe(clk, start, advance, counts[d], turns[d], phases[d], moves[d]),
             measure(clk, advance, moves[d], channel_address, fields, strides[d]),
             arrive(places[d], strides[d], addresses[d]),
             emit(clk, advance, places[d], strides[d], step.addresses[d], step.inside[d]))
            for d in range(positions)]
    inner = [(judge(ends[d], turns[d]),
              count_on(counts[d], ends[d], turns[d], phases[d], fields, counts[d + 1]),
              step_on(places[d], strides[d], addresses[d], places[d + 1]))
             for d in range(last)]
    outer = (judge_last(counts[last], ends[last], closing, turns[last]),
             counters(clk, start, advance, fields, counts[0], counts[last], ends[last],
                      turns[last], phases[last]),
             walk_channels(clk, start, advance, running, moves[last], fields, channel_address),
             spots(clk, advance, places[0], places[last], strides[last], addresses[last]))
    steps = count_steps(clk, reset, start, advance, fields, closing, turns[last].channel, running,
                        step, config)
    return each, inner, outer, steps
