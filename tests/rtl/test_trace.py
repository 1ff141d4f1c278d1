"""Stamps and tensors from traces."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
from kcnn.arch import capture
from kcnn.arch import program as program_module
from kcnn.arch.config import Config
from kcnn.arch.engine import Writes
from kcnn.arch.isa import End, Fill, Load, Unit
from kcnn.rtl import trace
from kcnn.rtl.benchfiles import EngineError
from tensors import whole

CONFIG = dataclasses.replace(Config.preset("tiny"), memory_codes=256)


def program(instructions, tensors=()):
    return types.SimpleNamespace(config=CONFIG, instructions=instructions, tensors=tensors)


def test_marks_belong_to_instructions_in_order():
    some = program((Load(address=0, row=0, rows=1), Fill(row=1, rows=1, code=0),
                    Load(address=0, row=2, rows=1), End()))
    marks = {Unit.LOAD: np.array([4, 40]), Unit.COMPUTE: np.array([9]), Unit.STORE: np.array([])}
    assert trace.stamps(some, marks, "x", "took").tolist() == [4, 9, 40, -1]
    marks[Unit.LOAD] = np.array([4])
    with pytest.raises(EngineError, match="LOAD unit took 1 instructions of its 2"):
        trace.stamps(some, marks, "x", "took")


def test_tensors_are_captured_when_their_instruction_ends(monkeypatch):
    tensor = whole("x", base=3, first_row=0, rows=2, images=1, channels=2, height=1, width=4,
                   channel=5, plane=0, image=0, row=4, column=1)
    rng = np.random.default_rng(2)
    writes = Writes(np.sort(rng.integers(0, 60, 80)), rng.integers(0, 3, 80),
                    rng.random((80, 8)) < 0.4, rng.integers(0, 16, (80, 8)))
    for module in (capture, program_module):
        monkeypatch.setattr(module, "completed_by", lambda _: {0: 1, 1: 0})
    ends = np.array([25, 50])
    found = trace.tensors_from(program((), (tensor, tensor)), writes, ends, np.zeros(0, np.uint8))
    assert list(found) == [0, 1]
    for number, end in ((0, 50), (1, 25)):
        cells = [0] * 256
        for i in range(80):
            for c in range(8):
                if writes.cycle[i] <= end and writes.mask[i, c]:
                    cells[int(writes.row[i]) * 8 + c] = int(writes.codes[i, c])
        want = [[[[[cells[3 + 5 * c + x] for x in range(4)]] for c in range(2)]]]
        assert found[number].tolist() == want
