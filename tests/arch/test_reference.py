"""The integer reference against torch convolutions on the integer weights."""

import dataclasses
import time

import numpy as np
import pytest
import strategies
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import fixed, reference
from kcnn.arch.config import Config
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Mode
from kcnn.arch.program import Layer, Piece, Port, Program, Source, Taps
from strategies import taps_of
from tensors import changed, plain

TINY = Config.preset("tiny")
WIDE = 1 << 20


def codes_tensor(rng, shape, pad=0, signed=True, config=TINY):
    values, order = strategies.codebook(rng, config, signed)
    return plain("codes", shape, 1.0, values, pad=pad, order=order)


def radix_tensor(shape, planes, bits):
    return plain("radix", shape, 1.0, planes=planes, bits=bits)


def random_codes(rng, tensor, config=TINY):
    at = tensor.kind
    if tensor.kind.values:
        return rng.integers(0, config.codes, (1, *at.shape))
    whole = rng.integers(-1 << at.bits - 1, 1 << at.bits - 1, at.shape)
    return fixed.radix_digits(whole, at.planes, at.bits, config.code_bits)


def integers(codes, tensor, config=TINY):
    """What codes mean, by another way than the reference's: (N, C, H, W)."""
    if tensor.kind.values:
        return np.vectorize(lambda code: tensor.kind.values[code])(codes[0])
    total = sum(codes[j].astype(object) << config.code_bits * j for j in range(len(codes)))
    bits = config.code_bits * len(codes)
    return np.where(total >= 1 << bits - 1, total - (1 << bits), total).astype(np.int64)


def program_of(tensors, layers, inputs, config=TINY):
    return Program(config, (), b"", b"", tuple(tensors),
                   tuple(Port(f"x{i}", i, 0) for i in inputs), (), tuple(layers), 0)


def radix_layer(taps, sources, output, shape, rng, shift=0):
    """A layer whose output shows v nearly unchanged."""
    _, channels, height, width = shape
    scale = tuple(rng.integers(1, 65536, channels).tolist())
    bias = tuple(rng.integers(-1 << 31, 1 << 31, channels).tolist())
    return Layer("layer", "Conv2d", "sum", tuple(sources), output, taps,
                 (Piece(0, 0, height, width, scale, bias),), int(Mode.RADIX), shift, 4, 16)


def expected_v(total, layer):
    """Requantized in Python's own integers."""
    piece, out = layer.pieces[0], np.empty(total.shape, np.int64)
    for n, k, y, x in np.ndindex(total.shape):
        u = max(-1 << 17, min((1 << 17) - 1, int(total[n, k, y, x]) >> layer.shift))
        out[n, k, y, x] = u * piece.scale[k] + piece.bias[k] >> 16
    return out


def saturated(v):
    return np.clip(v, -1 << 15, (1 << 15) - 1)


def conv(x, weights, stride, padding, dilation, groups, pad_value=0):
    """torch in float64: exact for these integers. padding: left, right, top, bottom."""
    padded = F.pad(torch.tensor(np.asarray(x), dtype=torch.float64), padding, value=pad_value)
    weight = torch.tensor(weights, dtype=torch.float64)
    return F.conv2d(padded, weight, stride=stride, dilation=dilation,
                    groups=groups).numpy().astype(np.int64)


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    top, left, bottom, right = (draw(st.integers(0, 3)) for _ in range(4))
    return {
        "groups": groups, "kernel": kernel, "dilation": dilation,
        "stride": draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        "padding": (left, right, top, bottom),
        "shape": (draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)),
                  draw(st.integers(max(1, reach[0] - top - bottom), 12)),
                  draw(st.integers(max(1, reach[1] - left - right), 12))),
        "outputs": groups * draw(st.integers(1, 3)), "planes": draw(st.integers(0, 3)),
        "seed": draw(st.integers(0, 1 << 16)), "shift": draw(st.sampled_from(fixed.SHIFTS)),
    }


@settings(max_examples=60)
@given(convolutions())
def test_sums_are_torch_convolutions(case):
    rng = np.random.default_rng(case["seed"])
    pad = int(rng.integers(0, TINY.codes))
    source = (codes_tensor(rng, case["shape"], pad) if not case["planes"] else
              radix_tensor(case["shape"], case["planes"], min(8, 4 * case["planes"])))
    size = (case["outputs"], case["shape"][1] // case["groups"], *case["kernel"])
    weights = rng.integers(-256, 256, size)
    weights[rng.random(size) < 0.4] = 0
    left, _, top, _ = case["padding"]
    codes = random_codes(rng, source)
    pad_value = source.kind.values[pad] if source.kind.values else 0
    total = conv(integers(codes, source), weights, case["stride"], case["padding"],
                 case["dilation"], case["groups"], pad_value)
    taps = taps_of(weights, case["groups"], case["dilation"], (top, left),
                   max(1, case["planes"]))
    output = radix_tensor(total.shape, 4, 16)
    layer = radix_layer(taps, [Source(0, *case["stride"])], 1, total.shape, rng, case["shift"])
    program = program_of([source, output], [layer], [0])
    found = reference.run(program, [codes])
    assert list(found) == [0, 1] and found[1].shape == (4, *total.shape)
    assert (integers(found[1], output) == saturated(expected_v(total, layer))).all()


@settings(max_examples=20)
@given(convolutions())
def test_codes_are_the_segments_of_v(case):
    rng = np.random.default_rng(case["seed"])
    source = codes_tensor(rng, case["shape"])
    size = (case["outputs"], case["shape"][1] // case["groups"], *case["kernel"])
    weights = rng.integers(-20, 21, size)
    left, _, top, _ = case["padding"]
    codes = random_codes(rng, source)
    total = conv(integers(codes, source), weights, case["stride"], case["padding"],
                 case["dilation"], case["groups"])
    layer = radix_layer(taps_of(weights, case["groups"], case["dilation"], (top, left)),
                        [Source(0, *case["stride"])], 1, total.shape, rng, case["shift"])
    limits = sorted(rng.integers(-1024, 1024, TINY.codes - 1).tolist())
    names = rng.permutation(TINY.codes).tolist()
    layer = dataclasses.replace(layer, mode=int(Mode.CODE), digits=1, radix_width=0,
                                thresholds=tuple(limits), codes=tuple(names))
    output = codes_tensor(rng, total.shape)
    found = reference.run(program_of([source, output], [layer], [0]), [codes])[1]
    v = np.clip(expected_v(total, layer), -1024, 1023)
    below = (np.array(limits) <= v[..., None]).sum(axis=-1)
    assert found.shape == (1, *total.shape) and (found[0] == np.array(names)[below]).all()


@settings(max_examples=40)
@given(shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
       kernel=st.integers(1, 3), stride=st.integers(1, 3), pad=st.integers(0, 1),
       seed=st.integers(0, 1 << 16), signed=st.booleans())
def test_maxima_are_torch_max_pools(shape, kernel, stride, pad, seed, signed):
    rng = np.random.default_rng(seed)
    pad = min(pad, kernel // 2)
    values, order = strategies.codebook(rng, TINY, signed)
    lowest = -order % TINY.codes
    source = plain("x", shape, 1.0, values, pad=lowest, order=order)
    codes = random_codes(rng, source)
    pooled = F.max_pool2d(torch.tensor(integers(codes, source), dtype=torch.float64), kernel,
                          stride, pad).numpy()
    one = np.zeros((shape[1], shape[1], kernel, kernel), np.int64)
    one[np.arange(shape[1]), np.arange(shape[1])] = 1
    layer = Layer("pool", "MaxPool2d", "max", (Source(0, stride, stride),), 1,
                  taps_of(one, padding=(pad, pad)), (), int(Mode.PASS), 0)
    output = plain("y", pooled.shape, 1.0, values, order=order)
    found = reference.run(program_of([source, output], [layer], [0]), [codes])[1]
    assert (integers(found, output) == pooled).all()


@settings(max_examples=20)
@given(st.integers(0, 1 << 16), st.integers(1, 3), st.integers(1, 4))
def test_a_second_source_is_added(seed, stride, repeat):
    """A residual add: one more cluster, whose tap is repeated, in another codebook and stride."""
    rng = np.random.default_rng(seed)
    shape, skip_shape = (2, 3, 4 * stride, 3 * stride), (2, 3, 4, 3)
    source, skip = codes_tensor(rng, shape), codes_tensor(rng, skip_shape)
    weights = rng.integers(-50, 51, (3, 3, 1, 1))
    taps = taps_of(weights)
    factors = rng.integers(-100, 100, 3)
    codes, skipped = random_codes(rng, source), random_codes(rng, skip)
    total = conv(integers(codes, source), weights, stride, (0, 0, 0, 0), 1, 1)
    total += factors[:, None, None] * repeat * integers(skipped, skip)
    layer = radix_layer(with_skip(taps, factors, repeat), [Source(0, stride, stride), Source(1)],
                        2, total.shape, rng)
    output = radix_tensor(total.shape, 4, 16)
    found = reference.run(program_of([source, skip, output], [layer], [0, 1]), [codes, skipped])
    assert (integers(found[2], output) == saturated(expected_v(total, layer))).all()


def with_skip(taps, factors, repeat):
    """The taps with a cluster more in every channel: `repeat` taps of channel k of source 1."""
    channel_clusters, cluster_factor, cluster_taps, columns = [0], [], [0], []
    for k in range(len(taps.channel_clusters) - 1):
        for r in range(taps.channel_clusters[k], taps.channel_clusters[k + 1]):
            for t in range(taps.cluster_taps[r], taps.cluster_taps[r + 1]):
                columns.append([getattr(taps, n)[t] for n in
                                ("source", "channel", "plane", "dy", "dx", "negative")])
            cluster_factor.append(taps.cluster_factor[r])
            cluster_taps.append(len(columns))
        columns += [[1, k, 0, 0, 0, 0]] * repeat
        cluster_factor.append(factors[k])
        cluster_taps.append(len(columns))
        channel_clusters.append(len(cluster_factor))
    edges = (channel_clusters, cluster_factor, cluster_taps)
    return Taps.of(*(np.array(a, np.int64) for a in edges),
                   *np.array(columns, np.int64).T)


def test_pieces_have_their_own_scale_and_bias():
    rng = np.random.default_rng(3)
    source = codes_tensor(rng, (1, 2, 4, 5))
    codes = random_codes(rng, source)
    weights = rng.integers(-9, 9, (2, 2, 1, 1))
    parts = [Piece(0, 0, 4, 2, (1000, 2000), (5, 6)), Piece(0, 2, 1, 3, (3000, 1), (1 << 20, 0)),
             Piece(1, 2, 3, 3, (65535, 9), (-1 << 25, 1 << 22))]
    total = conv(integers(codes, source), weights, 1, (0, 0, 0, 0), 1, 1)
    output = radix_tensor(total.shape, 4, 16)
    layer = radix_layer(taps_of(weights), [Source(0)], 1, total.shape, rng)
    program = program_of([source, output], [dataclasses.replace(layer, pieces=tuple(parts))], [0])
    found = integers(reference.run(program, [codes])[1], output)
    for part in parts:
        area = np.s_[:, :, part.y:part.y + part.height, part.x:part.x + part.width]
        whole = dataclasses.replace(layer, pieces=(part,))
        assert (found[area] == saturated(expected_v(total[area], whole))).all()


def test_layers_follow_one_another():
    rng = np.random.default_rng(4)
    first, second = codes_tensor(rng, (1, 2, 5, 5)), radix_tensor((1, 3, 5, 5), 2, 8)
    third = radix_tensor((1, 1, 3, 3), 4, 16)
    one, two = rng.integers(-9, 9, (3, 2, 1, 1)), rng.integers(-9, 9, (1, 3, 3, 3))
    layer = radix_layer(taps_of(one), [Source(0)], 1, (1, 3, 5, 5), rng)
    layer = dataclasses.replace(layer, digits=2, radix_width=8, pieces=(
        Piece(0, 0, 5, 5, (2000,) * 3, (0,) * 3),))
    last = radix_layer(taps_of(two, planes=2), [Source(1)], 2, (1, 1, 3, 3), rng)
    codes = random_codes(rng, first)
    found = reference.run(program_of([first, second, third], [layer, last], [0]), [codes])
    total = conv(integers(found[1], second), two, 1, (0, 0, 0, 0), 1, 1)
    assert (integers(found[2], third) == saturated(expected_v(total, last))).all()
    assert np.abs(integers(found[1], second)).max() > 10


def test_outputs_of_any_number_of_images_are_those_of_single_ones():
    rng = np.random.default_rng(8)
    source, output = codes_tensor(rng, (2, 2, 4, 5)), radix_tensor((2, 3, 4, 5), 4, 16)
    layer = radix_layer(taps_of(rng.integers(-9, 9, (3, 2, 3, 3)), padding=(1, 1)), [Source(0)], 1,
                        (2, 3, 4, 5), rng)
    program = dataclasses.replace(program_of([source, output], [layer], [0]),
                                  outputs=(Port("y", 1, 0),))
    codes = np.concatenate([random_codes(rng, source) for _ in range(4)], axis=1)[:, :7]
    (found,) = reference.outputs(program, [codes], at_once=3)
    assert found.shape == (4, 7, 3, 4, 5)
    for i in range(0, 6, 2):
        pair = reference.run(program, [codes[:, i:i + 2]])[1]
        assert (found[:, i:i + 2] == pair).all()
    (one,) = reference.outputs(program, [codes[:, :1]])
    assert (one == found[:, :1]).all()


def test_channels_without_taps_give_their_bias():
    rng = np.random.default_rng(5)
    source, output = codes_tensor(rng, (2, 1, 3, 3)), radix_tensor((2, 2, 3, 3), 4, 16)
    weights = np.zeros((2, 1, 1, 1), np.int64)
    for filled in (0, 7):
        weights[1] = filled
        layer = radix_layer(taps_of(weights), [Source(0)], 1, (2, 2, 3, 3), rng)
        program = program_of([source, output], [layer], [0])
        found = integers(reference.run(program, [random_codes(rng, source)])[1], output)
        assert (found[:, 0] == saturated(layer.pieces[0].bias[0] >> 16)).all()


def test_large_maps_are_computed_in_parts(monkeypatch):
    rng = np.random.default_rng(6)
    source, output = codes_tensor(rng, (3, 2, 9, 8)), radix_tensor((3, 2, 9, 8), 4, 16)
    layer = radix_layer(taps_of(rng.integers(-9, 9, (2, 2, 3, 3)), padding=(1, 1)), [Source(0)], 1,
                        (3, 2, 9, 8), rng)
    program, codes = program_of([source, output], [layer], [0]), random_codes(rng, source)
    whole = reference.run(program, [codes])[1]
    for cells in (1, 300, 2000, 4000):
        monkeypatch.setattr(reference, "GATHER", cells)
        assert (reference.run(program, [codes])[1] == whole).all()


def test_extremes_by_hand():
    rng = np.random.default_rng(7)
    source, output = codes_tensor(rng, (2, 2, 6, 6)), radix_tensor((2, 3, 4, 4), 4, 16)
    weights = rng.integers(-5, 6, (3, 2, 3, 3))
    layer = radix_layer(taps_of(weights), [Source(0)], 1, (2, 3, 4, 4), rng)
    codes = random_codes(rng, source)
    program = program_of([source, output], [layer], [0])
    x = integers(codes, source)
    total = conv(x, weights, 1, (0, 0, 0, 0), 1, 1)
    sums = [conv(x, np.sign(weights) * (np.abs(weights) == m), 1, (0, 0, 0, 0), 1, 1)
            for m in range(1, 6)]
    assert reference.extremes(program, [codes]) == [(np.abs(sums).max(), np.abs(total).max())]


def test_hand_made_programs_run():
    for mode in Mode:
        program = strategies.small_program(strategies.Shape(mode=mode, images=2))
        found = reference.run(program, strategies.random_inputs(program))
        assert found[1].shape == program.tensors[1].kind.codes


def test_sums_beyond_single_precision_are_exact():
    rng = np.random.default_rng(8)
    source, output = codes_tensor(rng, (1, 1024, 3, 3)), radix_tensor((1, 2, 1, 1), 4, 16)
    weights = rng.choice([-2047, 2047, 2046, 1], (2, 1024, 3, 3))
    layer = radix_layer(taps_of(weights), [Source(0)], 1, (1, 2, 1, 1), rng)
    codes = random_codes(rng, source)
    x = integers(codes, source).astype(object)
    total = np.array([(weights[k] * x[0]).sum() for k in range(2)])
    assert np.abs(total).max() > 1 << 24
    program = program_of([source, output], [layer], [0])
    found = reference.extremes(program, [codes])[0][1]
    assert found == np.abs(total).max()


def test_sums_beyond_double_precision_are_exact():
    rng = np.random.default_rng(8)
    source, output = codes_tensor(rng, (1, 64, 3, 3)), radix_tensor((1, 2, 1, 1), 4, 16)
    large = rng.integers(1 << 40, 1 << 41, TINY.codes)
    source = changed(source, values=tuple((large | 1).tolist()))
    weights = rng.choice([2047, 2046, 1], (2, 64, 3, 3))
    layer = radix_layer(taps_of(weights), [Source(0)], 1, (1, 2, 1, 1), rng)
    codes = random_codes(rng, source)
    x = integers(codes, source).astype(object)
    total = max((weights[k] * x[0]).sum() for k in range(2))
    assert total > 1 << 53 and int(float(total)) != total
    program = program_of([source, output], [layer], [0])
    assert reference.extremes(program, [codes])[0][1] == total


@settings(max_examples=20, deadline=None)
@given(convolutions(), st.sampled_from([{}, {np.float64: 1 << 53}]))
def test_every_kind_of_number_gives_the_same(case, kinds):
    rng = np.random.default_rng(case["seed"])
    source = codes_tensor(rng, case["shape"])
    size = (case["outputs"], case["shape"][1] // case["groups"], *case["kernel"])
    weights = rng.integers(-256, 256, size)
    left, _, top, _ = case["padding"]
    shape = conv(np.zeros(case["shape"]), weights, case["stride"], case["padding"],
                 case["dilation"], case["groups"]).shape
    layer = radix_layer(taps_of(weights, case["groups"], case["dilation"], (top, left)),
                        [Source(0, *case["stride"])], 1, shape, rng, case["shift"])
    program = program_of([source, radix_tensor(shape, 4, 16)], [layer], [0])
    codes = random_codes(rng, source)
    found = reference.run(program, [codes])[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "EXACT", kinds)
        assert (reference.run(program, [codes])[1] == found).all()


@pytest.mark.parametrize("channels, groups, size, images", [(64, 1, 8, 32), (512, 512, 14, 4)])
def test_layers_of_real_networks_take_moments(channels, groups, size, images):
    rng = np.random.default_rng(9)
    shape = (images, channels, size, size)
    source, output = codes_tensor(rng, shape), radix_tensor(shape, 4, 16)
    weights = rng.integers(-8, 9, (channels, channels // groups, 3, 3))
    layer = radix_layer(taps_of(weights, groups, padding=(1, 1)), [Source(0)], 1, shape, rng)
    program, codes = program_of([source, output], [layer], [0]), random_codes(rng, source)
    start = time.process_time()
    reference.run(program, [codes])
    assert time.process_time() - start < 10


def test_refusals():
    program = strategies.small_program()
    codes = strategies.random_inputs(program)
    with pytest.raises(FormatError) as caught:
        reference.run(dataclasses.replace(program, layers=()), codes)
    assert str(caught.value) == ("the program has no layer table, which the reference executes; "
                                 "recompile without --strip")
    with pytest.raises(FormatError, match="the program has 1 inputs, 2 were given"):
        reference.run(program, codes * 2)
    with pytest.raises(FormatError, match=r"input 'x': codes have the shape \(1, 1, 2, 4, 4\), "
                                          r"\(1, 1, 2, 4, 5\) was expected"):
        reference.run(program, [codes[0][..., :4]])
    with pytest.raises(FormatError, match="layer 'layer': its sources have the orders"):
        mixed = strategies.small_program(strategies.Shape(mode=Mode.PASS))
        layer = dataclasses.replace(mixed.layers[0], sources=(Source(0), Source(2)))
        other = changed(mixed.tensors[0], order=mixed.tensors[0].kind.order + 1)
        mixed = dataclasses.replace(mixed, layers=(layer,), tensors=(*mixed.tensors, other))
        reference.run(mixed, codes)
