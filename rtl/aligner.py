"""The aligner: P codes in lane order out of an even and an odd word.

    cycle 0: words, merged and turned by half a word -> 1: turned by the next two bits -> ...

Code r of the merged word comes from the even or the odd word, whichever belongs to the window; lane
i wants code (i + offset) mod P of it. So what is left is a rotation by the offset, done from its
highest bit on: half a word in one four-way choice together with the merge, then two bits a level.
"""

from __future__ import annotations

from myhdl import always, always_comb, block, concat, intbv

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
def rotate_one(clk, active, source, turn, target, config):
    """The last level for an odd number of bits: `source` rotated down by `turn` codes, 0 or 1."""
    bits, once = config.word_bits, config.code_bits

    @always(clk.posedge)
    def level():
        if active:
            if turn == 0:
                target.next = source
            else:
                target.next = concat(source[once:], source[bits:once])

    return level


@block
def rotate(clk, active, source, turn, target, step, config):
    """One level: `source` rotated down by `turn`, 0 to 3, times `step` codes."""
    bits = config.word_bits
    once = step * config.code_bits
    twice, thrice = 2 * once, 3 * once

    @always(clk.posedge)
    def level():
        if active:
            if turn == 0:
                target.next = source
            elif turn == 1:
                target.next = concat(source[once:], source[bits:once])
            elif turn == 2:
                target.next = concat(source[twice:], source[bits:twice])
            else:
                target.next = concat(source[thrice:], source[bits:thrice])

    return level


@block
def split(clk, active, turn, upper, lower):
    """The upper two bits of a rotation for this level, the others a cycle later for the next."""
    low = len(lower)
    high = low + 2

    @always(clk.posedge)
    def keep():
        if active:
            lower.next = turn[low:]

    @always_comb
    def take():
        upper.next = turn[high:low]

    return keep, take


@block
def aligner(clk, active, offset, even, odd, codes, config):
    """codes: P codes from cell `offset` of the row pair on, lane 0 lowest.

    active: there may be a window inside; offset: one cycle before even and odd; codes:
    1 + rotate_levels cycles after even and odd.
    """
    source, turn = word(config.word_bits), word(config.lane_bits - 1)
    levels = [merge(clk, active, offset, even, odd, source, turn, config)]
    while len(turn) > 2:
        target, upper, lower = word(config.word_bits), word(2), word(len(turn) - 2)
        levels += [split(clk, active, turn, upper, lower),
                   rotate(clk, active, source, upper, target, 1 << len(lower), config)]
        source, turn = target, lower
    if len(turn) == 2:
        return levels, rotate(clk, active, source, turn, codes, 1, config)
    return levels, rotate_one(clk, active, source, turn, codes, config)
