"""Layouts: elements have addresses of their own, and images go there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import layout
from kcnn.arch.config import Config
from kcnn.arch.layout import Layout

CONFIGS = [Config.preset("tiny"), Config.preset("small")]


@st.composite
def layouts(draw):
    """A layout with pads, phases and planes, and its configuration."""
    config = draw(st.sampled_from(CONFIGS))
    n, c, planes, s = (draw(st.integers(1, 3)) for _ in range(4))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    top, left = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    pitch = -(-width // s) + left + draw(st.integers(0, 2))
    high = -(-height // s) + top + draw(st.integers(0, 2))
    part = n * high * pitch
    first = draw(st.integers(0, 5))
    cells = planes * c * s * s * part + 2 * (top * pitch + left)
    return config, Layout(
        base=first * config.row_codes + top * pitch + left, first_row=first,
        rows=-(-cells // config.row_codes), images=n, channels=c, height=height, width=width,
        channel=s * s * part, plane=c * s * s * part, image=high * pitch, row=pitch, column=1,
        split=s, phase_y=s * part, phase_x=part, planes=planes,
        pad=draw(st.integers(0, config.codes - 1)))


@given(layouts())
def test_addresses_are_distinct_and_inside_the_allocation(case):
    config, at = case
    addresses = at.addresses(config.memory_codes)
    assert addresses.shape == (at.planes, *at.shape)
    assert len(np.unique(addresses)) == addresses.size
    assert addresses.min() >= at.first_row * config.row_codes
    assert addresses.max() < (at.first_row + at.rows) * config.row_codes


@given(layouts())
def test_addresses_obey_the_formula(case):
    config, at = case
    addresses = at.addresses(config.memory_codes)
    for j, n, c, y, x in np.ndindex(addresses.shape):
        s = at.split
        expected = (at.base + n * at.image + c * at.channel + j * at.plane + y // s * at.row
                    + x // s * at.column + y % s * at.phase_y + x % s * at.phase_x)
        assert addresses[j, n, c, y, x] == expected % config.memory_codes


@given(layouts(), st.integers(0, 1 << 16))
def test_image_round_trip_with_pads(case, seed):
    config, at = case
    codes = np.random.default_rng(seed).integers(0, config.codes, (at.planes, *at.shape))
    data = layout.to_image(codes, at, config)
    assert data.dtype == np.uint8 and len(data) == at.rows * config.row_bytes
    assert (layout.from_image(data, at, config) == codes).all()
    cells = layout.unpack(data, config)
    own = at.addresses(config.memory_codes) - at.first_row * config.row_codes
    assert (np.delete(cells, own.ravel()) == at.pad).all()


def test_addresses_wrap_at_the_end_of_the_memory():
    at = Layout(1020, 0, 1, 1, 1, 2, 4, channel=8, plane=8, image=8, row=4, column=1)
    assert at.addresses(1024).ravel().tolist() == [1020, 1021, 1022, 1023, 0, 1, 2, 3]


def test_phase_planes_by_hand():
    at = Layout(0, 0, 1, 1, 1, 2, 4, channel=16, plane=16, image=4, row=2, column=1, split=2,
                phase_y=8, phase_x=4)
    assert at.addresses(1024).reshape(2, 4).tolist() == [[0, 4, 1, 5], [8, 12, 9, 13]]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_packing(config):
    codes = np.arange(64) % config.codes
    data = layout.pack(codes, config)
    assert len(data) == 64 // config.codes_per_byte
    assert (layout.unpack(data, config) == codes).all()
    if config.code_bits == 4:
        assert data[:2].tolist() == [0x10, 0x32]          # low nibble first


def test_shape():
    assert Layout(0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0).shape == (2, 3, 4, 5)
