"""Machines by name."""

from __future__ import annotations

import pytest
from kcnn import api
from kcnn.rtl import convert as rtl


def test_the_machines_that_come_with_kcnn_are_listed():
    assert [config.name for config in api.configs()] == ["small", "tiny"]


def test_a_machine_can_be_named_or_given(monkeypatch, tmp_path):
    asked = []

    def convert(config, hdl, folder):
        asked.append((config.name, hdl, folder))
        return rtl.Converted([folder / "machine.v"], "")

    monkeypatch.setattr(rtl, "convert", convert)
    for config in ("tiny", api.Config.preset("tiny")):
        assert api.convert(config, "verilog", str(tmp_path)) == [tmp_path / "machine.v"]
    assert asked == 2 * [("tiny", "verilog", tmp_path)]


def test_there_are_two_languages(tmp_path):
    with pytest.raises(api.KcnnError, match="no language 'systemc'; choose verilog or vhdl"):
        api.convert("tiny", "systemc", tmp_path)


@pytest.mark.parametrize("config", [None, 4])
def test_what_names_no_machine_is_refused(config, tmp_path):
    with pytest.raises(api.KcnnError, match=r"no configuration; give a preset .small, tiny"):
        api.convert(config, "verilog", tmp_path)


def test_a_file_is_no_folder_for_a_machine(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(api.KcnnError, match="file: cannot be written .*; give another folder"):
        api.convert("tiny", "verilog", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
