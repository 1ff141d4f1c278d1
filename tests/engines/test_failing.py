"""Which layers are tried alone, and what is told; tests/cli/test_cosim.py writes folders."""

from __future__ import annotations

import copy

import hand
import pytest
from kcnn.engines import execute as engines
from kcnn.engines import failing
from kcnn.engines.batches import encode
from kcnn.engines.verdict import Verdict

PROGRAM = hand.program()
MEMORY = engines.memory_model(PROGRAM, None)


@pytest.fixture(scope="module")
def outcome() -> engines.Outcome:
    return engines.execute("tlm", PROGRAM, encode(PROGRAM, [hand.images(1)]), MEMORY, trace=True)


def test_only_layers_whose_sources_are_equal_are_tried(outcome: engines.Outcome) -> None:
    other = copy.deepcopy(outcome)
    for tensor in (1, 2):
        other.tensors[tensor][..., 0, 0] ^= 1
    outcomes = {"tlm": outcome, "myhdl": other}
    assert failing.candidates(PROGRAM, outcomes, {"myhdl": "tlm"}) == [0]
    del outcomes["myhdl"]
    assert failing.candidates(PROGRAM, outcomes, {"myhdl": "tlm"}) == [1, 0]


def test_layers_with_other_clocks_are_tried(outcome: engines.Outcome) -> None:
    other = copy.deepcopy(outcome)
    assert other.result is not None
    other.result.ends[PROGRAM.layers[1].runs[0]] += 3
    assert failing.candidates(PROGRAM, {"tlm": outcome, "myhdl": other}, {"myhdl": "tlm"}) == [1]


def test_a_trace_has_every_instruction_and_every_write(outcome: engines.Outcome) -> None:
    result = outcome.result
    assert result is not None and result.writes is not None
    lines = failing.tlm_trace(PROGRAM, result).splitlines()
    assert lines[0] == "start end instruction" and "LOAD" in lines[1]
    assert len(lines) == 3 + len(PROGRAM.instructions) + len(result.writes.cycle)


def test_nothing_is_written_where_no_engine_came_to_an_end(tmp_path) -> None:
    lost = Verdict(["tlm"], [{}], [], [], {"tlm": "it hangs"}, [])
    assert failing.write(tmp_path, PROGRAM, lost, MEMORY) == [
        "no engine came to an end; nothing was written"]
    assert list(tmp_path.iterdir()) == []
