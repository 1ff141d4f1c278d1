"""Bounds of sums are those of the worst inputs; long clusters are cut."""

import dataclasses
import itertools

import canonical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import fixed
from kcnn.arch.program import Layer, Piece, Source
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError, InternalError, Need
from kcnn.compiler.ir.graph import AvgPool, MaxPool
from kcnn.compiler.ir.quantised import Codebook, Radix
from kcnn.compiler.lower.lower import lower, over_planes, taps
from kcnn.compiler.lower.lowered import Value
from kcnn.compiler.lower.prove import (
    bounds,
    decode_table,
    lacking_slots,
    prove,
    split_clusters,
    tap_ranges,
)
from kcnn.compiler.lower.scaling import group, scale

MACHINE = canonical.config()


def layer_of(found):
    return Layer("layer", "Conv2d", "sum", (Source(0),), 1, found, (), 0, 0)


def value(meaning, channels=4):
    return Value("x", "x", (channels, 1, 1), meaning)


def test_decode_tables_of_planes_add_up_to_every_value():
    x = value(Radix(1.0, 8, 2))
    tables = [decode_table(x, plane, MACHINE) for plane in range(2)]
    for number in range(-128, 128):
        digits = fixed.radix_digits(np.array(number), 2, 8, 4)
        assert sum(int(t[d]) for t, d in zip(tables, digits, strict=True)) == number


def test_digits_that_never_occur_decode_to_zero():
    machine = canonical.config(code_bits=5, lanes=8, port_bits=64)
    top = decode_table(value(Radix(1.0, 8, 2)), 1, machine)
    assert np.abs(top).max() == 128 and np.count_nonzero(top) == 7


@settings(max_examples=25)
@given(st.data())
def test_bounds_are_reached_by_some_inputs_and_never_passed(data):
    values = np.unique([0, *data.draw(st.lists(st.integers(-9, 9), min_size=1, max_size=3))])
    x = value(Codebook(1.0, values), 3)
    count = data.draw(st.integers(1, 6))
    numbers = [data.draw(st.lists(st.integers(0, high), min_size=count, max_size=count))
               for high in (1, 2, 1)]
    k, channel, negative = (np.array(n) for n in numbers)
    factor = np.array(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    layer = layer_of(group(taps(k, channel, dx=np.arange(count), negative=negative), factor, 2))
    s_low, s_high, t_low, t_high = bounds(layer, [x], MACHINE)
    totals, sums = set(), set()
    for choice in itertools.product(values.tolist(), repeat=count):
        read = dict(zip(range(count), choice, strict=True))
        x_of = [read[int(d)] * (-1 if n else 1)
                for d, n in zip(layer.taps.dx, layer.taps.negative, strict=True)]
        s = [sum(x_of[a:b]) for a, b in itertools.pairwise(layer.taps.cluster_taps)]
        t = [sum(int(layer.taps.cluster_factor[r]) * s[r] for r in range(a, b))
             for a, b in itertools.pairwise(layer.taps.channel_clusters)]
        sums.add(tuple(s))
        totals.add(tuple(t))
    for found, low, high in ((sums, s_low, s_high), (totals, t_low, t_high)):
        columns = np.array(sorted(found))
        np.testing.assert_array_equal(columns.min(axis=0), low)
        np.testing.assert_array_equal(columns.max(axis=0), high)


def test_ranges_of_planes_and_signs():
    terms = over_planes(taps(np.zeros(2, int), np.arange(2), negative=np.array([0, 1])),
                        np.array([2]))
    low, high = tap_ranges(terms, [value(Radix(1.0, 8, 2))], MACHINE)
    assert list(zip(low, high, strict=True)) == [(0, 15), (-15, 0), (-128, 112), (-112, 128)]


@pytest.mark.parametrize("lengths", [(600,), (3, 700, 2, 300), (258, 259)])
def test_runs_that_could_overflow_are_cut_and_only_those(lengths):
    x = value(Codebook(1.0, np.array([0, 127])), max(lengths))
    k = np.repeat(np.arange(len(lengths)), lengths)
    channel = np.concatenate([np.arange(n) for n in lengths])
    whole = group(taps(k, channel), np.full(len(k), 7), len(lengths))
    layer = layer_of(whole)
    cut = split_clusters(layer, [x], MACHINE)
    runs = [-(-n // 258) for n in lengths]            # 258 * 127 < 2^15 <= 259 * 127
    np.testing.assert_array_equal(np.diff(cut.channel_clusters), runs)
    assert set(cut.cluster_factor) == {7} and (np.diff(cut.cluster_taps) > 0).all()
    np.testing.assert_array_equal(cut.channel, whole.channel)
    s_low, s_high, _, t_high = bounds(dataclasses.replace(layer, taps=cut), [x], MACHINE)
    assert s_high.max() < 1 << 15 and s_low.min() >= 0
    np.testing.assert_array_equal(t_high, np.array(lengths) * 7 * 127)


@pytest.mark.parametrize("least, most, held", [
    (0, 128, 255), (-128, 0, 256), (-128, 128, 255), (0, 127, 258), (-127, 0, 258), (-128, 1, 256),
    (0, 1, 32767), (-1, 0, 32768)])
@pytest.mark.parametrize("negative", [False, True])
def test_a_run_holds_as_many_taps_as_fit_and_not_one_more(least, most, held, negative):
    """sum_bits = 16 hold -32768 to 32767: an end that is just reached is not passed."""
    values = np.unique([0, *((-least, -most) if negative else (least, most))])
    for count in (held, held + 1, 2 * held, 2 * held + 1):
        x = value(Codebook(1.0, values), count)
        whole = group(taps(np.zeros(count, int), np.arange(count),
                           negative=np.full(count, int(negative))), np.ones(count, int), 1)
        cut = split_clusters(layer_of(whole), [x], MACHINE)
        lengths = [held] * (count // held) + ([count % held] if count % held else [])
        assert np.diff(cut.cluster_taps).tolist() == lengths
        assert cut.channel_clusters.tolist() == [0, len(lengths)]
        assert set(cut.cluster_factor.tolist()) == {1}


def test_a_maximum_is_never_cut_nor_are_layers_without_taps():
    x = value(Codebook(1.0, np.array([0, 127])), 600)
    whole = group(taps(np.zeros(600, int), np.arange(600)), np.ones(600, int), 1)
    assert split_clusters(dataclasses.replace(layer_of(whole), op="max"), [x], MACHINE) is whole
    none = group(taps(np.zeros(0, int), np.zeros(0, int)), np.zeros(0, int), 2)
    assert split_clusters(layer_of(none), [x], MACHINE) is none
    prove(layer_of(none), [x], MACHINE)


def test_a_global_average_of_a_large_map_is_cut():
    net = canonical.Builder(MACHINE, (1, 20, 20))
    pool = net.pool(net.conv("x", 1, (1, 1)), AvgPool((20, 20), (1, 1)))
    net.output(pool)
    layer = scale(lower(net.quantised()), MACHINE, 1).layers[-1]
    assert len(layer.taps.cluster_factor) == 2 and len(set(layer.taps.cluster_factor)) == 1


def test_refuses_more_taps_than_the_cache_holds():
    machine = dataclasses.replace(MACHINE, tap_slots=64)
    net = canonical.Builder(machine, (1, 9, 9))
    net.output(net.pool(net.conv("x", 2, (1, 1)), MaxPool((9, 8), (1, 1))))
    with pytest.raises(CompileError, match="layer net.maxpool2: an output channel has 72 taps, "
                                           "more than tap_slots = 64 of configuration 'test'; it "
                                           "needs tap_slots = 128"):
        pipeline.back(net.quantised(), machine, 1)
    pipeline.back(net.quantised(), dataclasses.replace(machine, tap_slots=128), 1)


def constant_layer(value_, count, factor, pieces=()):
    """A channel of so many taps that all read one value."""
    x = value(Codebook(1.0, np.unique([0, value_])), count)
    found = group(taps(np.zeros(count, int), np.arange(count)), np.full(count, factor), 1)
    return dataclasses.replace(layer_of(found), pieces=pieces), x


SUM, TOTAL, FACTOR = "a sum exceeds sum_bits", "a sum exceeds total_bits", "a factor exceeds"


@pytest.mark.parametrize("value_, count, factor, bits, sentence", [
    (128, 255, 1, {}, ""), (128, 256, 1, {}, SUM), (-128, 256, 1, {}, ""), (-128, 257, 1, {}, SUM),
    (127, 4, 1, {"sum_bits": 10}, ""), (127, 5, 1, {"sum_bits": 10}, SUM),
    (128, 32, 127, {"total_bits": 20}, ""), (128, 32, 128, {"total_bits": 20}, TOTAL),
    (-128, 32, 128, {"total_bits": 20}, ""), (-128, 32, 129, {"total_bits": 20}, TOTAL),
    (128, 32, -128, {"total_bits": 20}, ""), (-128, 32, -128, {"total_bits": 20}, TOTAL),
    (1, 1, 255, {}, ""), (1, 1, 256, {}, FACTOR), (1, 1, -256, {}, ""), (1, 1, -257, {}, FACTOR),
    (1, 1, 3, {"factor_bits": 3}, ""), (1, 1, 4, {"factor_bits": 3}, FACTOR),
    (1, 1, -4, {"factor_bits": 3}, "")])
def test_numbers_may_fill_their_fields_and_not_pass_them(value_, count, factor, bits, sentence):
    layer, x = constant_layer(value_, count, factor)
    machine = dataclasses.replace(MACHINE, **bits)
    if not sentence:
        prove(layer, [x], machine)
        return
    with pytest.raises(InternalError, match=f"layer: {sentence}"):
        prove(layer, [x], machine)


@pytest.mark.parametrize("scale_, bias, fits", [
    (0, 0, True), (65535, (1 << 31) - 1, True), (1, -(1 << 31), True), (65536, 0, False),
    (-1, 0, False), (1, 1 << 31, False), (1, -(1 << 31) - 1, False)])
@pytest.mark.parametrize("at", [0, 1])
def test_scale_and_bias_fit_the_stream(scale_, bias, fits, at):
    pieces = [Piece(0, 0, 1, 1, (5,), (7,))] * 2
    pieces[at] = Piece(0, 0, 1, 1, (scale_,), (bias,))
    layer, x = constant_layer(1, 1, 1, tuple(pieces))
    if fits:
        prove(layer, [x], MACHINE)
        return
    with pytest.raises(InternalError, match="layer: m or bias exceeds its field"):
        prove(layer, [x], MACHINE)


def test_a_maximum_may_fill_the_cache_exactly():
    def maximum(count):
        return dataclasses.replace(constant_layer(1, count, 1)[0], op="max")

    layer = maximum(MACHINE.tap_slots)
    assert lacking_slots([layer], ["net.conv"], MACHINE) == []
    for count, needed in ((MACHINE.tap_slots + 1, 2048), (2048, 2048), (2049, 4096)):
        assert lacking_slots([layer, maximum(count), layer], ["a", "b", "c"], MACHINE) == [Need(
            "tap_slots", needed, "b", f"an output channel has {count} taps, more than",
            "give it a smaller window")]
        enough = dataclasses.replace(MACHINE, tap_slots=needed)
        assert lacking_slots([maximum(count)], ["b"], enough) == []
    assert lacking_slots([constant_layer(1, 2049, 1)[0]], ["a"], MACHINE) == []


def test_a_maximum_adds_nothing_up():
    layer, x = constant_layer(128, 300, 300)
    prove(dataclasses.replace(layer, op="max"), [x], MACHINE)


@pytest.mark.parametrize("values", [[-9, -3], [2, 7], [-4, 5]])
def test_every_range_holds_zero(values):
    """A prefix of the taps is a sum as well, and codes that are not in use read as zero."""
    terms = taps(np.zeros(2, int), np.arange(2), negative=np.array([0, 1]))
    low, high = tap_ranges(terms, [value(Codebook(1.0, np.array(sorted({0, *values}))))], MACHINE)
    assert low.tolist() == [min(0, *values), -max(0, *values)]
    assert high.tolist() == [max(0, *values), -min(0, *values)]
