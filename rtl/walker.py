"""The chunk walker: raster positions of the chunks of one channel, over and over.

    places: column, row, image, a chunk ahead --registered move--> position
"""

from __future__ import annotations

from myhdl import always, always_comb, block, concat, intbv, modbv

from .signals import bit, word


class Chunk:
    """The chunk in turn: `position` is its raster address (origin included), `last` tells that it
    is the last one of a channel.
    """

    def __init__(self, config):
        self.position = word(config.address_bits)
        self.last = bit()


class Direction:
    """A step of column or row: the place reached, its distance `beyond` the pitch (with a bit above
    that is 1 from the pitch on), and whether the rectangle's size is reached.
    """

    def __init__(self, bits):
        self.reached = word(bits + 1)
        self.beyond = word(bits + 2)
        self.ends = bit()


@block
def step(place, amount, carry, pitch, size, after):
    """Combinational: `after` is the Direction from `place`, `amount` and a `carry`, if any, on."""
    bits = len(place)
    least = 1 << (bits + 1)                      # carries the sign of a difference

    @always_comb
    def reach():
        after.reached.next = place + amount

    @always_comb
    def reach_carrying():
        above = intbv(0)[bits + 2:]              # a number above the carry into its sum
        more = intbv(0)[bits + 1:]
        above[:] = concat(place, carry)
        more[:] = concat(amount, carry)
        above[:] = above + more
        after.reached.next = above[:1]

    @always_comb
    def pass_by():
        wide = intbv(0)[bits + 2:]
        wide[:] = after.reached + least
        after.beyond.next = wide - pitch

    @always_comb
    def compare():
        after.ends.next = after.reached >= size

    return reach if carry is None else reach_carrying, pass_by, compare


@block
def walk_places(clk, clear, go, fields, x, y, to_row, to_image, ends_image, last):
    """Column, row and image of a chunk, and the move to the next one (driven, combinational).

    clear: they are those of the first chunk after this cycle; go: those of the next one. x, y:
    Direction; to_row, to_image: the rest of the row, of the image is left out; ends_image: an image
    ends; last: there is no next one, so the first one follows.
    """
    bits, image_bits = len(fields.pitch), len(fields.images)
    column, row, image = word(bits), word(bits), word(image_bits)
    images_reached = word(image_bits + 1)
    no_column, no_row = bit(), bit()
    steps = (step(column, fields.chunk_columns, None, fields.pitch, fields.width, x),
             step(row, fields.chunk_rows, x.ends, fields.image_rows, fields.height, y))

    @always_comb
    def reach_image():
        above = intbv(0)[image_bits + 2:]
        more = intbv(0)[image_bits + 2:]
        above[:] = concat(image, y.ends)
        more[:] = concat(fields.chunk_images, y.ends)
        above[:] = above + more
        images_reached.next = above[:1]

    @always_comb
    def judge():
        to_row.next = x.ends and not x.beyond[bits + 1]
        to_image.next = y.ends and not y.beyond[bits + 1]
        ends_image.next = y.ends
        last.next = images_reached >= fields.images

    @always_comb
    def begin():
        no_row.next = clear or (go and (last or to_image))
        no_column.next = clear or (go and (last or to_image or to_row))

    @always(clk.posedge)
    def columns():
        if no_column:
            column.next = 0
        elif go:
            if x.beyond[bits + 1]:
                column.next = x.beyond[bits:]
            else:
                column.next = x.reached[bits:]

    @always(clk.posedge)
    def rows():
        if no_row:
            row.next = 0
        elif go:
            if y.beyond[bits + 1]:
                row.next = y.beyond[bits:]
            else:
                row.next = y.reached[bits:]

    @always(clk.posedge)
    def images():
        if clear or (go and last):
            image.next = 0
        elif go:
            image.next = images_reached[image_bits:]

    return steps, reach_image, judge, begin, columns, rows, images


@block
def chunk_walker(clk, clear, start, advance, fields, chunk, config):
    """Walks the chunks of a rectangle; after the last one comes the first one again.

    clear: a RUN starts in the next cycle; start: set `chunk` to the first chunk of the RUN in
    `fields`; advance: go on to the next one (all at the end of the cycle).
    """
    width, lane_bits = config.address_bits, config.lane_bits
    bits = len(fields.pitch)
    known = min(width, bits)
    beyond_known = (1 << width) - (1 << known)
    x, y = Direction(bits), Direction(bits)
    to_row, to_image, ends_image, past = bit(), bit(), bit(), bit()
    go, restart, jumps = bit(), bit(), bit()
    back = word(width)                           # what the next move adds beside P: minus this
    image_step = word(width)
    image_position, next_image = word(width), word(width)
    onward = word(width)                         # P farther
    places = walk_places(clk, clear, go, fields, x, y, to_row, to_image, ends_image, past)

    @always_comb
    def control():
        go.next = start or advance
        restart.next = start or chunk.last

    @always(clk.posedge)
    def plan():
        total = intbv(0)[width + 1:]
        amount = intbv(0)[width:]
        rest = intbv(0)[width:]
        amount[:] = x.beyond[known:]
        amount[:] = amount | beyond_known
        rest[:] = 0
        if ends_image:
            rest[:] = fields.image_pitch
        total[:] = fields.chunk_pitch + rest
        if go:
            chunk.last.next = past
            jumps.next = to_image
            if to_row:
                back.next = amount
            else:
                back.next = 0
            image_step.next = total[width:]

    @always_comb
    def reach_image():
        total = intbv(0)[width + 1:]
        total[:] = image_position + image_step
        if restart:
            next_image.next = fields.origin
        else:
            next_image.next = total[width:]

    @always_comb
    def reach_on():
        chunk_number = modbv(0)[width - lane_bits:]
        chunk_number[:] = chunk.position[:lane_bits]
        chunk_number[:] = chunk_number + 1
        onward.next = concat(chunk_number, chunk.position[lane_bits:])

    @always(clk.posedge)
    def move():
        total = modbv(0)[width:]
        total[:] = onward - back
        if go:
            image_position.next = next_image
            if restart or jumps:
                chunk.position.next = next_image
            else:
                chunk.position.next = total

    return places, control, plan, reach_image, reach_on, move
