"""The aligner: P codes in lane order out of an even and an odd word.

    cycle 0: words, merged and turned by half a word -> 1: turned by the next two bits -> ...

Code r of the merged word comes from the even or the odd word, whichever belongs to the window; lane
i wants code (i + offset) mod P of it. So what is left is a rotation by the offset, done from its
highest bit on: half a word in one four-way choice together with the merge, then two bits a level.
"""

from __future__ import annotations

from myhdl import always, block, concat, intbv

from ..arch.timing import rotate_levels
from .signals import bit, word


def odd_masks(lanes, code_bits):
    """For each offset 0..2P-1: ones over the codes that the odd word gives to the turned word."""
    masks = []
    for offset in range(2 * lanes):
        turn = offset & (lanes >> 1)
        mask = 0
        for lane in range(lanes):
            code = (lane + turn) % lanes
            is_odd = (offset >= lanes) != (code < offset % lanes)
            mask |= (((1 << code_bits) - 1) << (lane * code_bits)) if is_odd else 0
        masks.append(mask)
    return tuple(masks)


@block
def merge(clk, active, offset, even, odd, merged, turn, config):
    """offset: of the window, one cycle before its words `even` and `odd`.

    merged: turned by half a word, one cycle after the words; turn: what is left of the offset.
    """
    bits = config.word_bits
    half = bits // 2
    rest = config.lane_bits - 1
    masks = odd_masks(config.lanes, config.code_bits)
    mask = word(bits)
    by_half = bit()
    later = word(rest)

    @always(clk.posedge)
    def choose():
        if active:
            mask.next = masks[offset]

    @always(clk.posedge)
    def blend():
        low = intbv(0)[bits:]
        high = intbv(0)[bits:]
        if active:
            by_half.next = offset[rest]
            later.next = offset[rest:]
            turn.next = later
            low[:] = even
            high[:] = odd
            if by_half:
                low[:] = concat(even[half:], even[bits:half])
                high[:] = concat(odd[half:], odd[bits:half])
            high[:] = high ^ low
            high[:] = high & mask
            merged.next = high ^ low

    return choose, blend


@block
def rotate(clk, active, source, turn, target, config):
    """The last levels: target is `source` rotated down by `turn` codes, of up to two bits."""
    bits = config.word_bits
    fine, coarse = config.code_bits, 2 * config.code_bits
    top = len(turn) - 1
    two = top == 1

    @always(clk.posedge)
    def level():
        value = intbv(0)[bits:]
        if active:
            value[:] = source
            if turn[0]:
                value[:] = concat(value[fine:], value[bits:fine])
            if two:
                if turn[top]:
                    value[:] = concat(value[coarse:], value[bits:coarse])
            target.next = value

    return level


@block
def rotate_coarsely(clk, active, source, turn, target, turn_left, config):
    """One level: rotates by the upper two bits of `turn`; turn_left, a cycle later: the others."""
    bits = config.word_bits
    left = len(turn) - 2
    fine, coarse = config.code_bits << left, config.code_bits << (left + 1)

    @always(clk.posedge)
    def level():
        value = intbv(0)[bits:]
        if active:
            value[:] = source
            if turn[left]:
                value[:] = concat(value[fine:], value[bits:fine])
            if turn[left + 1]:
                value[:] = concat(value[coarse:], value[bits:coarse])
            target.next = value
            turn_left.next = turn[left:]

    return level


@block
def aligner(clk, active, offset, even, odd, codes, config):
    """codes: P codes from cell `offset` of the row pair on, lane 0 lowest.

    active: there may be a window inside; offset: one cycle before even and odd; codes:
    1 + rotate_levels cycles after even and odd.
    """
    rest = config.lane_bits - 1
    source, turn = word(config.word_bits), word(rest)
    levels = [merge(clk, active, offset, even, odd, source, turn, config)]
    for _ in range(rotate_levels(config) - 1):
        target, turn_left = word(config.word_bits), word(len(turn) - 2)
        levels.append(rotate_coarsely(clk, active, source, turn, target, turn_left, config))
        source, turn = target, turn_left
    return levels, rotate(clk, active, source, turn, codes, config)
