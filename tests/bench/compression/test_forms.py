"""Forms A to E: all equal torch's convolution; their work is what a loop counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import account
from scripts import script

forms = script("bench/compression/forms")
Convolution, Counts, compute, direct = forms.Convolution, forms.Counts, forms.compute, forms.direct


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    rng = np.random.default_rng(draw(st.integers(0, 2 ** 32 - 1)))
    groups, kernel = draw(st.integers(1, 2)), draw(st.sampled_from([(1, 1), (2, 3), (3, 3)]))
    kw, kx = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    sparse = draw(st.floats(0, 1))

    def codes(count: int, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(1, count + 1, shape) * (rng.random(shape) >= sparse)

    return Convolution(codes(kw, (2 * groups, 2, *kernel)), rng.integers(-128, 128, kw),
                       codes(kx, (2 * groups, 5, 6)), rng.integers(-200, 200, kx),
                       draw(st.integers(1, 2)), draw(st.integers(0, 2)), groups)


def values(table: np.ndarray, codes: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.concatenate([[0], table])[codes])


@pytest.mark.parametrize("form", forms.FORMS)
@settings(max_examples=25)
@given(convolutions())
def test_every_form_equals_the_convolution_of_torch(form: str, conv: Convolution) -> None:
    expected = torch.nn.functional.conv2d(
        values(conv.map_values, conv.maps)[None].double(),
        values(conv.weight_values, conv.weight).double(),
        stride=conv.stride, padding=conv.padding, groups=conv.groups)[0]
    found, _ = compute(form, conv)
    assert np.array_equal(found, expected.numpy().astype(np.int64))
    assert np.array_equal(direct(conv)[0], found)


@settings(max_examples=20)
@given(convolutions())
def test_work_is_what_a_loop_counts(conv: Convolution) -> None:
    meetings, cached, outputs = 0, set(), 0
    for g, (x, w, pixels) in enumerate(conv.parts()):
        outputs += len(x) * len(w)
        for position in range(len(x)):
            for row in w:
                for tap, code in enumerate(row):
                    if code and x[position, tap]:
                        meetings += 1
                        cached.add((g, int(pixels[position, tap]), int(code)))
    kw, kx = len(conv.weight_values), len(conv.map_values)
    counts = {form: compute(form, conv)[1] for form in forms.FORMS}
    assert direct(conv)[1] == Counts(meetings, meetings)
    assert counts["A"] == Counts(kw * outputs, meetings + kw * outputs)
    assert counts["B"] == Counts(kx * outputs, meetings + kx * outputs)
    assert counts["C"] == Counts(kw * kx, meetings, lookups=meetings, formed=kw * kx)
    assert counts["D"] == Counts(len(cached), meetings, lookups=meetings, formed=len(cached))
    pairs = kw * kx * outputs
    assert counts["E"] == Counts(kw * kx + pairs, pairs, meetings, pairs, kw * kx)


@settings(max_examples=20)
@given(convolutions(), st.booleans())
def test_work_known_from_costs_is_the_work_done(conv: Convolution, zero_weights: bool) -> None:
    """Of a layer measured in torch; with no zero weights where they are not to be skipped."""
    if not zero_weights:
        conv = dataclasses.replace(conv, weight=np.maximum(conv.weight, 1))
    depth = conv.weight.shape[1]
    layer = torch.nn.Conv2d(depth * conv.groups, len(conv.weight), conv.weight.shape[2:],
                            conv.stride, conv.padding, groups=conv.groups)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(conv.weight))
    (costs,) = account.measure(layer, torch.tensor(conv.maps)[None].float())
    kw, kx = len(conv.weight_values), len(conv.map_values)
    for form in forms.FORMS:
        done, known = compute(form, conv)[1], forms.expected(form, costs, kw, kx, zero_weights)
        if form == "D":
            assert done.multiplications <= known.multiplications
            assert (done.additions, done.lookups) == (known.additions, known.lookups)
        else:
            assert done == known


def test_a_fully_connected_layer_is_a_convolution_of_single_pixels() -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.integers(0, 4, (7, 11, 1, 1)), rng.integers(0, 3, (11, 1, 1))
    conv = Convolution(weight, np.array([3, -5, 7]), x, np.array([2, 9]))
    dense = np.array([0, 3, -5, 7])[weight[:, :, 0, 0]] @ np.array([0, 2, 9])[x[:, 0, 0]]
    for form in forms.FORMS:
        assert np.array_equal(compute(form, conv)[0].ravel(), dense)


def test_the_pixel_cache_serves_overlapping_windows_and_all_channels() -> None:
    """3x3 windows over a full map with one weight value: each pixel is multiplied once."""
    ones = np.ones((4, 1, 3, 3), np.int64)
    conv = Convolution(ones, np.array([5]), np.ones((1, 8, 8), np.int64), np.array([3]))
    _, counts = compute("D", conv)
    assert (counts.multiplications, counts.lookups) == (64, 4 * 36 * 9)
    assert counts.hit_rate == 1 - 64 / (4 * 36 * 9)
    assert Counts().hit_rate == 0
