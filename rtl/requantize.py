"""Requantize: v = (saturate18(T >> t) * m + bias) >> 16, and what the drain makes of it.

    n = 3: total, 4: shifted, 5: u, 6: product, 7: sum, 8: v cut to 11 bits; its digit one later
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, block, intbv

from ..arch.fixed import (
    BIAS_BITS,
    CLUSTER_BITS,
    PRODUCT_SHIFT,
    SCALE_BITS,
    U_BITS,
    V_BITS,
)
from .ram import delay_line
from .signals import CHANNEL_RING, number, word

U_MAX = (1 << (U_BITS - 1)) - 1
CLUSTER_MAX = (1 << (CLUSTER_BITS - 1)) - 1
PASS_DELAY = 5           # from the total to v


@block
def channel_heads(clk, heads, index, scale, bias):
    """The ring of m_k and bias_k.

    heads: Heads; scale: of channel `index` in the cycle before; bias: two cycles before.
    """
    scales = [Signal(intbv(0)[SCALE_BITS:]) for _ in range(CHANNEL_RING)]
    biases = [Signal(intbv(0)[BIAS_BITS:]) for _ in range(CHANNEL_RING)]
    later = word(len(index))

    @always(clk.posedge)
    def look_up():
        if heads.scale_we:
            scales[heads.index].next = heads.scale
        if heads.bias_we:
            biases[heads.index].next = heads.bias
        scale.next = scales[index]
        later.next = index
        bias.next = biases[later]

    return look_up


@block
def requantize(clk, total, shift, scale, bias, v):
    """v, 4 cycles after `total`.

    shift: t/2, constant; scale: m_k, 2 cycles after its total; bias: bias_k, 3 cycles after.
    """
    shifted = number(len(total))
    u = number(U_BITS)
    product = number(U_BITS + SCALE_BITS + 1)
    wide_bits = V_BITS + PRODUCT_SHIFT

    @always(clk.posedge)
    def compute():
        moved = intbv(0, min=total.min, max=total.max)
        moved[:] = total
        if shift[0]:
            moved[:] = moved >> 2
        if shift[1]:
            moved[:] = moved >> 4
        shifted.next = moved
        if shifted > U_MAX:
            u.next = U_MAX
        elif shifted < -U_MAX - 1:
            u.next = -U_MAX - 1
        else:
            u.next = shifted
        product.next = u * scale

    @always(clk.posedge)
    def finish():
        wide = intbv(0, min=-(1 << (wide_bits - 1)), max=1 << (wide_bits - 1))
        wide[:] = product + bias.signed()
        v.next = wide[wide_bits:PRODUCT_SHIFT].signed()

    return compute, finish


@block
def narrow(clk, v, total, digit, fields, clustered, direct, code_bits):
    """What v becomes: `clustered`, saturated for the search, 1 cycle after v; and `direct`, a cycle
    later, the code of the other modes: a digit of v, or the low bits of the total (PASS).

    total: of v, 4 cycles before; digit: 1 cycle after v; fields: Fields.
    """
    passed = word(code_bits)
    total_code = word(code_bits)
    clipped = word(V_BITS)
    ones = (1 << V_BITS) - 1
    line = delay_line(clk, total_code, passed, PASS_DELAY)

    @always_comb
    def take():
        total_code.next = total[code_bits:]

    @always(clk.posedge)
    def saturate():
        bits = intbv(0)[V_BITS:]
        over = intbv(0)[V_BITS:]
        if v > CLUSTER_MAX:
            clustered.next = CLUSTER_MAX
        elif v < -CLUSTER_MAX - 1:
            clustered.next = -CLUSTER_MAX - 1
        else:
            clustered.next = v
        bits[:] = v[V_BITS:]
        over[:] = bits
        if v < 0:
            over[:] = over ^ ones
        over[:] = over & fields.clip
        if over != 0:
            bits[:] = fields.clip
            if v >= 0:
                bits[:] = bits ^ ones
        clipped.next = bits

    @always(clk.posedge)
    def choose():
        moved = intbv(0, min=-(1 << (V_BITS - 1)), max=1 << (V_BITS - 1))
        moved[:] = clipped.signed()
        if digit[0]:
            moved[:] = moved >> code_bits
        if digit[1]:
            moved[:] = moved >> (2 * code_bits)
        if fields.maximum:
            direct.next = passed
        else:
            direct.next = moved[code_bits:]

    return line, take, saturate, choose
