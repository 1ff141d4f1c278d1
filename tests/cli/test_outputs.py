"""Files appear whole, with their folders, and never in the place of an input."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kcnn.arch import config
from kcnn.arch.errors import KcnnError
from kcnn.cli.outputs import Outputs, write_bytes, write_json
from kcnn.cli.stopping import Stopped

RUN = "run net.kbin --input x.npy --engine reference"
COMPILE = "compile model.py:network --calibration cal.npz --config machine.toml"
PRESET = Path(config.__file__).parent / "presets" / "tiny.toml"
MODEL = """
import torch
from torch import nn
import layers

def network():
    return layers.net, (torch.zeros(1, 1, 4, 4),)
"""


@pytest.fixture
def folder(net, images, tmp_path, monkeypatch):
    """One of everything that a verb reads, with a symbolic and a hard link to each."""
    np.savez(tmp_path / "cal.npz", x=np.load(images), y=np.arange(3))
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "layers.py").write_text(
        "import torch\nfrom torch import nn\ntorch.manual_seed(0)\n"
        "net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()\n")
    (tmp_path / "net.asm").write_text("text")
    (tmp_path / "machine.toml").write_bytes(PRESET.read_bytes())
    (tmp_path / "net.pt2").write_bytes(b"PK")
    for path in list(tmp_path.iterdir()):
        (tmp_path / f"soft{path.suffix}-{path.stem}").symlink_to(path)
        os.link(path, tmp_path / f"hard{path.suffix}-{path.stem}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("line, read", [
    (f"{RUN} -o", "net.kbin"), (f"{RUN} -o", "x.npy"), (f"{RUN} --json", "x.npy"),
    ("run net.kbin --input x.npy --engine myhdl --vcd", "net.kbin"),
    (f"{RUN} --config machine.toml -o", "machine.toml"),
    (f"{COMPILE} -o", "model.py"), (f"{COMPILE} -o", "cal.npz"), (f"{COMPILE} -o", "machine.toml"),
    (f"{COMPILE} -o out.kbin --json", "cal.npz"),
    ("compile model:network --calibration cal.npz --config tiny -o", "model.py"),
    ("compile net.pt2 --calibration cal.npz --config tiny -o", "net.pt2"),
    ("compress net.pt2 --data cal.npz --budget 0.1 -o", "net.pt2"),
    ("compress net.pt2 --data cal.npz --budget 0.1 -o", "cal.npz"),
    ("compress net.pt2 --data cal.npz --budget 0.1 -o out.pt2 --report", "net.pt2"),
    ("compress net.pt2 --data x.npy --test cal.npz --budget 0.1 -o", "cal.npz"),
    ("cosim net.kbin --input x.npy --engines reference --json", "x.npy"),
    ("cosim net.kbin --input x.npy --engines reference --golden net.pt2 --json", "net.pt2"),
    ("info net.kbin --json", "net.kbin"), ("asm net.asm -o", "net.asm")])
@pytest.mark.parametrize("link", ["", "soft", "hard"])
def test_an_input_is_never_replaced(kcnn, folder, line, read, link):
    stem, suffix = read.split(".")
    output = f"{link}.{suffix}-{stem}" if link else read
    before = state(folder)
    ran = kcnn(*line.split(), output)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert f"{output}: is an input of this command" in ran.err
    assert state(folder) == before
    assert not list(folder.glob(".kcnn*"))


def test_a_module_that_the_model_imports_is_an_input_too(kcnn, folder):
    before = state(folder)
    ran = kcnn(*COMPILE.replace("machine.toml", "tiny").split(), "-o", "layers.py")
    assert ran.code == 2 and "layers.py: is an input of this command" in ran.err
    assert {name: data for name, data in state(folder).items() if "pycache" not in name
            and not name.endswith(".pyc")} == before


def test_files_of_a_folder_replace_no_input(tmp_path):
    (tmp_path / "layer.kbin").write_text("input")
    with pytest.raises(KcnnError, match="layer.kbin: is an input of this command"), Outputs(
            tmp_path / "layer.kbin") as outputs:
        made = outputs.folder(tmp_path)
        (made / "a").write_text("")
        (made / "layer.kbin").write_text("output")
    assert [path.name for path in tmp_path.iterdir()] == ["layer.kbin"]
    assert (tmp_path / "layer.kbin").read_text() == "input"


def test_folders_are_made_with_their_parents_when_all_is_done(kcnn, folder):
    assert kcnn(*RUN.split(), "-o", "a/b/y.npy", "--json", "a/f.json").code == 0
    assert np.load(folder / "a/b/y.npy").shape == (3, 1, 4, 4) and (folder / "a/f.json").exists()
    assert kcnn("configs", "--json", "c/../d/c.json").code == 0 and (folder / "d/c.json").exists()
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        outputs.file(folder / "e/f/g").write_text("")
        outputs.folder(folder / "h/i")
        raise ZeroDivisionError
    assert not (folder / "e").exists() and not (folder / "h").exists()


@pytest.mark.parametrize("first, second", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_outputs_are_not_in_one_anothers_way(tmp_path, first, second):
    with pytest.raises(KcnnError, match="is asked for twice"), Outputs() as outputs:
        outputs.file(tmp_path / first)
        outputs.file(tmp_path / second)
    assert not list(tmp_path.iterdir())


def test_an_error_of_writing_names_what_the_user_named(tmp_path):
    with pytest.raises(KcnnError) as caught, Outputs() as outputs:
        place = outputs.file(tmp_path / "y.json")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            write_json(place, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (f"{tmp_path}/y.json: cannot be written (File too large); make "
                                 "room, or choose another place")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line, file", [
    (f"{RUN} -o y.npy", "y.npy"), (f"{RUN} -o y.npz --raw", "y.npz"), (f"{RUN} --json f", "f"),
    ("run net.kbin --input x.npy --engine myhdl --vcd y.vcd", "y.vcd"),
    ("info net.kbin --json f", "f"), ("configs --json f", "f")])
def test_too_large_a_file_is_named_by_every_verb(folder, line, file):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "kcnn.cli", *line.split()], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
    assert done.returncode == 2, done
    assert done.stderr == (f"kcnn: {folder}/{file}: cannot be written (File too large); make room, "
                           "or choose another place\n")
    assert not (folder / file).exists() and not list(folder.glob(".kcnn*"))


def test_a_full_device_behind_standard_output_is_told(net):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "kcnn.cli", "disasm", net], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        2, "kcnn: standard output: No space left on device\n")


def test_old_files_stay_when_something_fails(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        write_bytes(outputs.file(tmp_path / "a"), b"new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def dumped(place, *names, error=None):
    """What a command does that writes files of these names into a folder, and then fails."""
    with Outputs() as outputs:
        made = outputs.folder(place, keep=True, former=("1.txt", "2.txt", "3.txt"))
        for name in names:
            write_bytes(made / name, name.encode())
        if error is not None:
            raise error


def test_what_an_error_shall_leave_is_placed_and_told(tmp_path, capsys):
    with pytest.raises(KcnnError, match="no such layer"):
        dumped(tmp_path / "out", "1.txt", error=KcnnError("no such layer"))
    assert state(tmp_path) == {"1.txt": b"1.txt"}
    assert capsys.readouterr().err == (
        f"kcnn: warning: {tmp_path}/out: holds what was made before the error\n")


def test_an_error_before_anything_was_made_leaves_nothing_and_is_told_alone(tmp_path, capsys):
    dumped(tmp_path / "out", "1.txt")
    with pytest.raises(KcnnError, match="no such layer"):
        dumped(tmp_path / "out", error=KcnnError("no such layer"))
    assert state(tmp_path) == {"1.txt": b"1.txt"} and not capsys.readouterr().err


def test_a_signal_leaves_nothing(tmp_path):
    with pytest.raises(Stopped):
        dumped(tmp_path / "out", "1.txt", error=Stopped(2))
    assert not state(tmp_path)


def test_files_of_an_earlier_command_make_way(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
    dumped(tmp_path / "out", "1.txt", "2.txt", "3.txt")
    dumped(tmp_path / "out", "1.txt", "2.txt")
    assert state(tmp_path) == {name: name.encode() for name in ("1.txt", "2.txt")} | {
        "mine.txt": b"mine"}


def test_where_nothing_can_be_placed_the_error_stays(tmp_path, capsys):
    place = tmp_path / "out"
    with pytest.raises(KcnnError, match="no such layer"), Outputs() as outputs:
        write_bytes(outputs.folder(place, keep=True) / "1.txt", b"1")
        place.write_bytes(b"in the way")
        raise KcnnError("no such layer")
    assert "cannot be written" in capsys.readouterr().err
