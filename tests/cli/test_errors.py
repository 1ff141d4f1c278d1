"""Bad input: one sentence, exit code 2, no file made or changed."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from kcnn.engines import execute as engines


@pytest.fixture
def folder(hand, net, images, tmp_path):
    """A folder of good and bad files; the test fails if a command changes it."""
    np.save(tmp_path / "float64.npy", hand.images(2).astype(np.float64))
    bad = hand.images(2)
    bad[1, 0, 2, 3] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    bad[1, 0, 2, 3] = np.inf
    np.save(tmp_path / "inf.npy", bad)
    np.save(tmp_path / "flat.npy", hand.images(2).reshape(2, 16))
    np.save(tmp_path / "wide.npy", np.zeros((2, 1, 4, 5), np.float32))
    np.save(tmp_path / "black.npy", np.zeros((2, 1, 4, 4), np.float32))
    np.save(tmp_path / "none.npy", np.zeros((0, 1, 4, 4), np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=hand.images(1), b=hand.images(1))
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "cut.npy").write_bytes(images.read_bytes()[:-10])
    (tmp_path / "nothing").write_bytes(b"")
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    (tmp_path / "cut.kbin").write_bytes(net.read_bytes()[:-1])
    flipped = bytearray(net.read_bytes())
    flipped[200] ^= 4
    (tmp_path / "flipped.kbin").write_bytes(flipped)
    _lying_header(tmp_path / "huge.npy")
    header = (tmp_path / "nan.npy").read_bytes()
    (tmp_path / "open.npy").write_bytes(header.replace(b"}", b"{"))
    (tmp_path / "good.toml").write_text("lanes = 3\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


def _lying_header(path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {
        "descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1, 4, 4)})
    path.write_bytes(buffer.getvalue())


def state(folder):
    """Everything in a folder."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None
            for path in folder.rglob("*")}


RUN = "run net.kbin --input x.npy --engine tlm"
COSIM = "cosim net.kbin --input x.npy --engines reference,tlm"
COMPILE = "compile model.py:net --calibration x.npy --config tiny -o out.kbin"
CASES = [
    ("run net.kbin --input float64.npy --engine tlm -o y.npy", "is float64, not float32"),
    ("run net.kbin --input nan.npy --engine tlm -o y.npy", "holds nan at (1, 0, 2, 3)"),
    ("run net.kbin --input inf.npy --engine tlm -o y.npy", "holds inf at"),
    ("run net.kbin --input flat.npy --engine tlm -o y.npy", "(N, C, H, W) is needed"),
    ("run net.kbin --input wide.npy --engine tlm -o y.npy", "the network takes (N, 1, 4, 4)"),
    ("run net.kbin --input none.npy --engine tlm -o y.npy", "empty"),
    ("run net.kbin --input objects.npy --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input huge.npy --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input open.npy --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input cut.npy --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input cut.npz --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input nothing --engine tlm -o y.npy", "no .npy or .npz file"),
    ("run net.kbin --input text --engine tlm -o y.npy",
     "text: no .npy or .npz file of plain numbers (it begins otherwise); write it with numpy.save "
     "or numpy.savez"),
    ("run net.kbin --input two.npz --engine tlm -o y.npy", "name the one to use x"),
    ("run net.kbin --input empty.npz --engine tlm -o y.npy", "holds the arrays (none)"),
    ("run net.kbin --input folder --engine tlm -o y.npy", "folder"),
    ("run net.kbin --input missing.npy --engine tlm -o y.npy", "missing.npy: cannot be read"),
    ("run missing.kbin --input x.npy --engine tlm -o y.npy", "missing.kbin: cannot be read"),
    ("run cut.kbin --input x.npy --engine tlm -o y.npy", "cut.kbin"),
    ("run flipped.kbin --input x.npy --engine tlm -o y.npy", "flipped.kbin"),
    ("run text --input x.npy --engine tlm -o y.npy", "not that of a .kbin file"),
    ("run nothing --input x.npy --engine tlm -o y.npy", "nothing"),
    ("run net.kbin --input x.npy --engine fpga -o y.npy", "there is no engine 'fpga'"),
    ("run net.kbin --input x.npy -o y.npy", "--engine"),
    (RUN + " -o text/y.npy", "text/y.npy: cannot be written (Not a directory); choose a place"),
    (RUN + " -o folder", "folder: is a folder"),
    (RUN + " -o y.npy --json text/a/f.json", "text/a/f.json: cannot be written"),
    (RUN + " -o y.npy --json y.npy", "is asked for twice"),
    (RUN + " -o y.npy --vcd y.vcd", "engine tlm has no waveforms"),
    (RUN + " -o y.npy --config small",
     "the binary: compiled for lanes=4, but configuration 'small' has lanes=16"),
    (RUN + " -o y.npy --config huge", "no configuration 'huge'"),
    (RUN + " -o y.npy --memory-seed -1", "--memory-seed"),
    ("compile net.pt2 --config tiny --stop-after passes", "'--stop-after': 'passes' is not one of"),
    (RUN + " -o y.npy --clock 0", "--clock: 0 MHz is no clock"),
    (RUN + " -o y.npy --clock nan", "--clock: nan MHz is no clock"),
    (RUN + " -o y.npy --colour", "--colour"),
    (COSIM + ",tlm --json c.json", "an engine is named twice"),
    (COSIM + ",foo --json c.json", "there is no engine 'foo'"),
    ("cosim net.kbin --input x.npy --engines , --json c.json", "there is no engine ''"),
    (COSIM + " --min-sqnr 10 --json c.json", "--golden"),
    (COSIM + " --shrink text --json c.json", "text: is a file"),
    (COSIM + " --golden missing.pt2 --json c.json", "missing.pt2"),
    (COMPILE.replace("tiny", "medium"), "no configuration 'medium'"),
    (COMPILE.replace("tiny", "good.toml"), "good.toml"),
    (COMPILE.replace("x.npy", "nan.npy"), "holds nan"),
    (COMPILE.replace("x.npy", "black.npy"), "black.npy: all values are 0.0; give typical images"),
    (COMPILE, "model.py"),
    (COMPILE + " --batch 0", "--batch"),
    (COMPILE + " --clusters many", "--clusters"),
    ("convert --config tiny --hdl systemc -o hdl", "no language 'systemc'"),
    ("convert --config tiny --hdl verilog -o text", "text: is a file"),
    ("convert --config medium --hdl verilog -o hdl", "no configuration 'medium'"),
    ("disasm missing.kbin", "missing.kbin: cannot be read"),
    ("disasm cut.kbin", "cut.kbin"),
    ("asm text -o out.kbin", "text"),
    ("asm binary -o out.kbin", "is not UTF-8"),
    ("asm missing -o out.kbin", "missing: cannot be read"),
    ("info flipped.kbin --json i.json", "flipped.kbin"),
    ("configs --json text/c.json", "text/c.json: cannot be written"),
    ("simulate net.kbin", "No such command 'simulate'"),
    ("--colour", "--colour"),
]


@pytest.mark.parametrize("line, sentence", CASES, ids=[line for line, _ in CASES])
def test_bad_input_is_refused(kcnn, folder, monkeypatch, line, sentence):
    monkeypatch.chdir(folder)
    before = state(folder)
    ran = kcnn(*line.split())
    assert ran.code == 2, ran
    assert ran.err.startswith("kcnn: ") and ran.err.count("\n") == 1 and sentence in ran.err
    assert "Traceback" not in ran.err + ran.out
    assert state(folder) == before


def test_a_failing_engine_leaves_old_files_alone(kcnn, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "y.npy").write_text("old")
    before = state(folder)

    def machine(*_, **__):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(engines, "machine", machine)
    ran = kcnn(*RUN.split(), "-o", "y.npy", "--json", "f.json")
    assert ran.code == 2 and ran.err == "kcnn: /somewhere: No space left on device\n"
    assert state(folder) == before


def test_a_missing_tool_is_named(kcnn, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "/nonexistent")
    for engine in ("icarus", "verilator", "ghdl"):
        ran = kcnn("run", "net.kbin", "--input", "x.npy", "--engine", engine, "-o", "y.npy")
        assert ran.code == 2 and "apt-get install" in ran.err
        ran = kcnn("cosim", "net.kbin", "--input", "x.npy", "--engines", f"reference,tlm,{engine}")
        assert ran.code == 2 and "apt-get install" in ran.err and ran.out == ""
    assert not (folder / "y.npy").exists()


def test_a_pipe_may_close_early(net):
    command = f"{sys.executable} -m kcnn.cli disasm {net} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith(".format") and done.stderr == ""


def test_zip_tricks_are_refused(kcnn, net, tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    ran = kcnn("run", net, "--input", tmp_path / "odd.npz", "--engine", "reference")
    assert ran.code == 2 and ran.err.startswith("kcnn: ")


@pytest.mark.parametrize("arguments", [
    "compile evil.pt2 --calibration x.npy --config tiny -o out.kbin",
    "compress evil.pt2 --data x.npy --budget 0.1 -o out.pt2",
    "cosim net.kbin --input x.npy --engines tlm --golden evil.pt2",
    "accuracy net.kbin --data x.npy --golden evil.pt2",
])
def test_a_network_that_can_run_code_needs_trust(kcnn, net, images, tmp_path, monkeypatch,
                                                 arguments):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.pt2", "w") as archive:
        archive.writestr("evil/models/model.json", "{}")
        archive.writestr("evil/data/constants/opaque_obj_0", b".")
    monkeypatch.setattr("kcnn.api.accuracy.check_program", lambda *_: None)
    before = state(tmp_path)
    ran = kcnn(*arguments.split())
    assert ran.code == 2 and ran.err == (
        "kcnn: model evil.pt2: it holds the member 'data/constants/opaque_obj_0', which can "
        "run code and no plain export has; if you trust who made the file, go on with --trust\n")
    ran = kcnn(*arguments.split(), "--trust")
    assert ran.code == 2 and "model evil.pt2: torch.export cannot load it" in ran.err
    assert state(tmp_path) == before
