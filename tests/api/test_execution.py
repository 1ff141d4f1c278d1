"""What an engine made of images."""

from __future__ import annotations

import numpy as np
import pytest
from kcnn.arch.engine import Result
from kcnn.arch.errors import KcnnWarning
from kcnn.engines import execute as engines


def test_figures_are_those_of_any_image(work):
    found = work.net.figures()
    timed = work.net.execute(work.few, "tlm")
    assert found.cycles == timed.cycles and found.layers == timed.layers
    assert [row.name for row in found.layers] == ["0", "3"]
    assert [found.clocks[n].cycles for n in (0, 1)] == [row.cycles for row in found.layers]
    assert abs(work.net.estimated_cycles - found.cycles) < 0.1 * found.cycles
    assert "cycles by cause" in str(found) and "<caption>tlm: one batch of 1" in found._repr_html_()
    assert str(found.instructions().rows[0][-1]).startswith("LOAD")


def test_the_reference_has_no_cycles(work):
    found = work.net.execute(work.few)
    assert found.cycles is None and found.clocks == {} and found.instructions() is None
    assert found.outputs(raw=True)["output"].dtype == np.int64


def test_every_machine_tells_the_causes_of_the_tlm(work, monkeypatch):
    genuine = engines.machine
    tlm = work.net.figures()

    def machine(engine, *rest):
        result = genuine("tlm", *rest)
        return result if engine == "tlm" else Result(
            engine, result.cycles, result.memory, result.starts, result.ends, result.tensors)

    monkeypatch.setattr(engines, "machine", machine)
    rtl = work.net.figures("myhdl")
    assert rtl.engine == "myhdl" and rtl.clocks == tlm.clocks and rtl.layers == tlm.layers


def test_random_waits_change_cycles_only(work):
    found = [work.net.execute(work.few[:1], "tlm", memory_seed=seed) for seed in (1, 2)]
    assert found[0].cycles != found[1].cycles
    assert (found[0].outputs()["output"] == found[1].outputs()["output"]).all()


def test_what_is_cut_and_at_its_limits_is_counted(work):
    x = work.ready.copy()
    x[0, 0, 0, :2] = 3
    assert work.net.execute(work.ready, preprocessed=True).inputs_cut == 0
    with pytest.warns(KcnnWarning, match="2 of 960 values of input 'input' lie outside"):
        found = work.net.execute(x, preprocessed=True)
    assert found.to_json()["inputs_cut"] == 2
