"""Conversion of the whole machine: the same bytes each time, whole or not at all, tools content."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from kcnn.arch.config import Config
from kcnn.arch.errors import KcnnError
from kcnn.rtl import convert as module
from kcnn.rtl.convert import convert
from tools import need, output_of

CONFIG = dataclasses.replace(Config.preset("tiny"), memory_codes=256, tap_slots=16,
                             base_entries=16)
NAMES = {"verilog": ["kcnn_machine.v"], "vhdl": ["pck_myhdl_011.vhd", "kcnn_machine.vhd"]}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hdl")
    return {hdl: convert(CONFIG, hdl, folder / hdl) for hdl in NAMES}


@pytest.mark.parametrize("hdl", NAMES)
def test_the_same_bytes_each_time(hdl, converted, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    again = convert(CONFIG, hdl, tmp_path)
    first = converted[hdl]
    assert [path.name for path in again.files] == NAMES[hdl]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES[hdl])
    assert again.digest == first.digest
    for path, before in zip(again.files, first.files, strict=True):
        assert path.read_bytes() == before.read_bytes()
    text = again.files[-1].read_text()
    assert "Date" not in text and str(tmp_path) not in text


def test_a_failed_conversion_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "kcnn_machine.v").write_text("as before")
    monkeypatch.setattr(module.sys, "executable", shutil.which("false"))
    with pytest.raises(KcnnError, match=r"tiny: the conversion to verilog failed \(nothing was s"):
        convert(CONFIG, "verilog", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kcnn_machine.v"]
    assert (tmp_path / "kcnn_machine.v").read_text() == "as before"


def test_an_unknown_language_is_refused(tmp_path):
    with pytest.raises(KcnnError, match="no language 'systemc'; choose verilog or vhdl"):
        convert(CONFIG, "systemc", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_verilator_and_yosys_accept_the_verilog(converted):
    need("verilator", "yosys")
    path = converted["verilog"].files[0]
    said = output_of(["verilator", "--lint-only", "-Wno-WIDTH", path.name], path.parent)
    assert not said.strip(), said
    output_of(["yosys", "-q", "-p", f"read_verilog {path.name}; hierarchy -check -top machine; "
               "proc; check -assert"], path.parent)


def test_ghdl_accepts_the_vhdl(converted, tmp_path):
    need("ghdl")
    said = output_of(["ghdl", "-a", "--std=08", f"--workdir={tmp_path}",
                      *map(str, converted["vhdl"].files)], tmp_path)
    assert not said.strip(), said


def test_the_ports_are_those_of_the_contract(converted):
    text = converted["verilog"].files[0].read_text()
    head = text[text.index("module machine"):text.index(");")]
    assert [name.strip(" ,\n") for name in head.split("(")[1].split(",")] == [
        "clk", "reset", "start", "done", "mem_start", "mem_write", "mem_address", "mem_beats",
        "mem_wdata", "mem_valid", "mem_rdata", "trace_write", "trace_row", "trace_odd_row",
        "trace_mask", "trace_codes", "trace_started", "trace_ended"]
