"""Layouts: elements have addresses of their own; codes become bytes and come back."""

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import layout
from kcnn.arch.config import Config
from kcnn.arch.layout import Layout

CONFIGS = [Config.preset("tiny"), Config.preset("small")]


@given(strategies.placed_tensors())
def test_addresses_are_distinct_and_inside_the_allocation(case):
    config, tensor = case
    at, addresses = tensor.layout, tensor.layout.addresses(tensor.kind.codes)
    assert addresses.shape == tensor.kind.codes
    assert len(np.unique(addresses)) == addresses.size
    assert addresses.min() >= at.first_row * config.row_codes
    assert addresses.max() < (at.first_row + at.rows) * config.row_codes


@given(strategies.placed_tensors())
def test_addresses_obey_the_formula(case):
    _, tensor = case
    at, addresses = tensor.layout, tensor.layout.addresses(tensor.kind.codes)
    for j, n, c, y, x in np.ndindex(addresses.shape):
        s = at.split
        assert addresses[j, n, c, y, x] == (
            at.base + n * at.image + c * at.channel + j * at.plane + y // s * at.row
            + x // s * at.column + y % s * at.phase_y + x % s * at.phase_x)


@given(strategies.layouts(), st.tuples(*(st.integers(1, 5),) * 5))
def test_ends_are_the_lowest_and_the_highest_address(at, shape):
    addresses = at.addresses(shape)
    assert at.ends(shape) == (addresses.min(), addresses.max())


def test_phase_planes_by_hand():
    at = Layout(0, 0, 1, channel=16, plane=16, image=4, row=2, column=1, split=2, phase_y=8,
                phase_x=4)
    assert at.addresses((1, 1, 1, 2, 4)).reshape(2, 4).tolist() == [[0, 4, 1, 5], [8, 12, 9, 13]]
    assert at.offset(-1, 0) == 8 - 2 and at.offset(0, -1) == 4 - 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_packing(config):
    codes = np.arange(64) % config.codes
    data = layout.pack(codes, config)
    assert len(data) == 64 // config.codes_per_byte
    assert (layout.unpack(data, config) == codes).all()
    if config.code_bits == 4:
        assert data[:2].tolist() == [0x10, 0x32]          # low nibble first
