"""Places: parts of tensors in both memories."""

import dataclasses

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import layout
from kcnn.arch.config import Config
from kcnn.arch.kind import Kind
from kcnn.arch.layout import Layout
from kcnn.arch.place import Box, Place, image
from kcnn.arch.region import Space

TINY = Config.preset("tiny")
WIDE = Layout(1020, 0, 1, channel=8, plane=8, image=8, row=4, column=1)


@given(strategies.placed_tensors(), st.integers(0, 1 << 16), st.integers(0, 9))
def test_images_hold_elements_and_pads(case, seed, units):
    config, tensor = case
    kind, at = tensor.kind, tensor.layout
    codes = np.random.default_rng(seed).integers(0, config.codes, kind.codes)
    moved = tensor.places[0].moved(16 * units, config)
    data = image(codes, kind, moved, 16 * units, config)
    assert data.dtype == np.uint8 and len(data) == at.rows * config.row_bytes
    own = at.addresses(kind.codes) - at.first_row * config.row_codes
    assert (np.delete(layout.unpack(data, config), own.ravel()) == kind.pad).all()
    memory = np.concatenate([np.full(16 * units, 255, np.uint8), data])
    assert moved.space == Space.EXTERNAL
    assert (moved.read(memory, kind, config) == codes).all()


def test_addresses_wrap_at_the_end_of_the_activation_memory_only():
    config = dataclasses.replace(TINY, memory_codes=1024)
    kind = Kind(1, 1, 2, 4)
    assert Place(WIDE).addresses(kind, config).ravel().tolist() == [
        1020, 1021, 1022, 1023, 0, 1, 2, 3]
    outside = Place(WIDE, space=Space.EXTERNAL)
    assert outside.addresses(kind, config).ravel().tolist() == list(range(1020, 1028))


def test_a_box_counts_from_its_first_line_and_channel():
    kind = Kind(2, 4, 6, 4, planes=2, bits=8)
    box = Box(y=2, height=3, channel=1, channels=2)
    place = Place(dataclasses.replace(WIDE, base=0), box)
    assert place.shape(kind) == (2, 2, 2, 3, 4)
    codes = np.arange(kind.size).reshape(kind.codes)
    np.testing.assert_array_equal(codes[place.part(kind)], codes[:, :, 1:3, 2:5])
    assert int(place.addresses(kind, TINY)[0, 0, 0, 0, 0]) == 0


def test_cells_around_a_part_count_from_the_whole_tensor():
    at = dataclasses.replace(WIDE, base=100, channel=50, plane=7, image=9)
    place = Place(at, Box(2, 3, 1, 2))
    kind = Kind(2, 4, 6, 4, planes=2, bits=8)
    assert int(place.around(0, 0, 1, 2, 0)) == 100
    assert int(place.around(1, 1, 3, 1, -1)) == 100 + 7 + 9 + 2 * 50 - 4 - 1
    part = np.indices(place.shape(kind))
    part[2], part[3] = part[2] + 1, part[3] + 2
    np.testing.assert_array_equal(place.around(*part), place.addresses(kind, TINY))


def test_a_box_has_its_lines_of_its_channels():
    box = Box(y=2, height=3, channel=1, channels=2)
    assert [(c, y) for c in range(5) for y in range(7) if box.has(c, y)] == [
        (c, y) for c in (1, 2) for y in (2, 3, 4)]


@pytest.mark.parametrize("place, said, times", [
    (Place(WIDE), "its rows", [0, 3, 4, 5, 9]),
    (Place(WIDE, space=Space.EXTERNAL), "its home", []),
    (Place(WIDE, Box(2, 3, 1, 2), since=3, until=5),
     "its window of lines 2 to 4 of channels 1 to 2", [4, 5])])
def test_windows_are_read_behind_what_brings_them(place, said, times):
    assert place.said == said
    assert [at for at in (0, 3, 4, 5, 9) if place.in_force(at)] == times


@pytest.mark.parametrize("changes, whole", [
    ({}, True), ({"box": Box(0, 6, 0, 4)}, False), ({"space": Space.EXTERNAL}, False),
    ({"since": 3}, False), ({"until": 3}, False)])
def test_whole_is_all_of_it_on_chip_all_the_time(changes, whole):
    assert dataclasses.replace(Place(WIDE), **changes).whole == whole
