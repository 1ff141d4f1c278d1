"""The speed bench: its table, and an engine measured."""

from __future__ import annotations

import pytest
from scripts import script

speed = script("bench/speed")


def test_rates_are_told_against_the_myhdl_engine(capsys: pytest.CaptureFixture[str]) -> None:
    speed.show([speed.Speed("reference", 0.0, 0.5, None), speed.Speed("myhdl", 0.0, 2.0, 4000),
                speed.Speed("verilator", 5.0, 0.004, 4000)])
    rows = capsys.readouterr().out
    assert "2,000" in rows and "1,000,000" in rows and "500.0" in rows


def test_engines_of_missing_tools_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed.shutil, "which", lambda program: None)
    assert [name for name in speed.engines.ENGINES if speed.available(name)] == [
        "reference", "tlm", "myhdl"]
