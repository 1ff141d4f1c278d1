"""The MyHDL engine: what it gives back, and what it says when a machine goes astray."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
from kcnn.arch.engine import MemoryModel
from kcnn.arch.isa import End, Fill, Load, Store, encode
from kcnn.rtl.benchfiles import EngineError
from kcnn.rtl.simulate import simulate
from machine_programs import CONFIGS

CONFIG = dataclasses.replace(CONFIGS["m2"], memory_codes=64, tap_slots=16)
PROGRAM = (Load(address=8, row=2, rows=2, push_next=1), Fill(row=5, rows=1, code=9, pop_prev=1,
                                                             push_next=1),
           Store(address=12, row=2, rows=4, pop_prev=1), End())


def program(*instructions):
    return types.SimpleNamespace(config=CONFIG, instructions=instructions, tensors=(), inputs=(),
                                 layers=())


def image(*instructions, size=256):
    memory = np.zeros(size, np.uint8)
    code = encode(list(instructions))
    memory[:len(code)] = np.frombuffer(code, np.uint8)
    memory[128:136] = range(16, 24)
    return memory


def test_stamps_memory_and_writes_of_a_small_program():
    memory = image(*PROGRAM)
    seen = []
    result = simulate(program(*PROGRAM), memory, MemoryModel.fixed(2), progress=seen.append)
    # fetch: req 1, command 2, beats 5 to 8; dispatched in 9 and taken in 10
    assert result.starts[0] == 10
    # req 11; the next fetch holds the port from 11 to 17: command 19, beats 22 and 23
    assert result.ends[0] == 24
    # the FILL waits for the LOAD; the STORE's fetch has the port from 24 to 31
    assert result.starts.tolist()[1:] == [25, 33, -1]
    assert result.ends.tolist()[1] == 26 and result.ends[3] == -1
    assert result.cycles == result.ends[2] + 2
    want = memory.copy()
    want[192:200] = range(16, 24)
    want[204:208] = 0x99
    assert np.array_equal(result.memory, want)
    assert result.writes.cycle.tolist() == [23, 24, 26]
    assert result.writes.row.tolist() == [2, 3, 5]
    assert result.writes.codes[2].tolist() == [9] * 8
    assert result.writes.codes[0].tolist() == [0, 1, 1, 1, 2, 1, 3, 1]
    assert (result.engine, result.tensors, seen) == ("myhdl", {}, [0])


def test_a_program_that_waits_for_ever_is_told():
    hanging = (Fill(row=0, rows=1, code=0, pop_prev=1), End())
    with pytest.raises(EngineError, match="myhdl: the machine hangs: nothing happened from cycle"):
        simulate(program(*hanging), image(*hanging), MemoryModel.fixed(0))


def test_an_access_outside_the_memory_is_told():
    astray = (Load(address=100, row=0, rows=1), End())
    with pytest.raises(EngineError, match="asked for external memory at byte 1600, outside"):
        simulate(program(*astray), image(*astray), MemoryModel.fixed(0))


def test_waveforms_appear_where_they_are_wanted(tmp_path):
    path = tmp_path / "run.vcd"
    path.write_text("an older one")
    simulate(program(*PROGRAM), image(*PROGRAM), MemoryModel.fixed(0), vcd=path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.vcd"]
    assert "$enddefinitions" in path.read_text() and path.read_text().count("\n#") > 50


def test_runs_are_independent():
    results = [simulate(program(*PROGRAM), image(*PROGRAM), MemoryModel.fixed(1))
               for _ in range(2)]
    assert results[0].cycles == results[1].cycles
    assert np.array_equal(results[0].memory, results[1].memory)
