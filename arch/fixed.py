"""The machine's arithmetic, on numpy integers: used by the reference, the TLM and the RTL's tests.

Every function is exact. Shifts of negative numbers are arithmetic (they round down).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

U_BITS = 18          # u = saturate(T >> t), two's complement
SCALE_BITS = 16      # m_k, unsigned
BIAS_BITS = 32       # bias_k, two's complement, the rounding half included
PRODUCT_SHIFT = 16   # v = (u * m + bias) >> 16
V_BITS = 20          # v before it is saturated: 36 - 16
CLUSTER_BITS = 11    # v saturated for the clustering table
SHIFTS = (0, 2, 4, 6)   # t, encoded by its index


def wrap(x: Ints, bits: int) -> Ints:
    """The lowest `bits` bits as two's complement."""
    sign = 1 << (bits - 1)
    return ((x & (2 * sign - 1)) ^ sign) - sign


def saturate(x: Ints, bits: int) -> Ints:
    """Clip to `bits` bits two's complement."""
    return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def requantize(total: Ints, shift: int, scale: Ints, bias: Ints) -> Ints:
    """v = (saturate18(T >> t) * m + bias) >> 16.

    total: int64, any shape; shift: t in clocks of `SHIFTS`; scale, bias: broadcast against total.
    """
    u = saturate(np.asarray(total, np.int64) >> shift, U_BITS)
    return (u * np.asarray(scale, np.int64) + np.asarray(bias, np.int64)) >> PRODUCT_SHIFT


def cluster(v: Ints, thresholds: Ints, codes: Ints) -> Ints:
    """The code of v: segment = number of thresholds <= saturate11(v); code = codes[segment].

    thresholds: ascending, 2^AB - 1 entries; codes: 2^AB entries, one a segment.
    """
    half = 1 << (CLUSTER_BITS - 1)
    segment = np.searchsorted(np.asarray(thresholds), np.arange(-half, half), side="right")
    return np.asarray(codes, np.int64)[segment].take(np.asarray(v) + half, mode="clip")


def radix_digits(v: Ints, digits: int, width: int, code_bits: int) -> Ints:
    """v saturated to `width` bits, sign-extended, cut into digits of code_bits bits.

    Returns codes of shape (digits, *v.shape); digit 0 is the least significant.
    """
    w = saturate(np.asarray(v, np.int64), width)
    mask = (1 << code_bits) - 1
    return np.stack([(w >> (code_bits * j)) & mask for j in range(digits)])


def radix_value(planes: Ints, code_bits: int) -> Ints:
    """Inverse of `radix_digits`: every digit unsigned but the last. planes: (digits, ...)."""
    return np.sum([radix_table(plane, len(planes), code_bits)[digits]
                   for plane, digits in enumerate(planes)], axis=0)


def radix_table(plane: int, planes: int, code_bits: int) -> Ints:
    """The decode table of one radix plane: digit x 2^(AB*plane), the last plane signed."""
    digit = np.arange(1 << code_bits)
    if plane == planes - 1:
        digit = np.where(digit >= 1 << (code_bits - 1), digit - (1 << code_bits), digit)
    return digit << (code_bits * plane)


def read_table(plane: int, planes: int, bits: int, code_bits: int, value_bits: int) -> Ints:
    """What a tap reads of one radix plane of integers of `bits` bits: the digit's part of the
    integer; where a decoded value of value_bits does not hold the integers, the digit alone."""
    table = radix_table(plane, planes, code_bits)
    return table if bits <= value_bits else table >> (code_bits * plane)


def rank(code: Ints, order: int, code_bits: int) -> Ints:
    """Place of a code's value in the sorted codebook: (code + order) mod 2^AB."""
    return (np.asarray(code, np.int64) + order) & ((1 << code_bits) - 1)
