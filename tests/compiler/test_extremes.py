"""Weights, biases and images of any size: what a machine can hold stays right, all else is told."""

from __future__ import annotations

import canonical
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import fixed, host, reference
from kcnn.arch.check import SCALES
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.quantised import Codebook
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.prove import bounds, tap_ranges
from kcnn.compiler.lower.scaling import scale_step
from kcnn.compiler.quantise.segments import segments
from networks import randomise
from torch import nn

MACHINES = (canonical.config(), canonical.config(factor_bits=12, total_bits=32, sum_bits=18),
            canonical.config(code_bits=8, value_bits=9, sum_bits=9, total_bits=25))
FUNCTIONS = ("identity", "relu", "relu6", "sigmoid", "tanh", "hardsigmoid", "clamp(-1.0,2.0)")
SIZES = [10.0 ** n for n in (-38, -30, -9, -3, -1, 0, 1, 3, 9, 30)]


def one_layer(machine, channels, weight, bias, name, book, seed):
    """A convolution of 3 inputs: its step and its tensors. weight, bias: each channel's size."""
    net = canonical.Builder(machine, (3, 4, 4), seed)
    conv = net.conv("x", channels, (2, 2), name=name, density=0.7)
    op = net.graph[conv].op
    net.weights[conv].channel_scale[:] = weight
    op.bias[:] = np.asarray(bias) * net.rng.choice([-1.0, 0.3, 1.0], channels)
    net.tensors[conv] = book
    net.output(conv)
    lowered = lower(net.quantised())
    return lowered.steps[0], list(lowered.values)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), machine=st.sampled_from(MACHINES), name=st.sampled_from(FUNCTIONS),
       channels=st.integers(1, 4), seed=st.integers(0, 999))
def test_every_sum_gets_a_code_that_its_rounding_explains(data, machine, name, channels, seed):
    """From the least to the largest sum of every channel, the code lies between those of the sums a
    little less and a little more: by a part of the sum itself, and some steps of v. These are as
    fine as the table's span, the largest weight (of its factor 1 is a step at least) and the
    largest bias that some sum of its channel brings back into the table allow."""
    sizes = st.lists(st.sampled_from(SIZES), min_size=channels, max_size=channels)
    weight, bias = data.draw(sizes), data.draw(sizes)
    top = data.draw(st.sampled_from(SIZES)) if name in ("identity", "relu") else 1.0
    book = Codebook(top / 50, np.array([0, 3, 10, 11, 31, 50]))
    step, values = one_layer(machine, channels, weight, bias, name, book, seed)
    layer, _ = scale_step(step, values, machine)
    (piece,) = layer.pieces
    terms = step.terms
    scale = values[0].meaning.scale
    least, most = tap_ranges(terms, values[:1], machine)
    low = np.bincount(terms.k, terms.coefficient * scale * least, channels)
    high = np.bincount(terms.k, terms.coefficient * scale * most, channels)
    _, _, t_low, t_high = bounds(layer, values, machine)
    found = segments(name, book)
    worst = np.maximum(high, -low)
    brought_back = np.minimum(np.abs(step.bias), 2 * worst)
    step_of_v = max(terms.coefficient.max(initial=0) * scale / (1 << machine.factor_bits - 2),
                    np.ptp(found.starts) / 2000, brought_back.max() / 32000)
    for k in range(channels):
        part = np.linspace(-1, 1, 201)
        total = np.rint(np.where(part < 0, -part * t_low[k], part * t_high[k])).astype(np.int64)
        x = step.bias[k] + np.where(part < 0, -part * low[k], part * high[k])
        v = fixed.requantize(total, layer.shift, piece.scale[k], piece.bias[k])
        ranks = fixed.cluster(v, layer.thresholds, layer.codes) + book.order
        doubt = 4 * step_of_v + 0.04 * np.abs(x - step.bias[k])
        assert (found(x - doubt) <= ranks).all() and (ranks <= found(x + doubt)).all()


def images(shape, size):
    return (np.random.default_rng(1).normal(0, 1, (4, *shape)) * size).astype(np.float32)


def compiled(module, shape, size=1.0, machine=MACHINES[0]):
    return pipeline.compile(module.eval(), (torch.zeros(1, *shape),), images(shape, size), machine)


def test_a_bias_corrected_by_less_than_can_be_squared_stays_a_number():
    """Of a sigmoid of -400 rounding makes zero: an error of 1e-174, which squared is none."""
    conv = nn.Conv2d(3, 6, 1)
    with torch.no_grad():
        conv.bias.copy_(torch.tensor([0.1, 0.0, 0.0, 1.0, -3.0, -400.0]))
    module = nn.Sequential(nn.Sigmoid(), nn.MaxPool2d(2), conv, nn.Sigmoid(), nn.Hardsigmoid())
    weights = compiled(module, (3, 8, 8), 100.0).quantised.weights
    assert all(np.isfinite(w.bias).all() for w in weights.values())


@pytest.mark.parametrize("size", [1e-45, 1e-38, 1e-33, 1e-20, 1e20, 1e32])
def test_images_of_any_size_are_computed_with(size):
    """The scales of tensors stay normal float32; below, tensors become zeros."""
    module = randomise(nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2),
                                     nn.Conv2d(3, 2, 1, bias=False)), 3)
    made = compiled(module, (1, 8, 8), size)
    program = made.program
    (port,), (out,) = program.inputs, program.outputs
    x = images((1, 8, 8), size)
    codes = host.encode(x[:1], program.tensors[port.tensor], program.config)
    found = host.decode(reference.run(program, [codes])[out.tensor], program.tensors[out.tensor],
                        program.config)
    exact = module(torch.tensor(x[:1])).detach().numpy()
    error = np.abs(found - exact).max() / np.abs(images((1, 8, 8), size)).max()
    assert all(SCALES[0] <= tensor.kind.scale <= SCALES[1] for tensor in program.tensors)
    assert error < 0.3 + 8 * SCALES[0] / size
    if size > 1e-30:
        assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size, weight, sentence", [
    (1e37, 1.0, r"calibration: its values reach .*e\+37, more than 2.6e\+33; scale the images"),
    (1.0, 1e36, r"0: its values reach .*e\+36 on the calibration data"),
    (1e30, 1e30, r"0: its values become infinite or NaN on the calibration data"),
])
def test_refuses_values_that_no_scale_holds(size, weight, sentence):
    conv = nn.Conv2d(1, 2, 3)
    nn.init.constant_(conv.weight, weight)
    with pytest.raises(CompileError, match=sentence):
        compiled(nn.Sequential(conv), (1, 6, 6), size)


def test_thresholds_that_no_sum_reaches_do_not_coarsen_the_others():
    """SiLU falls back to zero at -26 where its codebook is as small as 1e-20."""
    program = compiled(nn.Sequential(nn.SiLU(), nn.Conv2d(1, 2, 1)), (1, 6, 6), 1e-19).program
    codes = host.encode(images((1, 6, 6), 1e-19)[:1], program.tensors[0], program.config)
    found = reference.run(program, [codes])[program.layers[0].output]
    assert len(np.unique(found)) > 8


def test_a_narrow_factor_is_not_refused_for_being_narrow():
    """Where T leaves room for half of the largest factor only, as factor_bits = 4 has it."""
    machine = canonical.config(factor_bits=4, total_bits=20, sum_bits=18, tap_slots=8192)
    net = canonical.Builder(machine, (1, 5, 5))
    net.output(net.conv(net.conv("x", 240), 2, density=1.0))
    layer = pipeline.back(net.quantised(), machine, 1).layers[1]
    assert 4 <= layer.taps.cluster_factor.max() < 7
