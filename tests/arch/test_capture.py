"""Captured tensors, of one place and of several: a home outside, windows on chip one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import strategies
from kcnn.arch import isa
from kcnn.arch.capture import due, joined
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.kind import Kind
from kcnn.arch.layout import Layout, pack
from kcnn.arch.place import Box, Place
from kcnn.arch.program import Layer, Program, Tensor, completed_by
from kcnn.arch.region import Space
from kcnn.compiler.emit import step
from kcnn.compiler.emit.areas import Area, Role
from kcnn.compiler.emit.assemble import assemble
from kcnn.compiler.emit.plan import Plan
from kcnn.rtl import simulate as rtl
from kcnn.tlm import machine as tlm
from numpy.typing import NDArray

TINY = Config.preset("tiny")
KIND = Kind(1, 2, 8, 8, values=tuple(range(16)))
# lines of all channels, one behind the other: a line is two rows of the activation memory
LINE, BAND = 2 * 8, 4
ROWS, BYTES = BAND * LINE // TINY.row_codes, BAND * LINE // 2
LINES = Layout(0, 0, ROWS, channel=8, plane=0, image=0, row=LINE, column=1)
FIRST, SECOND = (Box(y, BAND, 0, 2) for y in (0, BAND))


def in_bands() -> Program:
    """Two bands of lines go through the same rows of the memory, from x to y."""
    tensors = (Tensor("x", KIND), Tensor("y", KIND))
    areas = (Area("x", Role.INPUT, 0, 2 * BYTES), Area("y", Role.OUTPUT, 1, 2 * BYTES))
    between = isa.Fill(ROWS, 1, 0)
    steps = []
    for band in range(2):
        at = band * BYTES // isa.UNIT_BYTES
        steps += [step.move(isa.Load(at, 0, ROWS), 0, TINY), fill(between),
                  step.move(isa.Store(at, 0, ROWS), 1, TINY), fill(between)]
    program = assemble(Plan(TINY, tensors, (), areas, tuple(steps)))
    homes = [Place(dataclasses.replace(LINES, base=2 * port.address), space=Space.EXTERNAL)
             for port in (*program.inputs, *program.outputs)]
    windows = (Place(LINES, FIRST, since=0, until=2), Place(LINES, SECOND, since=4, until=6))
    layer = Layer("y", "Copy", "max", (), 1, strategies.taps_of(np.ones((1, 1, 1, 1), int)), (), 0,
                  0, runs=(6,))
    return dataclasses.replace(program, layers=(layer,), tensors=(
        Tensor("x", KIND, (homes[0], *windows)), Tensor("y", KIND, (homes[1],))))


def fill(instruction: isa.Fill) -> step.Step:
    return step.Step(instruction, *step.effects.regions(instruction, TINY))


def memory_of(program: Program, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """External memory with x in its home, line by line."""
    memory = np.zeros(program.memory_bytes, np.uint8)
    code = isa.encode(list(program.instructions))
    memory[:len(code)] = np.frombuffer(code, np.uint8)
    home = program.inputs[0].address
    memory[home:home + 2 * BYTES] = pack(codes[0, 0].transpose(1, 0, 2), TINY)
    return memory


@pytest.mark.parametrize("engine", [tlm.simulate, rtl.simulate], ids=["tlm", "rtl"])
def test_windows_and_homes_are_put_together(engine) -> None:
    program = in_bands()
    codes = np.random.default_rng(0).integers(0, 16, KIND.codes)
    result = engine(program, memory_of(program, codes), MemoryModel.fixed(3))
    assert sorted(result.tensors) == [0, 1]
    np.testing.assert_array_equal(result.tensors[0], codes)
    np.testing.assert_array_equal(result.tensors[1], codes)


def test_windows_are_read_each_in_its_time() -> None:
    program = in_bands()
    assert completed_by(program) == {0: -1, 1: 6} and due(program) == {}
    chip = dataclasses.replace(program, tensors=(
        dataclasses.replace(program.tensors[0], places=program.tensors[0].places[1:]),
        program.tensors[1]))
    assert completed_by(chip) == {0: 4, 1: 6}
    assert due(chip) == {0: [(0, chip.tensors[0].places[0])], 4: [(0, chip.tensors[0].places[1])]}
    parts = [(entry, np.full((1, 1, 2, BAND, 8), index)) for index, entries in due(chip).items()
             for entry in entries]
    found = joined(chip, parts, np.zeros(program.memory_bytes, np.uint8))[0]
    assert (found[..., :BAND, :] == 0).all() and (found[..., BAND:, :] == 4).all()
    assert (joined(chip, parts[:1], np.zeros(program.memory_bytes, np.uint8))[0][..., BAND:, :]
            == -1).all()


def test_what_wants_one_place_says_so() -> None:
    with pytest.raises(FormatError, match="tensor 'x' lies in 3 places, one that holds all of it"):
        assert in_bands().tensors[0].layout
