"""A compiled network in Python: what it does is what the command line does."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from kcnn import api
from kcnn.arch import text
from kcnn.cli.__main__ import run


def test_what_runs_gives_back_what_it_was_given(work):
    y = work.net.run(work.few)
    assert isinstance(y, np.ndarray) and y.dtype == np.float32 and y.shape == (5, 4)
    found = work.net.run(torch.from_numpy(work.few), "tlm")
    assert isinstance(found, torch.Tensor) and (found.numpy() == y).all()
    assert (work.net.run(work.ready, preprocessed=True) == y).all()
    with torch.no_grad():
        exact = work.module(torch.from_numpy(work.ready)).numpy()
    assert np.abs(y - exact).max() < 0.2 * np.abs(exact).max()


def test_files_are_images_too(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", work.few)
    assert (work.net.run("x.npy") == work.net.run(work.few)).all()


def test_a_saved_program_does_the_same_as_the_command_line(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work.net.save("net.kbin")
    np.save("x.npy", work.few)
    again = api.load("net.kbin")
    assert (again.run(work.few) == work.net.run(work.few)).all()
    assert run(["run", "net.kbin", "--input", "x.npy", "--engine", "tlm", "-o", "y.npy"]) == 0
    assert (np.load("y.npy") == work.net.run(work.few)).all()
    assert again.describe() == work.net.describe() and again.fidelity == work.net.fidelity


def test_text_is_a_program_too(work):
    found = api.assemble(work.net.disassemble())
    assert text.disassemble(found.program) == work.net.disassemble()
    with pytest.raises(api.KcnnError, match="the text"):
        api.assemble("nothing")


# ---- what is refused, and what is told -------------------------------------------------------
@pytest.mark.parametrize("images, said", [
    (lambda work: work.few.astype(np.float64), "images: the array is float64, not float32"),
    (lambda work: {"a": work.few, "b": work.few}, "images: holds the arrays a, b; name the one"),
    (lambda work: work.few[:, :, :4], "give those, or data after it with preprocessed=True"),
    (lambda work: "missing.npy", "missing.npy: cannot be read")])
def test_errors_name_arguments(work, images, said):
    with pytest.raises(api.KcnnError, match=re.escape(said)):
        work.net.run(images(work))


@pytest.mark.parametrize("call, said", [
    (lambda net, x: net.run(x, "fpga"), "there is no engine 'fpga'"),
    (lambda net, x: net.execute(x, "tlm", vcd="a.vcd"), "vcd: engine tlm has no waveforms"),
    (lambda net, x: net.compare(x, ["tlm", "tlm"]), "engines: an engine is named twice"),
    (lambda net, x: net.execute(x, "tlm", clock=0), "clock: 0 MHz is no clock"),
    (lambda net, x: net.execute(x, "tlm", memory_seed=-1), "memory seed -1 is negative"),
    (lambda net, x: net.run(None), "images: the array is a NoneType, no array of numbers; give a"),
    (lambda net, x: net.compare(x, golden=5), "the model is a int; give a torch.nn.Module"),
    (lambda net, x: net.compare(x, []), "engines: no engine is named; name at least one"),
    (lambda net, x: net.compare(x, golden=torch.nn.Conv2d(3, 6, 3).eval()), "golden: it has no"),
    (lambda net, x: net.accuracy(x, np.full(5, 9)), "images: image 0 is of class 9")])
def test_what_does_not_fit_is_refused(work, call, said):
    with pytest.raises(api.KcnnError, match=re.escape(said)):
        call(work.net, work.few)


def test_waveforms_go_to_a_path_of_either_kind(work, tmp_path):
    work.net.execute(work.few[:1], "myhdl", vcd=str(tmp_path / "run.vcd"))
    assert (tmp_path / "run.vcd").stat().st_size > 0


def test_another_machine_is_refused(work, tmp_path):
    work.net.save(tmp_path / "net.kbin")
    with pytest.raises(api.KcnnError, match="the binary: compiled for lanes=4, but"):
        api.load(tmp_path / "net.kbin", "small")


def test_a_warning_points_at_the_line_that_asked(work):
    with pytest.warns(api.KcnnWarning, match="do not look like those of calibration") as told:
        work.net.run(work.few / np.float32(255), preprocessed=True)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        work.net.run(work.few)


def test_progress_is_told(work):
    said = []
    work.net.compare(work.few[:2], ["reference", "tlm"], progress=said.append)
    assert said == [f"{name}: batch {n} of 2" for n in (1, 2) for name in ("reference", "tlm")]


def test_torch_stays_out_where_no_float_network_is_read(work, tmp_path):
    work.net.save(tmp_path / "net.kbin")
    np.save(tmp_path / "x.npy", work.few)
    code = ("import sys; from kcnn import api; net = api.load('net.kbin'); net.run('x.npy', 'tlm');"
            "str(net), net.disassemble(), net.compare('x.npy').equal, str(net.figures());"
            "print([m for m in ('torch', 'sklearn', 'networkx') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True)
    assert done.stdout == "[]\n", done.stderr
