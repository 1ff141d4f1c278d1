"""Engines compared."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

from kcnn.engines import execute as engines


def test_engines_are_compared_and_shown(work):
    found = work.net.compare(work.few[:2], ["reference", "tlm"], golden=work.module)
    assert found.equal and set(found.cycles) == {"tlm"} and found.least_sqnr > 10
    rows = [[cell.text for cell in row]
            for row in ElementTree.fromstring(found._repr_html_()).iter("tr")]
    assert [row[0] for row in rows] == ["tensor", "input", "0", "3", "cycles"]
    assert all(row[2] == "equal" for row in rows[1:-1])
    assert found.to_json()["top1_agreement"] == 1.0
    assert "equal: every tensor on 2 engines" in str(found)


def test_what_differs_is_shown_and_made_small(work, monkeypatch, tmp_path):
    genuine = engines.machine

    def machine(engine, program, memory, model, vcd=None, trace=False):
        broken = memory.copy()
        if engine == "myhdl":
            broken[program.stream_base + 9] ^= 1
        return dataclasses.replace(genuine("tlm", program, broken, model, None, trace),
                                   engine=engine)

    monkeypatch.setattr(engines, "machine", machine)
    found = work.net.compare(work.few[:3], ["tlm", "myhdl"])
    assert not found.equal and len(found.verdict.outcomes) == 1
    assert "myhdl: tensor '0' differs in" in str(found) and "equal:" not in str(found)
    assert any(row[0] == "0" and row[2].endswith(" differ")
               for row in next(iter(found.parts())).rows)
    (said,) = found.shrink(tmp_path)
    assert said.startswith("layer '0' differs by itself on myhdl: see input.npz, layer.kbin")


def test_one_engine_is_compared_with_nothing(work):
    found = work.net.compare(work.few[:1], ["tlm"])
    assert found.equal and "only tlm was run; name a second engine" in str(found)
    assert found.least_sqnr == float("inf") and found.to_json()["top1_agreement"] is None
