"""The aligner: P codes in lane order out of an even and an odd word.

    cycle 0: words, merged and turned by half a word -> 1: turned by the next two bits -> ...

Code r of the merged word comes from the even or the odd word, whichever belongs to the window; lane
i wants code (i + offset) mod P of it. So what is left is a rotation by the offset, done from its
highest bit on: half a word in one four-way choice together with the merge, then two bits a level.
"""

from __future__ import annotations

from myhdl import always, block, concat, intbv

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

    merged: turned by half a word, one cycle after the words; turn: what is left of the offset, in
    the cycle of the words.
    """
    bits = config.word_bits
    half = bits // 2
    rest = config.lane_bits - 1
    masks = odd_masks(config.lanes, config.code_bits)
    mask = word(bits)
    by_half = bit()

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
            turn.next = offset[rest:]
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


def ways_masks(lanes, code_bits, step):
    """For each way of `ways_of`, ones over the codes that go by it: codes one step apart differ in
    bit 1 of their way, codes two steps apart in bit 0.
    """
    masks = [0, 0, 0, 0]
    for lane in range(lanes):
        way = (0, 2, 1, 3)[lane // step % 4]
        masks[way] |= ((1 << code_bits) - 1) << (lane * code_bits)
    return tuple(masks)


@block
def ways_of(clk, active, turn, ways):
    """The upper two bits of `turn`, four times over: a cycle later ways[k] are those bits ^ k.

    Codes one or two steps apart have two sources in common. If they chose between them by the same
    register, synthesis would share that choice, and take two small cells a bit instead of one of
    six inputs.
    """
    low = len(turn) - 2
    high = low + 2

    @always(clk.posedge)
    def keep():
        upper = intbv(0)[2:]
        if active:
            upper[:] = turn[high:low]
            for k in range(4):
                ways[k].next = upper ^ k

    return keep


@block
def rotate(clk, active, source, ways, target, step, config):
    """One level: `source` rotated down by 0 to 3 times `step` codes, as `ways_of` tells."""
    bits = config.word_bits
    once = step * config.code_bits
    twice, thrice = 2 * once, 3 * once
    masks = ways_masks(config.lanes, config.code_bits, step)

    @always(clk.posedge)
    def level():
        way = intbv(0)[2:]
        mask = intbv(0)[bits:]
        turned = intbv(0)[bits:]
        joined = intbv(0)[bits:]
        if active:
            joined[:] = 0
            for k in range(4):
                way[:] = ways[k]
                way[:] = way ^ k
                mask[:] = masks[k]
                turned[:] = source
                if way == 1:
                    turned[:] = concat(source[once:], source[bits:once])
                elif way == 2:
                    turned[:] = concat(source[twice:], source[bits:twice])
                elif way == 3:
                    turned[:] = concat(source[thrice:], source[bits:thrice])
                turned[:] = turned & mask
                joined[:] = joined | turned
            target.next = joined

    return level


@block
def delayed(clk, active, turn, lower):
    """The lower bits of `turn` for the next level, a cycle later."""
    low = len(lower)

    @always(clk.posedge)
    def keep():
        if active:
            lower.next = turn[low:]

    return keep


@block
def aligner(clk, active, offset, even, odd, codes, config):
    """codes: P codes from cell `offset` of the row pair on, lane 0 lowest.

    active: there may be a window inside; offset: one cycle before even and odd; codes:
    MERGE + rotate_levels cycles (arch/latency.py) after even and odd.
    """
    source, turn = word(config.word_bits), word(config.lane_bits - 1)
    levels = [merge(clk, active, offset, even, odd, source, turn, config)]
    while len(turn) > 1:
        last = len(turn) == 2
        target, lower = codes if last else word(config.word_bits), word(max(len(turn) - 2, 1))
        ways = [word(2) for _ in range(4)]
        levels += [ways_of(clk, active, turn, ways),
                   rotate(clk, active, source, ways, target, 1 << (len(turn) - 2), config)]
        if last:
            return levels
        levels.append(delayed(clk, active, turn, lower))
        source, turn = target, lower
    rest = word(1)
    return levels, delayed(clk, active, turn, rest), rotate_one(clk, active, source, rest, codes,
                                                                config)
