"""The chunk walker: raster positions of the chunks of one channel, over and over."""

from __future__ import annotations

from myhdl import always, block, concat, intbv, modbv

from .signals import bit, word


class Chunk:
    """The chunk in turn: `position` is its raster address (origin included), `last` tells that it
    is the last one of a channel.
    """

    def __init__(self, config):
        self.position = word(config.address_bits)
        self.last = bit()


@block
def chunk_walker(clk, start, advance, fields, chunk, config):
    """Walks the chunks of a rectangle; after the last one comes the first one again.

    start: set `chunk` to the first chunk of the RUN in `fields`; advance: go on to the next one
    (both at the end of the cycle). column, row, image, position and image_position (that of the
    image's row 0, column 0) belong to the chunk after `chunk`.
    """
    width, lanes = config.address_bits, config.lanes
    bits = len(fields.pitch) + 1
    image_bits = len(fields.images) + 1
    least = 1 << bits                            # carries the sign of a difference
    known = min(width, bits)
    negative = (1 << width) - (1 << known)
    column, row = word(bits - 1), word(bits - 1)
    image = word(image_bits)
    position, image_position = word(width), word(width)

    @always(clk.posedge)
    def walk():
        x = intbv(0)[bits:]
        y = intbv(0)[bits:]
        n = intbv(0)[image_bits:]
        at = modbv(0)[width:]
        base = modbv(0)[width:]
        amount = intbv(0)[width:]
        carry = intbv(0)[1:]
        x_over = intbv(0)[bits + 1:]
        y_over = intbv(0)[bits + 1:]
        pair = intbv(0)[bits + 1:]               # a number above the carry into its sum
        more = intbv(0)[bits + 1:]
        if start or advance:
            if not start and not chunk.last:
                x[:] = column
                y[:] = row
                n[:] = image
                at[:] = position
                base[:] = image_position
            else:
                x[:] = 0
                y[:] = 0
                n[:] = 0
                at[:] = fields.origin
                base[:] = fields.origin
            chunk.position.next = at
            # P positions on
            at[:] = at + lanes
            base[:] = base + fields.chunk_pitch
            x[:] = x + fields.chunk_columns
            x_over[:] = x + least
            x_over[:] = x_over - fields.pitch
            carry[0] = x >= fields.width
            pair[:] = concat(y[bits - 1:], carry)
            more[:] = concat(fields.chunk_rows, carry)
            pair[:] = pair + more
            y[:] = pair[:1]
            y_over[:] = y + least
            y_over[:] = y_over - fields.image_rows
            if x_over[bits]:
                x[:] = x_over[bits:]
            elif carry[0]:
                # the rest of the row is left out
                amount[:] = x_over[known:]
                amount[:] = amount | negative
                at[:] = at - amount
                x[:] = 0
            carry[0] = y >= fields.height
            pair[:] = concat(n, carry)
            more[:] = concat(fields.chunk_images, carry)
            pair[:] = pair + more
            n[:] = pair[image_bits + 1:1]
            if carry[0]:
                base[:] = base + fields.image_pitch
            if y_over[bits]:
                y[:] = y_over[bits:]
            elif carry[0]:
                # the rest of the image is left out
                x[:] = 0
                y[:] = 0
                at[:] = base
            column.next = x[bits - 1:]
            row.next = y[bits - 1:]
            image.next = n
            position.next = at
            image_position.next = base
            chunk.last.next = n >= fields.images

    return walk
