"""Integer factors, scales and thresholds: close to the real layer, inside their fields."""

import dataclasses
from fractions import Fraction

import canonical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import fixed
from kcnn.arch.isa import Mode
from kcnn.arch.program import Source
from kcnn.compiler.errors import CompileError, InternalError
from kcnn.compiler.ir.graph import AvgPool, MaxPool
from kcnn.compiler.ir.quantised import Codebook, Radix
from kcnn.compiler.lower.lower import lower, taps
from kcnn.compiler.lower.prove import bounds
from kcnn.compiler.lower.scaling import (
    WIDE_RUNS,
    _bounded,
    _clustering,
    _least_distance,
    _parts,
    _rounded_best,
    group,
    scale,
)

MACHINE = canonical.config()


def layers(net, machine=MACHINE):
    scaled = scale(lower(net.quantised()), machine, 1)
    return scaled, {layer.name: layer for layer in scaled.layers}


def one_conv(machine=MACHINE, channels=4, **more):
    net = canonical.Builder(machine, (channels, 6, 6), seed=5)
    conv = net.conv(net.conv("x", channels), 3, **more)
    net.output(conv)
    return net, conv


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), max_size=30))
def test_runs_hold_every_tap_once_under_its_factor(entries):
    k, factor, channel = (np.array([e[i] for e in entries], np.int64) for i in range(3))
    found = group(taps(k, channel), factor, 4)
    got = []
    for channel_k in range(4):
        factors = []
        for run in range(found.channel_clusters[channel_k], found.channel_clusters[channel_k + 1]):
            mine = found.channel[found.cluster_taps[run]:found.cluster_taps[run + 1]].tolist()
            assert len(set(mine)) == len(mine) > 0         # a cluster has no place twice
            factors.append(int(found.cluster_factor[run]))
            got += [(channel_k, factors[-1], c) for c in mine]
        assert factors == sorted(factors, reverse=True)
    assert sorted(got) == sorted(e for e in entries if e[1])


def test_factors_fill_their_field_and_keep_the_ratios():
    net, conv = one_conv(density=1.0)
    layer = layers(net)[1][conv]
    for k in range(3):
        runs = slice(layer.taps.channel_clusters[k], layer.taps.channel_clusters[k + 1])
        factors = np.unique(layer.taps.cluster_factor[runs])
        magnitudes = net.weights[conv].magnitudes
        assert 150 <= factors[-1] <= 255
        np.testing.assert_allclose(factors / factors[-1], magnitudes / magnitudes[-1], atol=3e-3)


@given(total=st.integers(1, 255 * WIDE_RUNS),
       runs=st.lists(st.integers(1, 255), unique=True, max_size=20))
def test_a_wide_factor_is_the_sum_of_its_parts(total, runs):
    runs.sort(reverse=True)
    parts = _parts(total, runs, 255)
    assert sum(parts) == total and max(parts) <= 255
    new = [p for p in parts if p not in runs]
    assert len(new) <= -(-total // 255)


@pytest.mark.parametrize("gain", [0.003, 1.0, 50.0])
def test_a_skip_tensor_keeps_its_weight_beside_small_and_large_weights(gain):
    net = canonical.Builder(MACHINE, (2, 6, 6), seed=1)
    first = net.conv("x", 4)
    middle = net.conv(first, 4, padding=(1, 1, 1, 1))
    last = net.conv(middle, 4, padding=(1, 1, 1, 1), skip=first)
    net.weights[last].channel_scale[:] *= gain
    net.output(last)
    layer = layers(net)[1][last]
    op = net.graph[last].op
    program = type("Program", (), {"tensors": [
        type("T", (), {"kind": type("Kind", (), {"channels": 4})}) for _ in range(9)]})
    weight, skip = canonical.dense(op, layer, 4, program)
    assert (skip > 0).all()
    exact = net.weights[last].dense()
    scales = skip / net.tensors[first].scale             # T units of one real unit
    real = weight * 1 / (scales[:, None, None, None] * net.tensors[middle].scale)
    # either the weights' or the skip tensor's factors are as fine as the field allows
    tolerance = np.abs(exact).max() * 0.01 + 0.5 / scales.min() / net.tensors[middle].scale
    assert np.abs(real - exact).max() <= tolerance
    if gain <= 1:
        assert weight.max() >= (60 if gain == 1.0 else 1)


def test_the_scale_of_a_channel_without_taps_is_zero_and_its_bias_remains():
    net, conv = one_conv()
    net.weights[conv].index[1] = 0
    layer = layers(net)[1][conv]
    assert layer.pieces[0].scale[1] == 0
    v = layer.pieces[0].bias[1] >> fixed.PRODUCT_SHIFT
    code = layer.codes[int(np.searchsorted(layer.thresholds, np.clip(v, -1024, 1023), "right"))]
    bias = max(0.0, float(net.graph[conv].op.bias[1]))
    book = net.tensors[conv]
    exact = int(np.argmin(np.abs(book.values * book.scale - bias)))
    assert abs((code + book.order) % MACHINE.codes - exact) <= 1


def test_a_network_without_any_weights_left_compiles():
    net, conv = one_conv(density=0.0)
    layer = layers(net)[1][conv]
    assert len(layer.taps.source) == 0 and set(layer.pieces[0].scale) == {0}


def test_all_shifts_and_fields_are_legal_for_any_size_of_weights():
    for gain in 10.0 ** np.arange(-4, 5):
        net, conv = one_conv(radix=gain > 1)
        net.weights[conv].channel_scale[:] *= [gain, gain * 300, gain / 300]
        layer = layers(net)[1][conv]
        assert layer.shift in fixed.SHIFTS
        scales = np.array(layer.pieces[0].scale)
        assert 0 <= scales.min() and scales.max() <= 65535
        assert scales.max() > 16000 or layer.shift == fixed.SHIFTS[-1]


def test_a_radix_output_gets_a_coarser_unit_where_sums_are_coarse():
    net, conv = one_conv(radix=True)
    net.tensors[conv] = Radix(1e-9, 16, 4)
    scaled, found = layers(net)
    value = next(v for v in scaled.values if v.name == conv)
    assert value.meaning.scale > 1e-9
    assert max(found[conv].pieces[0].scale) <= 65535


def test_areas_of_an_average_differ_in_scale_as_their_divisors_do():
    net = canonical.Builder(MACHINE, (1, 7, 7))
    pool = net.pool(net.conv("x", 2), AvgPool((3, 3), (2, 2), (1, 1, 1, 1), count_padding=False))
    net.output(pool)
    scaled, found = layers(net)
    layer, step = found[pool], lower(net.quantised()).steps[-1]
    products = [piece.scale[0] * area.divisor
                for piece, area in zip(layer.pieces, step.areas, strict=True)]
    assert len(products) == 9
    np.testing.assert_allclose(products, products[0], rtol=1e-3)


def test_thresholds_round_to_the_nearest_step_of_v():
    """v = floor(real / unit + 1/2) passes n from (n - 1/2) units on."""
    places = np.array([-1.0, -0.24, 0.26, 1.0])
    thresholds, codes = _clustering(places + 7.0, np.arange(5), 0.1, 7.0, MACHINE)
    assert thresholds[1:3] == (-2, 3)                  # -2.4 and 2.6 units
    assert thresholds[0] in (-10, -9) and thresholds[3] in (10, 11)         # half way
    assert len(thresholds) == 15 and set(thresholds[4:]) == {1023}
    assert codes == (0, 1, 2, 3, 4, *[4] * 11)


def test_refuses_a_function_with_too_many_segments():
    net, conv = one_conv(name="hardswish", signed=True)
    book = Codebook(0.05, np.concatenate([np.arange(-7, 0), np.arange(0, 9) * 10]))
    net.tensors[conv] = book
    with pytest.raises(CompileError, match=r"layer net.conv2: hardswish crosses its codebook \d+ "
                                           r"times, but configuration 'test' has code_bits = 4; "
                                           r"use code_bits = 5 or a function that does not fall"):
        layers(net)


@pytest.mark.parametrize("values, needed", [(8, None), (9, 5), (16, 5), (17, 6)])
def test_a_function_may_need_every_segment_that_there_is(values, needed):
    """|x| / 2 below zero and x above meets each value but the least twice: 2 n - 1 segments."""
    net, conv = one_conv(name="leaky_relu(-0.5)")
    net.tensors[conv] = Codebook(0.02, np.arange(values) * 7)
    if needed is None:
        layers(net)
        return
    with pytest.raises(CompileError, match=f"crosses its codebook {2 * values - 1} times, .* has "
                                           f"code_bits = 4; use code_bits = {needed} or"):
        layers(net)


def test_refuses_sums_too_wide_and_names_the_width_that_works():
    machine = dataclasses.replace(MACHINE, total_bits=20, tap_slots=8192)
    net = canonical.Builder(machine, (1, 5, 5))
    conv = net.conv(net.conv("x", 400), 2, density=1.0)
    net.output(conv)
    with pytest.raises(CompileError, match=r"layer net.conv\d: its sums do not fit total_bits = 20 "
                                           r"of configuration 'test'; it needs total_bits = (\d+)"
                       ) as caught:
        layers(net, machine)
    needed = int(str(caught.value).split()[-1])
    layers(net, dataclasses.replace(machine, total_bits=needed))
    with pytest.raises(CompileError):
        layers(net, dataclasses.replace(machine, total_bits=needed - 1))


@pytest.mark.parametrize("gain", [1e-3, 0.03, 1.0, 30.0])
@pytest.mark.parametrize("channels", [2, 100])
def test_v_is_the_real_value_to_half_a_step_of_u_and_of_v(gain, channels):
    """Over all totals that the taps can give; where v does not saturate, u does not either."""
    machine = dataclasses.replace(MACHINE, tap_slots=2048)
    net, conv = one_conv(machine, channels=channels, density=1.0, radix=True)
    net.weights[conv].channel_scale[:] *= gain
    scaled, found = layers(net, machine)
    layer, meaning = found[conv], next(v for v in scaled.values if v.name == conv).meaning
    totals = bounds(layer, scaled.values, machine)[2:]
    for low, high, m, bias, real in zip(*totals, layer.pieces[0].scale, layer.pieces[0].bias,
                                        net.graph[conv].op.bias, strict=True):
        total = np.linspace(int(low), int(high), 20011).astype(np.int64)
        v = fixed.requantize(total, layer.shift, np.int64(m), np.int64(bias))
        step = m / 2 ** (fixed.PRODUCT_SHIFT + layer.shift)
        exact = total * step + real / meaning.scale
        matters = np.abs(exact) < 1 << meaning.bits - 1
        half_steps = 0.5 + step * (2 ** layer.shift - 1) / 2
        assert np.abs(v - exact)[matters].max() <= half_steps + 1e-4


def value_at(layer, meaning, total, area=0):
    """The real value that channel 0 of a layer gives for a total."""
    piece = layer.pieces[area]
    v = fixed.requantize(np.int64(total), layer.shift, np.int64(piece.scale[0]),
                         np.int64(piece.bias[0]))
    code = fixed.cluster(v, np.array(layer.thresholds), np.array(layer.codes))
    return meaning.by_code(MACHINE.codes)[code] * meaning.scale


def nearest(meaning, real):
    return meaning.values[np.abs(meaning.values * meaning.scale - real).argmin()] * meaning.scale


@pytest.mark.parametrize("size", [8, 16, 20, 30])
def test_an_average_of_a_large_map_keeps_its_bright_values(size):
    net = canonical.Builder(MACHINE, (1, size, size))
    first = net.conv("x", 1, (1, 1))
    pool = net.pool(first, AvgPool((size, size), (1, 1)))
    net.output(pool)
    scaled, found = layers(net)
    layer, source, meaning = found[pool], net.tensors[first], net.tensors[pool]
    (most,) = bounds(layer, scaled.values, MACHINE)[3]
    # a total for each part of the largest mean, a little beside the places half way
    for part in np.arange(0, 1.01, 0.0625):
        real = part * source.values.max() * source.scale
        found_value = value_at(layer, meaning, part * most)
        assert abs(found_value - real) <= abs(nearest(meaning, real) - real) + 2e-3


@pytest.mark.parametrize("size", [8, 16, 30])
def test_windows_of_very_different_size_share_a_layer(size):
    """The last windows of a ceil mode hold size, size and 1 elements of size x size."""
    net = canonical.Builder(MACHINE, (1, size + 1, size + 1))
    first = net.conv("x", 1, (1, 1))
    pool = net.pool(first, AvgPool((size, size), (size, size), (0, 0, size - 1, size - 1),
                                   count_padding=False))
    net.output(pool)
    scaled, found = layers(net)
    layer, source, meaning = found[pool], net.tensors[first], net.tensors[pool]
    (most,) = bounds(layer, scaled.values, MACHINE)[3]
    brightest, sizes = source.values.max() * source.scale, [size * size, size, size, 1]
    assert len(layer.pieces) == len(sizes)
    for area, elements in enumerate(sizes):
        total = most * elements // size ** 2
        assert value_at(layer, meaning, total, area) == nearest(meaning, brightest)


@pytest.mark.parametrize("bias", [-0.9, -0.5, 0.5, 0.9])
def test_a_sum_far_from_zero_meets_a_bias_that_takes_it_back(bias):
    """The codebook spans a tenth of what the sum can be, wherever the bias puts it."""
    machine = dataclasses.replace(MACHINE, tap_slots=2048)
    net, conv = one_conv(machine, channels=100, density=1.0, name="identity", signed=True)
    step = lower(net.quantised()).steps[-1]
    source = net.tensors[net.graph.inputs(conv)[0]]
    real = step.terms.k == 0
    signed = np.where(step.terms.negative[real], -1, 1) * step.terms.coefficient[real]
    reached = float(signed[signed * bias < 0].sum()) * source.values.max() * source.scale
    net.graph[conv].op.bias[0] = bias * abs(reached)
    net.tensors[conv] = meaning = Codebook(abs(reached) / 2540, np.arange(-119, 128, 17))
    scaled, found = layers(net, machine)
    low, high = (ends[0] for ends in bounds(found[conv], scaled.values, machine)[2:])
    total = high if bias < 0 else low
    for part in np.linspace(0.8, 1, 21):
        expected = part * reached + net.graph[conv].op.bias[0]
        value = value_at(found[conv], meaning, part * total)
        assert abs(value - nearest(meaning, expected)) <= 17.1 * meaning.scale


# ---- s_k -------------------------------------------------------------------------------------
def random_terms(seed, channels=3):
    """Taps of a few distinct coefficients a channel, and the values that they can read."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    k = rng.integers(0, channels, count)
    found = taps(k, np.arange(count), coefficient=rng.choice(rng.uniform(0.01, 2, 4), count))
    high = rng.integers(1, 128, count)
    return found, -rng.integers(0, 128, count), high


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bits", [20, 25])
def test_s_k_is_the_largest_that_factors_and_totals_allow(seed, bits):
    terms, low, high = random_terms(seed)
    low, high = low * 9, high * 9
    found = _bounded(terms, low, high, 3, bits, MACHINE)
    for k in range(3):
        mine = terms.k == k
        if not mine.any():
            assert np.isinf(found[k])
            continue
        for gain, fits in ((found[k], True), (found[k] * 1.001, False)):
            factor = terms.coefficient[mine] * gain
            # of whole numbers, each up to a half away
            rounded = np.maximum(high, -low)[mine].sum() / 2
            total = max((factor * high[mine]).sum(), (factor * -low[mine]).sum()) + rounded
            assert (factor.max() <= 255 + 1e-9 and total <= (1 << bits - 1) - 1 + 1e-6) == fits


def test_factors_that_would_be_lost_are_refused():
    """T of 20 bits, sums of up to 127 x n: the largest factor is 8 for 512 taps or a few less."""
    for count, fits in ((480, True), (520, False)):
        terms = taps(np.zeros(count, int), np.arange(count), coefficient=np.full(count, 0.5))
        high = np.full(count, 127)
        found = _bounded(terms, -high, high, 1, 20, MACHINE)
        assert (found is not None) == fits
        if fits:
            assert 8 <= 0.5 * found[0] < 8.6


@pytest.mark.parametrize("seed", range(20))
def test_the_best_s_k_of_64_loses_least_by_rounding(seed):
    terms, _, _ = random_terms(seed)
    gain = np.array([200.0, 37.0, 100.0])
    found = _rounded_best(terms, gain)
    for k in np.unique(terms.k):
        coefficient = [Fraction(c) for c in terms.coefficient[terms.k == k].tolist()]
        tried = [Fraction(float(s)) for s in gain[k] * np.linspace(1, 0.6, 64)]
        loss = [sum((Fraction(round(c * s)) / s - c) ** 2 for c in coefficient) for s in tried]
        mine = sum((Fraction(round(c * Fraction(float(found[k])))) / Fraction(float(found[k])) - c)
                   ** 2 for c in coefficient)
        assert 0.6 * gain[k] * (1 - 1e-12) <= found[k] <= gain[k]
        assert float(mine) <= float(min(loss)) * (1 + 1e-6)


def test_a_maximum_passes_codes_with_factor_one():
    net = canonical.Builder(MACHINE, (2, 6, 6), seed=5)
    conv = net.conv("x", 3)
    pool = net.pool(conv, MaxPool((2, 2), (2, 1)))
    net.output(pool)
    scaled = scale(lower(net.quantised()), MACHINE, 4)
    layer = scaled.layers[-1]
    assert (layer.op, layer.mode, layer.shift, layer.pieces) == ("max", int(Mode.PASS), 0, ())
    (source,) = layer.sources
    assert source == Source(source.tensor, 2, 1)
    assert layer.taps.cluster_factor.tolist() == [1, 1, 1]
    assert layer.taps.channel_clusters.tolist() == [0, 1, 2, 3]
    assert np.diff(layer.taps.cluster_taps).tolist() == [4, 4, 4]
    steps = lower(net.quantised()).steps
    assert [s.macs * 4 for s in steps] == [x.macs for x in scaled.layers]
    assert [s.dense_macs * 4 for s in steps] == [x.dense_macs for x in scaled.layers]
    assert scaled.paths == tuple(step.path for step in steps)


def test_only_radix_layers_have_digits():
    for radix in (False, True):
        net, conv = one_conv(radix=radix)
        layer = layers(net)[1][conv]
        assert (layer.mode, layer.digits, layer.radix_width) == (
            (int(Mode.RADIX), 4, 16) if radix else (int(Mode.CODE), 1, 0))
        assert bool(layer.thresholds) != radix and bool(layer.codes) != radix


def test_an_output_whose_steps_no_file_can_tell_is_refused():
    net, conv = one_conv(radix=True)
    net.tensors[conv] = Radix(1e34, 16, 4)
    with pytest.raises(CompileError, match="one step of its output would be .* make its weights"):
        layers(net)


def test_a_function_never_comes_down_to_planes():
    net, conv = one_conv(name="relu")
    net.tensors[conv] = Radix(0.01, 16, 4)
    with pytest.raises(InternalError, match="relu cannot be written as radix planes"):
        layers(net)


def test_biases_without_taps_are_told_apart_by_the_least_of_them():
    assert _least_distance(np.array([-2.0, 3.0, 0.0])) == 2.0
    assert _least_distance(np.zeros(2)) == 1.0


def test_the_text_has_a_line_a_layer():
    net = scale(lower(canonical.two_layers()), canonical.TINY, 2)
    head, first, second = str(net).partition("\n\n")[2].splitlines()
    assert head.split("  ")[0] == "layer" and len(str(net).splitlines()) == 4 + 1 + 3
    assert first.split() == ("conv1 Conv2d CODE x /2,2 conv1 104 30 16 15..250 11,309..29,865 "
                             "-92,968,864..-60,959,074 4 -1,022..1,022 1").split()
    assert second.split() == ("conv2 Conv2d RADIX conv1 conv2 16 7 11 35..255 41,208..51,326 "
                              "-8,897,537..56,643,210 4 - 1").split()
