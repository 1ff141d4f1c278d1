"""Integer factors, scales and thresholds: close to the real layer, inside their fields."""

import dataclasses

import canonical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import fixed
from kcnn.compiler.errors import CompileError
from kcnn.compiler.graph import AvgPool
from kcnn.compiler.lower import lower, taps
from kcnn.compiler.quantised import Codebook, Radix
from kcnn.compiler.scaling import WIDE_RUNS, _clustering, _parts, group, scale

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
        for run in range(found.channel_runs[channel_k], found.channel_runs[channel_k + 1]):
            mine = found.channel[found.run_taps[run]:found.run_taps[run + 1]].tolist()
            assert len(set(mine)) == len(mine) > 0         # a run has no place twice
            factors.append(int(found.run_factor[run]))
            got += [(channel_k, factors[-1], c) for c in mine]
        assert factors == sorted(factors, reverse=True)
    assert sorted(got) == sorted(e for e in entries if e[1])


def test_factors_fill_their_field_and_keep_the_ratios():
    net, conv = one_conv(density=1.0)
    layer = layers(net)[1][conv]
    for k in range(3):
        runs = slice(layer.taps.channel_runs[k], layer.taps.channel_runs[k + 1])
        factors = np.unique(layer.taps.run_factor[runs])
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
        type("T", (), {"layout": type("L", (), {"channels": 4})}) for _ in range(9)]})
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
    places = np.array([-1.0, -0.24, 0.26, 1.0])
    thresholds, codes = _clustering(places, np.arange(5), 0.1, 0.0, MACHINE)
    # v >= n stands for at least (n - 1/2) * 0.1
    assert thresholds[:4] == (-10, -2, 3, 10) or thresholds[:4] == (-9, -2, 3, 11)
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
