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
        sections.layer_bytes(program), ported, len(program.instructions), "here")
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


@given(st.lists(strategies.windows(), max_size=5))
def test_a_place_is_a_row_of_numbers(places):
    numbers = records.place_numbers(places)
    assert numbers.shape == (len(places), len(records.PLACE_FIELDS)) == (len(places), 18)
    assert numbers.dtype == np.int64 and records.places_of(numbers) == tuple(places)
