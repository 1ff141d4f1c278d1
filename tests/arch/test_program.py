"""External memory of a program, and when its tensors are complete."""

import dataclasses

import numpy as np
import strategies
from hypothesis import given, settings
from kcnn.arch import isa, place, program

PROGRAM = strategies.small_program(strategies.Shape(images=2))


def test_align():
    assert [program.align(n) for n in (0, 1, 63, 64, 65)] == [0, 64, 64, 64, 128]


def test_addresses_of_the_sections_by_hand():
    # nine short instructions and a RUN: 208 bytes, so the streams begin at 256
    assert len(isa.encode(list(PROGRAM.instructions))) == 9 * 16 + 64
    assert PROGRAM.stream_base == 256
    assert PROGRAM.table_base == 256 + program.align(len(PROGRAM.streams))
    assert PROGRAM.data_base == PROGRAM.table_base + program.align(len(PROGRAM.tables))
    assert PROGRAM.batch == 2


@settings(max_examples=20)
@given(strategies.programs())
def test_memory_image_holds_everything_and_zeros(made):
    inputs = strategies.random_inputs(made)
    memory = program.memory_image(made, inputs)
    assert memory.dtype == np.uint8 and len(memory) == made.memory_bytes
    code = isa.encode(list(made.instructions))
    parts = {0: code, made.stream_base: made.streams, made.table_base: made.tables}
    for port, codes in zip(made.inputs, inputs, strict=True):
        tensor = made.tensors[port.tensor]
        moved = tensor.places[0].moved(port.address, made.config)
        rows = place.image(codes, tensor.kind, moved, port.address, made.config)
        parts[port.address] = rows.tobytes()
        assert (moved.read(memory, tensor.kind, made.config) == codes).all()
    rest = memory.copy()
    for at, data in parts.items():
        assert memory[at:at + len(data)].tobytes() == data
        rest[at:at + len(data)] = 0
    assert not rest.any()


def test_completed_by_names_the_load_and_the_last_run():
    assert program.completed_by(PROGRAM) == {0: 5, 1: 7}
    twice = dataclasses.replace(PROGRAM.layers[0], runs=(3, 7, 5))
    assert program.completed_by(dataclasses.replace(PROGRAM, layers=(twice,)))[1] == 7


def test_taps_compare_by_value():
    taps = PROGRAM.layers[0].taps
    same = strategies.retapped(taps)
    assert taps == same
    assert taps != strategies.retapped(taps, dx=same.dx + 1) and taps != 3
    assert taps != dataclasses.replace(taps, negative=~taps.negative)
