"""Requantize: v = (saturate18(T >> t) * m + bias) >> 16, and what the drain makes of it.

    n = 3: total, 4: shifted, 5: u, 6: product, 7: sum, 8: v cut to 11 bits; its digit one later
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, block, concat, intbv, modbv

from ..arch import latency
from ..arch.fixed import (
    BIAS_BITS,
    CLUSTER_BITS,
    PRODUCT_SHIFT,
    SCALE_BITS,
    SHIFTS,
    U_BITS,
    V_BITS,
)
from .delay import delay_line
from .equal import is_zero
from .quirks import block_part
from .signals import CHANNEL_RING, bit, number, word, wrapping

U_MAX = (1 << (U_BITS - 1)) - 1


@block
def channel_heads(clk, active, heads, index, scale, bias):
    """The ring of m_k and bias_k.

    heads: Heads; scale: of channel `index` in the cycle before; bias: two cycles before.
    """
    scales = [Signal(intbv(0)[SCALE_BITS:]) for _ in range(CHANNEL_RING)]
    biases = [wrapping(BIAS_BITS) for _ in range(CHANNEL_RING)]
    later = word(len(index))

    @always(clk.posedge)
    def look_up():
        if heads.scale_we:
            scales[heads.index].next = heads.scale
        if heads.bias_we:
            biases[heads.index].next = heads.bias
        if active:
            scale.next = scales[index]
            later.next = index
            bias.next = biases[later]

    return look_up


@block
def requantize(clk, active, total, shift, scale, bias, v):
    """v, 4 cycles after `total`.

    shift: t/2, constant; scale: m_k, 2 cycles after its total; bias: bias_k, 3 cycles after.
    """
    width, sign_at = len(total), U_BITS - 1
    last = width - 1
    every = (1 << width) - 1
    masks = tuple(every >> sign_at + t << sign_at + t for t in SHIFTS)    # u's sign and above it
    over, shown = bit(), bit()
    shifted = number(U_BITS)             # 0 if it does not fit; then `limit` is what is nearest
    limit = number(U_BITS)
    u = number(U_BITS + 1)
    product = number(U_BITS + 1 + SCALE_BITS + 1)
    total_of_both = number(V_BITS + PRODUCT_SHIFT)

    @always_comb
    def judge():
        mask = intbv(0)[width:]
        signs = intbv(0)[width:]
        mask[:] = masks[shift]
        signs[:] = total[width:]
        if total[last]:
            signs[:] = signs ^ every
        over.next = (signs & mask) != 0

    @always_comb
    def clear():
        shown.next = active and over

    @always(clk.posedge)
    def scale_down():
        if shown:
            shifted.next = 0
        elif active:
            if shift == 0:
                shifted.next = total
            elif shift == 1:
                shifted.next = total >> 2
            elif shift == 2:
                shifted.next = total >> 4
            else:
                shifted.next = total >> 6

    @always(clk.posedge)
    def compute():
        if active:
            limit.next = 0
            if over and total[last]:
                limit.next = -U_MAX - 1
            elif over:
                limit.next = U_MAX
            u.next = shifted + limit
            product.next = u * scale
            total_of_both.next = product + bias

    @always_comb
    def cut():
        v.next = total_of_both >> PRODUCT_SHIFT

    return judge, clear, scale_down, compute, cut


@block_part
def code_of_rank(total, fields, total_code, code_bits):
    """total_code: the total less the order, modulo 2^AB."""
    @always_comb
    def take():
        code = modbv(0)[code_bits:]
        code[:] = total[code_bits:]
        code[:] = code - fields.order
        total_code.next = code

    return take


@block_part
def number_to_search(clk, active, v, above, below, clear, clustered):
    """clustered: v from the least number of CLUSTER_BITS bits on, as `narrow` tells it."""
    sign_at, middle = CLUSTER_BITS - 1, 1 << (CLUSTER_BITS - 1)
    last, every = V_BITS - 1, (1 << (V_BITS - CLUSTER_BITS)) - 1

    @always_comb
    def compare():
        above.next = not v[last] and v[last:sign_at] != 0
        below.next = v[last] and v[last:sign_at] != every

    @always_comb
    def restart():
        clear.next = active and below

    @always(clk.posedge)
    def search_for():
        found = intbv(0)[CLUSTER_BITS:]
        if clear:
            clustered.next = 0
        elif active:
            found[:] = v[CLUSTER_BITS:] ^ middle
            if above:
                found[sign_at] = False
            clustered.next = concat(above, found)

    return compare, restart, search_for


@block_part
def clipped(clk, active, v, fields, excess, fits, bits, fitting, negative, limits):
    """Bits of v and of the least number that its digits hold; whether v fits.

    excess: bits of v that are not its sign, where clip is set; fits: there are none.
    """
    wide = len(bits)
    extension = (1 << wide) - (1 << V_BITS)
    last, ones = V_BITS - 1, (1 << V_BITS) - 1

    @always_comb
    def measure():
        signs = intbv(0)[V_BITS:]
        signs[:] = v[V_BITS:]
        if v[last]:
            signs[:] = signs ^ ones
        excess.next = signs & fields.clip

    @always(clk.posedge)
    def clip():
        all_bits = intbv(0)[wide:]
        if active:
            all_bits[:] = v[V_BITS:]
            if v[last]:
                all_bits[:] = all_bits | extension
            bits.next = all_bits
            fitting.next = fits
            negative.next = v[last]

    @always_comb
    def limit():
        all_limits = intbv(0)[wide:]
        all_limits[:] = fields.clip
        limits.next = all_limits | extension

    return measure, clip, limit


@block_part
def digit_or_code(clk, active, digit, fields, bits, limits, fitting, negative, passed, direct):
    """direct: the digit in turn, or what has passed beside (PASS)."""
    code_bits = len(direct)
    two, three, four = 2 * code_bits, 3 * code_bits, 4 * code_bits
    digit_ones = (1 << code_bits) - 1

    @always(clk.posedge)
    def choose():
        plain = intbv(0)[code_bits:]
        least = intbv(0)[code_bits:]         # what a value that is too small becomes
        if digit == 0:
            plain[:] = bits[code_bits:]
            least[:] = limits[code_bits:]
        elif digit == 1:
            plain[:] = bits[two:code_bits]
            least[:] = limits[two:code_bits]
        elif digit == 2:
            plain[:] = bits[three:two]
            least[:] = limits[three:two]
        else:
            plain[:] = bits[four:three]
            least[:] = limits[four:three]
        if active:
            if fields.max_run:
                direct.next = passed
            elif fitting:
                direct.next = plain
            elif negative:
                direct.next = least
            else:
                direct.next = least ^ digit_ones

    return choose


@block
def narrow(clk, reset, active, v, total, digit, fields, clustered, direct, code_bits):
    """What v becomes: `clustered`, for the search, 1 cycle after v; and a cycle later `direct`, the
    code of the other modes: a digit of v, or the total less the order (PASS).

    clustered: v counted from the least number of CLUSTER_BITS bits on; 0 below that, and above the
    greatest one any number from 2^CLUSTER_BITS to half as much again.
    total: of v, 4 cycles before; digit: 1 cycle after v; fields: Fields.
    """
    wide = max(4 * code_bits, V_BITS)
    above, below = bit(), bit()
    bits = word(wide)
    clear = bit()
    excess = word(V_BITS)
    fits, fitting = bit(), bit()
    limits = word(wide)
    negative = bit()
    passed, total_code = word(code_bits), word(code_bits)
    return (
        delay_line(clk, reset, active, total_code, passed, latency.REQUANTIZE + latency.NARROW),
        is_zero(excess, 2, fits),
        code_of_rank(total, fields, total_code, code_bits),
        number_to_search(clk, active, v, above, below, clear, clustered),
        clipped(clk, active, v, fields, excess, fits, bits, fitting, negative, limits),
        digit_or_code(clk, active, digit, fields, bits, limits, fitting, negative, passed, direct))
