"""The chunk walker: raster positions of the chunks of one channel, over and over."""

from __future__ import annotations

from myhdl import always, block, intbv

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
    raster_bits = len(fields.pitch) + 1
    image_bits = len(fields.images) + 1
    sum_bits = max(width, raster_bits) + 1
    column = word(raster_bits)
    row = word(raster_bits)
    image = word(image_bits)
    position = word(width)
    image_position = word(width)

    @always(clk.posedge)
    def walk():
        x = intbv(0)[raster_bits:]
        y = intbv(0)[raster_bits:]
        n = intbv(0)[image_bits:]
        at = intbv(0)[sum_bits:]
        base = intbv(0)[sum_bits:]
        gap = intbv(0)[raster_bits:]
        if start or advance:
            if start or chunk.last:
                x[:] = 0
                y[:] = 0
                n[:] = 0
                at[:] = fields.origin
                base[:] = fields.origin
            else:
                x[:] = column
                y[:] = row
                n[:] = image
                at[:] = position
                base[:] = image_position
            chunk.position.next = at[width:]
            # P positions on
            at[:] = at[width:] + lanes
            base[:] = base[width:] + fields.chunk_pitch
            x[:] = x + fields.chunk_columns
            y[:] = y + fields.chunk_rows
            n[:] = n + fields.chunk_images
            if x >= fields.pitch:
                x[:] = x - fields.pitch
                y[:] = y + 1
            if y >= fields.image_rows:
                y[:] = y - fields.image_rows
                n[:] = n + 1
                base[:] = base[width:] + fields.image_pitch
            # the first position inside the rectangle from there on
            if x >= fields.width:
                gap[:] = fields.pitch - x
                at[:] = at[width:] + gap
                x[:] = 0
                y[:] = y + 1
            if y >= fields.height:
                x[:] = 0
                y[:] = 0
                n[:] = n + 1
                base[:] = base[width:] + fields.image_pitch
                at[:] = base
            column.next = x
            row.next = y
            image.next = n
            position.next = at[width:]
            image_position.next = base[width:]
            chunk.last.next = n >= fields.images

    return walk
