"""The raster positions of a chunk, counted: what ends with each and what the next one begins.

A step has D positions. The Count of its first one is in registers, those of the others follow from
it; `counters` goes on to the next step.
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, block, intbv, modbv

from .equal import equal
from .signals import bit, word


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
