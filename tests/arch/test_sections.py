"""Descriptors and layer table hold tensors that lie anywhere, and nothing that no program needs."""

import dataclasses

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import records, sections
from kcnn.arch.errors import FormatError
from kcnn.arch.place import Box, Place
from kcnn.arch.region import Space

SMALL = strategies.small_program()


def again(program):
    """The program's tensors and ports from its sections, with and without the layer table."""
    head = sections.encode_descriptors(program)
    memory, ported, inputs, outputs = sections.decode_descriptors(head, "here")
    assert memory == program.memory_bytes
    tensors, positions, layers = sections.decode_layers(
        sections.layer_bytes(program), ported, len(program.instructions), 1 << 20, "here")
    moved = [sections.moved(port, positions) for port in (*inputs, *outputs)]
    return ported, tuple(tensors), tuple(moved), tuple(layers)


@settings(max_examples=50)
@given(strategies.homed_programs())
def test_homes_and_windows_round_trip(program):
    ported, tensors, ports, layers = again(program)
    assert tensors == program.tensors and layers == program.layers
    assert ports == (*program.inputs, *program.outputs)
    assert ported == [program.tensors[i] for i in sections.port_tensors(program)]


def windowed(count):
    """The small program with a tensor of one home and so many windows."""
    layout = SMALL.tensors[0].layout
    home = Place(dataclasses.replace(layout, base=1 << 33), space=Space.EXTERNAL)
    places = (home, *(Place(layout, Box(4 * i, 4, 0, 7), since=i, until=i + 9)
                      for i in range(count)))
    return dataclasses.replace(SMALL, tensors=(*SMALL.tensors, dataclasses.replace(
        SMALL.tensors[0], name="tall", places=places)))


def test_a_window_costs_a_few_bytes():
    few, many = (len(sections.encode_layers(windowed(count))) for count in (5, 1005))
    assert many - few < 6 * 1000


def test_there_are_no_more_places_than_instructions_fill():
    least = len(SMALL.instructions) + 2
    assert again(windowed(least - 2))[1] == windowed(least - 2).tensors
    with pytest.raises(FormatError, match=f"^here: malformed .tensor 'tall' has {least + 10} "
                                          f"places, {least - 1} more can be needed.; recompile"):
        again(windowed(least + 9))


@pytest.mark.parametrize("name, value, sentence", [
    ("space", 2, "a tensor lies in space 2, there are 2"),
    ("space", -1, "a tensor lies in space -1, there are 2")])
def test_places_that_mean_nothing_are_refused(name, value, sentence):
    data = bytearray(sections.encode_descriptors(SMALL))
    at = (sections.DESCRIPTOR_HEAD.itemsize + 2 * sections.TENSOR.itemsize
          + 2 * sections.PORT.itemsize + 8 * records.PLACE_FIELDS.index(name))
    data[at:at + 8] = value.to_bytes(8, "little", signed=True)
    with pytest.raises(FormatError, match=f"^here: {sentence}; recompile the network$"):
        sections.decode_descriptors(bytes(data), "here")


@pytest.mark.parametrize("count, sentence", [
    (2, "ends at byte 288 of the section inside 1 entries that begin at byte 288"),
    (0, "holds 144 bytes behind byte 144 of the section that nothing refers to")])
def test_descriptors_hold_the_places_that_tensors_count(count, sentence):
    data = bytearray(sections.encode_descriptors(SMALL))
    at = sections.DESCRIPTOR_HEAD.itemsize + sections.TENSOR.fields["places"][1]
    data[at:at + 4] = count.to_bytes(4, "little")
    with pytest.raises(FormatError, match=f"^here: the places: {sentence}; recompile"):
        sections.decode_descriptors(bytes(data), "here")


def arrays():
    """Integers of every width, whole ranges among them."""
    edges = [0, 1, 2, 127, 128, 255, 256, -1, -128, -129, 1 << 15, 1 << 31, -(1 << 31), 1 << 32,
             (1 << 62), -(1 << 62)]
    return st.lists(st.sampled_from(edges) | st.integers(-3, 300), max_size=30).map(
        lambda numbers: np.array(numbers, np.int64))


@given(arrays())
def test_arrays_are_kept_in_few_bytes(array):
    dtype = sections._smallest(array)
    data = sections._pack(array, dtype)
    size = 1 / 8 if dtype == sections.BIT else np.dtype(dtype).itemsize
    assert len(data) == int(np.ceil(size * len(array)))
    reader = sections.Reader(data, "here")
    assert sections._unpack(reader, dtype, len(array)).tolist() == array.tolist()
    reader.end()


def test_arrays_by_hand():
    assert sections._pack(np.array([1, 0, 1]), "bit") == b"\xa0"
    assert sections._pack(np.array([300, 301, 299]), "<u2") == b"\x2c\x01\xfe\x01\x00\xff"
    assert [sections._smallest(np.array(a, np.int64)) for a in (
        [], [1, 0], [2], [-1], [256], [1 << 16], [-129], [1 << 31], [-(1 << 15) - 1], [1 << 32])
        ] == ["bit", "bit", "|u1", "|i1", "<u2", "<u4", "<i2", "<u4", "<i4", "<i8"]


def plain_taps():
    return records.taps_to_plain(SMALL.layers[0].taps, records.put_list)


@pytest.mark.parametrize("name, value, sentence", [
    ("channel_clusters", -1, "a number of channel_clusters is not from 0 to 2147483647"),
    ("cluster_taps", 1 << 31, "a number of cluster_taps is not from 0 to 2147483647"),
    ("point", 1 << 20, "a number of point is not from 0 to 9"),
    ("negative", 2, "a number of negative is not from 0 to 1")])
def test_taps_that_mean_nothing_are_refused(name, value, sentence):
    assert records.taps_from_plain(plain_taps(), records.take_list) == SMALL.layers[0].taps
    plain = plain_taps()
    plain[name][0] = value
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        records.taps_from_plain(plain, records.take_list)


def test_arrays_are_no_larger_than_can_be_needed():
    text = sections.layer_bytes(SMALL)
    ported = [SMALL.tensors[i] for i in sections.port_tensors(SMALL)]
    with pytest.raises(FormatError, match="describes no array that can be needed"):
        sections.decode_layers(text, ported, 10, 100, "here")


@given(st.lists(strategies.windows(), max_size=5))
def test_a_place_is_a_row_of_numbers(places):
    numbers = records.place_numbers(places)
    assert numbers.shape == (len(places), len(records.PLACE_FIELDS)) == (len(places), 18)
    assert numbers.dtype == np.int64 and records.places_of(numbers) == tuple(places)
