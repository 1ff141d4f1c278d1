"""What is known of every cell is what a machine then finds there."""

import dataclasses

import bands
import numpy as np
import pytest
import strategies
from kcnn.arch import isa, reference
from kcnn.arch.contents import ELEMENT, FOREIGN, Contents
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Fill, Load, Run, Store
from kcnn.arch.layout import unpack
from kcnn.arch.program import memory_image
from kcnn.compiler.emit.assemble import assemble
from kcnn.tlm.machine import simulate

BANDS = assemble(bands.Bands(10, 4).plan())
CODE = strategies.small_program()


def walked(program, contents=None):
    """The contents behind the last instruction; a RUN writes what its places say."""
    contents = contents or Contents(program)
    for index, ins in enumerate(program.instructions):
        if isinstance(ins, Load | Store | Fill):
            contents.move(ins)
        elif isinstance(ins, Run):
            for layer in program.layers:
                for place in program.tensors[layer.output].places if index in layer.runs else ():
                    if place.whole or place.since == index:
                        at = place.addresses(program.tensors[layer.output].kind, program.config)
                        contents.chip[at] = contents.elements(layer.output, place)
    return contents


@pytest.mark.parametrize("program", [BANDS, CODE], ids=["bands", "whole"])
def test_external_memory_holds_what_is_known_of_it(program):
    inputs = strategies.random_inputs(program)
    found = simulate(program, memory_image(program, inputs), MemoryModel.fixed(2)).memory
    codes = unpack(found[program.data_base:], program.config)
    cells = walked(program).outside
    assert len(cells) == len(codes)
    values = np.zeros(1 + max(cells.max(), ELEMENT), np.int64)
    values[1:ELEMENT] = np.arange(ELEMENT - 1)
    tensors = reference.run(program, inputs)
    elements = np.concatenate([tensors[i].ravel() for i in range(len(program.tensors))])
    values[ELEMENT:] = elements[:len(values) - ELEMENT]
    known = cells != FOREIGN
    np.testing.assert_array_equal(codes[known], values[cells[known]])
    assert known.sum() >= sum(tensor.kind.size for tensor in program.tensors if tensor.home)


def test_elements_are_counted_tensor_by_tensor():
    contents = Contents(BANDS)
    size = BANDS.tensors[0].kind.size
    assert contents.first == [ELEMENT, ELEMENT + size, ELEMENT + 2 * size]
    home, window = BANDS.tensors[1].places[:2]
    assert contents.elements(1, home).ravel().tolist() == list(range(ELEMENT + size,
                                                                     ELEMENT + 2 * size))
    assert window.box.y == 0 and BANDS.tensors[1].places[2].box.y == 4
    second = contents.elements(1, BANDS.tensors[1].places[2])
    assert second.shape == (1, 1, 1, 4, 30) and second[0, 0, 0, 0, 0] == ELEMENT + size + 4 * 30
    assert contents.numbers(1, *map(np.array, ([0], [0], [0], [2, -1], [5]))).ravel().tolist() == [
        ELEMENT + size + 65, ELEMENT + size - 25]


def test_inputs_are_there_from_the_start_and_nothing_else():
    contents = Contents(BANDS)
    x, mid, _ = BANDS.tensors
    assert contents.holds_outside(0, x.home) and not contents.holds_outside(1, mid.home)
    assert (contents.chip == FOREIGN).all()
    first = contents.outside[:bands.LINE + 2].tolist()
    assert first == [x.kind.pad + 1] * (bands.LINE + 1) + [ELEMENT]


def test_a_load_from_below_the_data_brings_nothing_known():
    program = dataclasses.replace(BANDS, instructions=BANDS.instructions)
    contents = Contents(program)
    rows = program.data_base // program.config.row_bytes
    contents.chip[:] = 7
    contents.move(isa.Load(0, 3, rows + 2))
    row = program.config.row_codes
    at = 3 * row
    assert (contents.chip[:at] == 7).all() and (contents.chip[at:at + rows * row] == 0).all()
    behind = contents.chip[at + rows * row:at + (rows + 2) * row]
    np.testing.assert_array_equal(behind, contents.outside[:2 * row])
    contents.move(isa.Load(0, 3, rows - 2))
    assert (contents.chip[at:at + (rows - 2) * row] == FOREIGN).all()


def test_places_hold_their_elements_or_not():
    contents = walked(BANDS)
    last = BANDS.tensors[2].places[-1]
    assert contents.holds(2, last) and not contents.holds(2, BANDS.tensors[2].places[1])
    assert contents.holds_outside(2, BANDS.tensors[2].home)
    expected = contents.expected(2, last)
    assert np.count_nonzero(expected) == contents.elements(2, last).size
    assert (expected[expected > 0] == contents.chip[expected > 0]).all()
    contents.move(isa.Fill(last.layout.first_row, 1, 2))
    assert not contents.holds(2, last)


def test_more_elements_than_can_be_counted_are_refused():
    kind = dataclasses.replace(BANDS.tensors[2].kind, channels=1 << 26)
    huge = dataclasses.replace(BANDS.tensors[2], kind=kind)
    with pytest.raises(FormatError, match="its tensors have 20132659800 elements, more than "
                                          "2147483390; recompile the network"):
        Contents(dataclasses.replace(BANDS, tensors=(*BANDS.tensors[:2], huge)))
