"""Engines judged batch by batch; tests/cli/test_cosim.py has faults of every kind."""

from __future__ import annotations

import dataclasses

import hand
import numpy as np
import pytest
from kcnn.engines import execute as engines
from kcnn.engines.batches import encode
from kcnn.engines.verdict import judge
from kcnn.rtl.benchfiles import EngineError

PROGRAM = hand.program()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """"myhdl" is the TLM, whose last RUN takes three cycles more."""
    genuine = engines.machine

    def machine(engine, program, memory, model, vcd=None, trace=False):
        result = genuine("tlm", program, memory, model, vcd, trace)
        if engine == "myhdl":
            result.ends[max(layer.runs[-1] for layer in program.layers)] += 3
        return dataclasses.replace(result, engine=engine)

    monkeypatch.setattr(engines, "machine", machine)


def test_it_stops_at_the_first_wrong_batch(late: None) -> None:
    verdict = judge(PROGRAM, [hand.images(3)], ["tlm", "myhdl"], engines.memory_model(PROGRAM, 1))
    assert not verdict.equal and len(verdict.outcomes) == 1 and len(verdict.mistimings) == 1
    assert np.array_equal(verdict.codes[0], encode(PROGRAM, [hand.images(1)])[0])


def test_the_reference_comes_first() -> None:
    said: list[str] = []
    verdict = judge(PROGRAM, [hand.images(2)], ["tlm", "reference"],
                    engines.memory_model(PROGRAM, None), said.append)
    assert verdict.equal and verdict.names == ["reference", "tlm"]
    assert set(verdict.cycles) == {"tlm"}
    assert said[:2] == ["reference: batch 1 of 2", "tlm: batch 1 of 2"]


def test_an_engine_that_comes_to_no_end_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def machine(*_: object) -> None:
        raise EngineError("it hangs")

    monkeypatch.setattr(engines, "machine", machine)
    verdict = judge(PROGRAM, [hand.images(2)], ["tlm"], engines.memory_model(PROGRAM, None))
    assert verdict.failures == {"tlm": "it hangs"} and verdict.outcomes == [{}]
    assert not verdict.equal and verdict.cycles == {}
