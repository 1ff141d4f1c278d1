"""The machine's arithmetic against rational numbers, small spaces completely."""

import bisect
import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import fixed, isa, stream


def clip(x, bits):
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, x))


def test_numbers_are_as_wide_as_what_holds_them():
    """Scale and bias fill a channel's head in the stream, t / 2 its field in a RUN."""
    assert fixed.SCALE_BITS + fixed.BIAS_BITS == 8 * stream.CHANNEL_HEAD
    most = stream.ChannelStream((1 << fixed.SCALE_BITS) - 1, (1 << fixed.BIAS_BITS - 1) - 1, ())
    least = stream.ChannelStream(0, -(1 << fixed.BIAS_BITS - 1), ())
    assert stream.encode_channel(most) == bytes.fromhex("ffff ffffff7f ff")
    assert stream.encode_channel(least) == bytes.fromhex("0000 00000080 ff")
    shift = next(field for field in isa.Run.FIELDS if field.name == "shift")
    assert fixed.SHIFTS == tuple(2 * code for code in range(shift.limit))


def test_saturate_all_small_widths():
    x = np.arange(-300, 301)
    for bits in range(1, 9):
        assert fixed.saturate(x, bits).tolist() == [clip(v, bits) for v in x.tolist()]


def test_wrap_is_the_number_of_that_width_that_differs_by_whole_turns():
    for bits in range(1, 13):
        x = np.arange(-3 << bits, 3 << bits)
        found = fixed.wrap(x, bits)
        assert ((found - x) % (1 << bits) == 0).all()
        assert found.min() == -(1 << bits - 1) and found.max() == (1 << bits - 1) - 1


@given(total=st.integers(-(1 << 31), (1 << 31) - 1), shift=st.sampled_from(fixed.SHIFTS),
       scale=st.integers(0, 65535), bias=st.integers(-(1 << 31), (1 << 31) - 1))
def test_requantize_is_the_floor_of_the_exact_quotient(total, shift, scale, bias):
    u = clip(math.floor(Fraction(total, 1 << shift)), 18)
    exact = math.floor(Fraction(u * scale + bias, 1 << 16))
    found = int(fixed.requantize(np.int64(total), shift, np.int64(scale), np.int64(bias)))
    assert found == exact
    assert -(1 << fixed.V_BITS - 1) <= found < 1 << fixed.V_BITS - 1


def test_requantize_extremes_fit_v_bits():
    u = np.array([-(1 << 31), (1 << 31) - 1])
    for bias in (-(1 << 31), (1 << 31) - 1):
        v = fixed.requantize(u, 0, np.int64(65535), np.int64(bias))
        assert (v == fixed.saturate(v, fixed.V_BITS)).all()


def test_requantize_broadcasts_per_channel():
    total = np.arange(24).reshape(2, 3, 2, 2) * 1000
    scale, bias = np.array([1, 20000, 65535]), np.array([0, -5, 1 << 20])
    found = fixed.requantize(total, 2, scale[:, None, None], bias[:, None, None])
    for n, k, y, x in np.ndindex(total.shape):
        assert found[n, k, y, x] == (int(total[n, k, y, x]) // 4 * int(scale[k])
                                     + int(bias[k])) // 65536


@given(st.lists(st.integers(-1024, 1023), min_size=15, max_size=15), st.permutations(range(16)))
def test_cluster_counts_thresholds_for_every_v(limits, codes):
    limits.sort()
    v = np.arange(-1100, 1100)
    found = fixed.cluster(v, np.array(limits), np.array(codes))
    expected = [codes[bisect.bisect_right(limits, clip(x, 11))] for x in v.tolist()]
    assert found.tolist() == expected


def test_cluster_with_a_threshold_at_each_end():
    found = fixed.cluster(np.array([-5000, -1024, 1022, 1023, 5000]), np.array([-1024, 1023]),
                          np.array([7, 8, 9]))
    assert found.tolist() == [8, 8, 8, 9, 9]


def test_radix_round_trip_is_saturation_for_all_widths():
    for code_bits in (4, 5, 8):
        for digits in range(1, 5):
            for width in range(2, min(16, digits * code_bits) + 1):
                v = np.arange(-(1 << width), 1 << width)
                planes = fixed.radix_digits(v, digits, width, code_bits)
                assert planes.min() >= 0 and planes.max() < 1 << code_bits
                assert (fixed.radix_value(planes, code_bits) == fixed.saturate(v, width)).all()


def test_radix_digits_by_hand():
    # -100 in 8 bits is 0x9c; 1000 saturates to 127 = 0x7f; -2 in 16 bits is 0xfffe
    assert fixed.radix_digits(np.array([-100, 1000]), 2, 8, 4).tolist() == [[12, 15], [9, 7]]
    assert fixed.radix_digits(np.array([-2]), 4, 16, 4).ravel().tolist() == [14, 15, 15, 15]


def test_radix_tables_add_up_to_the_value():
    for code_bits in (4, 5):
        for planes in (1, 2, 3):
            width = min(16, planes * code_bits)
            v = np.arange(-(1 << width - 1), 1 << width - 1)
            digits = fixed.radix_digits(v, planes, width, code_bits)
            total = sum(fixed.radix_table(j, planes, code_bits)[digits[j]] for j in range(planes))
            assert (total == v).all()


def test_rank_is_the_place_in_the_sorted_codebook_for_all_orders():
    for code_bits in (4, 5):
        codes = 1 << code_bits
        for order in range(codes):
            values = np.arange(codes) - order                # sorted, zero at place `order`
            by_code = np.roll(values, -order)                # code 0 is zero
            ranks = fixed.rank(np.arange(codes), order, code_bits)
            assert (values[ranks] == by_code).all()
            assert (fixed.rank(ranks, -order, code_bits) == np.arange(codes)).all()
