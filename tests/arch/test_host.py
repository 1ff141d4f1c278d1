"""Real numbers to codes and back."""

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import host
from kcnn.arch.config import Config
from kcnn.arch.errors import KcnnError
from tensors import plain

TINY = Config.preset("tiny")


def radix(scale=0.25, planes=2, bits=8):
    return plain("x", (1, 1, 1, 6), scale, planes=planes, bits=bits)


def test_radix_inputs_by_hand():
    x = np.array([0.0, 0.25, -0.3, 31.7, 1e30, -1e30], np.float32).reshape(1, 1, 1, 6)
    codes = host.encode(x, radix(), TINY)
    assert codes.shape == (2, 1, 1, 1, 6)
    assert codes.reshape(2, 6).tolist() == [[0, 1, 15, 15, 15, 0], [0, 0, 15, 7, 7, 8]]
    assert host.raw(codes, radix(), TINY).ravel().tolist() == [0, 1, -1, 127, 127, -128]
    back = host.decode(codes, radix(), TINY)
    assert back.dtype == np.float32
    assert back.ravel().tolist() == [0, 0.25, -0.25, 31.75, 31.75, -32]


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6), st.floats(1e-3, 1e3),
       st.sampled_from([(1, 4), (2, 8), (3, 12), (4, 16)]))
def test_radix_round_trip_is_the_nearest_integer(values, scale, size):
    tensor = radix(scale, *size)
    x = np.array(values, np.float32).reshape(1, 1, 1, 6)
    raw = host.raw(host.encode(x, tensor, TINY), tensor, TINY)
    half = 1 << size[1] - 1
    for value, found in zip(x.ravel().astype(np.float64) / scale, raw.ravel(), strict=True):
        assert found == max(-half, min(half - 1, round(value)))


@given(st.integers(0, 1 << 16), st.booleans())
def test_codebook_inputs_are_the_nearest_value(seed, signed):
    rng = np.random.default_rng(seed)
    values, order = strategies.codebook(rng, TINY, signed)
    tensor = plain("x", (2, 1, 3, 6), 0.5, values, order=order)
    x = rng.normal(0, 60, (2, 1, 3, 6)).astype(np.float32)
    codes = host.encode(x, tensor, TINY)
    assert codes.shape == (1, 2, 1, 3, 6)
    found = host.raw(codes, tensor, TINY)
    best = np.abs(np.array(values)[:, None] - x.ravel() / 0.5).min(axis=0)
    assert np.abs(found.ravel() - x.ravel() / 0.5) == pytest.approx(best)
    assert (host.decode(codes, tensor, TINY) == found * np.float32(0.5)).all()


def test_codes_that_are_not_in_use_are_not_given():
    values = (0, 10, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -20, -10)
    tensor = plain("x", (1, 1, 1, 6), 1.0, values)
    x = np.array([-30.0, -14, -4, 4, 15, 16]).reshape(1, 1, 1, 6)
    assert host.encode(x, tensor, TINY).ravel().tolist() == [14, 15, 0, 0, 2, 2]


def test_any_number_of_images():
    assert host.encode(np.zeros((5, 1, 1, 6)), radix(), TINY).shape == (2, 5, 1, 1, 6)


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 2, 1, 6), (1, 1, 1, 5)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(KcnnError) as caught:
        host.encode(np.zeros(shape), radix(), TINY)
    assert str(caught.value) == (f"input 'x': the shape is {shape}, but the network takes "
                                 "(N, 1, 1, 6); reshape the data")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(value):
    with pytest.raises(KcnnError, match="^input 'x': a value is NaN or infinite; give finite"):
        host.encode(np.full((1, 1, 1, 6), value), radix(), TINY)


def test_what_is_cut_of_a_radix_tensor_is_what_saturates():
    tensor = radix()
    low, high = host.span(tensor)
    assert (low, high) == (-32.0, 31.75)
    x = np.array([-40, -32.13, -32.12, 31.87, 31.88, 1e30], np.float32).reshape(1, 1, 1, 6)
    whole = np.rint(x.astype(np.float64) / 0.25)
    found = host.raw(host.encode(x, tensor, TINY), tensor, TINY)
    assert host.cut(x, tensor) == (found != whole).sum() == 4


@given(st.integers(0, 1 << 16))
def test_whole_numbers_of_a_radix_tensor_are_counted_one_by_one(seed):
    x = np.random.default_rng(seed).normal(0, 30, (1, 1, 1, 6)).astype(np.float32)
    found = host.raw(host.encode(x, radix(), TINY), radix(), TINY)
    assert host.cut(x, radix()) == (found != np.rint(x.astype(np.float64) / 0.25)).sum()


def test_what_is_cut_of_a_codebook_is_beyond_half_its_last_step():
    values = (0, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -20, -10)
    tensor = plain("x", (1, 1, 1, 6), 0.5, values)
    x = np.array([-12.6, -12.5, 8.0, 8.1, 0, 5], np.float32).reshape(1, 1, 1, 6)
    assert host.span(tensor) == (-10, 7) and host.cut(x, tensor) == 2
    alone = plain("x", (1, 1, 1, 6), 0.5, (0,) * 16)
    assert host.cut(np.zeros((1, 1, 1, 6), np.float32), alone) == 0


def test_outputs_at_a_limit_are_those_that_may_have_been_cut():
    x = np.array([-40, -32, -31.75, 31.5, 31.75, 50], np.float32).reshape(1, 1, 1, 6)
    decoded = host.decode(host.encode(x, radix(), TINY), radix(), TINY)
    assert host.at_limit(decoded, radix()) == 4
    tensor = plain("x", (1, 1, 1, 6), 0.5, tuple(range(16)))
    assert host.at_limit(host.decode(host.encode(x, tensor, TINY), tensor, TINY), tensor) == 0
