"""The chunk walker: raster positions of the chunks of one channel, over and over.

    places: column, row, image, a chunk ahead --registered move--> position
"""

from __future__ import annotations

from myhdl import always, always_comb, block, concat, intbv, modbv

from .either import add_either
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
def step(clk, clear, go, amount, carry, pitch, size, after):
    """A column or row, and the Direction `amount` and a `carry`, if any, on from it.

    clear: it is 0 after this cycle; go: the one reached, less a pitch if that is passed. The two
    candidates are kept, and chosen from in the look-up tables of the next sum.
    """
    bits = len(pitch)
    sign_at = bits + 1
    reached, beyond, passed = word(bits), word(bits), bit()
    place = word(bits)

    @always_comb
    def choose():
        if passed:
            place.next = beyond
        else:
            place.next = reached

    @always_comb
    def reach():
        after.reached.next = amount + place

    @always_comb
    def reach_carrying():
        above = intbv(0)[bits + 2:]              # a number above the carry into its sum
        more = intbv(0)[bits + 1:]
        above[:] = concat(place, carry)
        more[:] = concat(amount, carry)
        above[:] = more + above
        after.reached.next = above[:1]

    @always_comb
    def pass_by():
        wide = intbv(0)[bits + 2:]
        wide[:] = after.reached
        wide[sign_at] = True                     # carries the sign of the difference
        after.beyond.next = wide - pitch

    @always_comb
    def compare():
        after.ends.next = after.reached >= size

    @always(clk.posedge)
    def keep():
        if clear:
            reached.next = 0
            beyond.next = 0
        elif go:
            reached.next = after.reached[bits:]
            beyond.next = after.beyond[bits:]
            passed.next = after.beyond[bits + 1]

    return choose, reach if carry is None else reach_carrying, pass_by, compare, keep


@block
def walk_places(clk, clear, go, fields, x, y, to_row, to_image, ends_image, last):
    """Column, row and image of a chunk, and the move to the next one (driven, combinational).

    clear: they are those of the first chunk after this cycle; go: those of the next one. x, y:
    Direction; to_row, to_image: the rest of the row, of the image is left out; ends_image: an image
    ends; last: there is no next one, so the first one follows.
    """
    bits, image_bits = len(fields.pitch), len(fields.images)
    image = word(image_bits)
    images_reached = word(image_bits + 1)
    no_column, no_row, no_image = bit(), bit(), bit()
    steps = (step(clk, no_column, go, fields.chunk_columns, None, fields.pitch, fields.width, x),
             step(clk, no_row, go, fields.chunk_rows, x.ends, fields.image_rows, fields.height, y))

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
        no_image.next = clear or (go and last)
        no_row.next = clear or (go and (last or to_image))
        no_column.next = clear or (go and (last or to_image or to_row))

    @always(clk.posedge)
    def images():
        if no_image:
            image.next = 0
        elif go:
            image.next = images_reached[image_bits:]

    return steps, reach_image, judge, begin, images


@block
def image_positions(clk, clear, go, fields, last, past, ends_image, next_image):
    """`next_image`: where the next chunk begins if it is the first of its image (combinational).

    clear, go, ends_image: see `walk_places`; last, past: the present chunk, the next one is a
    channel's last, so that the one behind it begins at the origin.
    """
    width = len(next_image)
    image_step = word(width)                     # 0 after the last chunk
    image_position = word(width)
    middle = width // 2
    rest_low, rest_high = word(middle), word(width - middle)     # in halves: see `add_either`
    stop = bit()
    reach = add_either(image_step, last, fields.origin, image_position, next_image)

    @always_comb
    def judge():
        stop.next = clear or (go and past)

    @always_comb
    def choose():
        if ends_image:
            rest_low.next = fields.image_pitch[middle:]
            rest_high.next = fields.image_pitch[width:middle]
        else:
            rest_low.next = 0
            rest_high.next = 0

    @always(clk.posedge)
    def keep():
        total = intbv(0)[width + 1:]
        total[:] = fields.chunk_pitch + concat(rest_high, rest_low)
        if stop:
            image_step.next = 0
        elif go:
            image_step.next = total[width:]
        if go:
            image_position.next = next_image

    return judge, choose, reach, keep


@block
def chunk_walker(clk, clear, start, advance, fields, chunk, config):
    """Walks the chunks of a rectangle; after the last one comes the first one again.

    clear: a RUN starts in the next cycle; start: set `chunk` to the first chunk of the RUN in
    `fields`; advance: go on to the next one (all at the end of the cycle).
    """
    width, lane_bits, lanes = config.address_bits, config.lane_bits, config.lanes
    bits = len(fields.pitch)
    known = min(width, bits)
    beyond_known = (1 << width) - (1 << known)
    x, y = Direction(bits), Direction(bits)
    to_row, to_image, ends_image, past = bit(), bit(), bit(), bit()
    go, straight, leaps = bit(), bit(), bit()
    forward = word(width)                        # what the next move adds, 0 if it leaps
    next_image, position = word(width), word(width)
    last = bit()
    places = walk_places(clk, clear, go, fields, x, y, to_row, to_image, ends_image, past)
    images = image_positions(clk, clear, go, fields, last, past, ends_image, next_image)
    reach = add_either(forward, leaps, next_image, chunk.position, position)

    @always_comb
    def control():
        go.next = start or advance
        straight.next = clear or (go and (past or to_image or not to_row))

    @always(clk.posedge)
    def plan():
        amount = intbv(0)[width:]
        total = modbv(0)[width:]
        amount[:] = x.beyond[known:]
        amount[:] = amount | beyond_known
        total[:] = lanes - amount
        if straight:
            forward.next = 0
            forward.next[lane_bits] = not (clear or past or to_image)
        elif go:
            forward.next = total
        if clear:
            leaps.next = True
            last.next = True
        elif go:
            leaps.next = past or to_image
            last.next = past

    @always(clk.posedge)
    def move():
        if go:
            chunk.position.next = position

    @always_comb
    def show():
        chunk.last.next = last

    return places, images, reach, control, plan, move, show
