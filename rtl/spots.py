"""From the moves between raster positions to addresses: Turns -> Move -> Stride -> Spot.

A Move is registered one step after the count, the Stride that it adds one step later, the address
where it ends one step after that.
"""

from __future__ import annotations

from myhdl import always, always_comb, block, concat, intbv

from .either import add_either
from .signals import bit, word

COLUMN, ROW, IMAGE, CHANNEL = range(4)          # levels of a move


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


class Spot:
    """The address of a position's element, and of its row's and its image's first one."""

    def __init__(self, fields):
        width = len(fields.dst)
        self.address = word(width)
        self.row_address = word(width)
        self.image_address = word(width)


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
