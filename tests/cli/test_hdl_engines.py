"""The converted machine behind the command line: conversion, all simulators, waveforms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kcnn.rtl import toolchain
from tools import need

HDL = ("icarus", "ghdl", "verilator")


@pytest.mark.parametrize("hdl, files", [
    ("verilog", {"kcnn_machine.v"}), ("vhdl", {"kcnn_machine.vhd", "pck_myhdl_011.vhd"})])
def test_convert_writes_the_machine(kcnn, tmp_path, hdl, files):
    ran = kcnn("convert", "--config", "tiny", "--hdl", hdl, "-o", tmp_path / "made")
    assert ran.code == 0, ran
    assert {path.name for path in (tmp_path / "made").iterdir()} == files
    assert all(name in ran.out for name in files)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("engine", HDL)
@pytest.mark.parametrize("seed", [None, 7])
def test_every_simulator_agrees_with_the_models(kcnn, net, images, tmp_path, engine, seed):
    need(*toolchain.TOOLS[engine].programs)
    more = [] if seed is None else ["--memory-seed", seed]
    ran = kcnn("cosim", net, "--input", images, "--engines", f"reference,tlm,{engine}", "--json",
               tmp_path / "c.json", *more)
    assert ran.code == 0, ran
    cycles = json.loads((tmp_path / "c.json").read_text())["cycles"]
    assert set(cycles) == {"tlm", engine} and cycles["tlm"] == cycles[engine]


@pytest.mark.parametrize("engine", ["icarus", "ghdl"])
def test_waveforms_and_outputs_are_written(kcnn, net, images, tmp_path, engine):
    need(*toolchain.TOOLS[engine].programs)
    ran = kcnn("run", net, "--input", images, "--engine", engine, "-o", tmp_path / "y.npy",
               "--vcd", tmp_path / "y.vcd")
    assert ran.code == 0, ran
    assert kcnn("run", net, "--input", images, "--engine", "reference", "-o",
                tmp_path / "z.npy").code == 0
    assert (np.load(tmp_path / "y.npy") == np.load(tmp_path / "z.npy")).all()
    text = (tmp_path / "y.vcd").read_text()
    assert "$enddefinitions" in text and "mem_valid" in text
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"net.kbin", "x.npy", "y.npy", "y.vcd", "z.npy"}
