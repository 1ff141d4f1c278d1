"""Files that mean harm: one sentence or a defined run, within 2 s and 1 GiB."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import canonical
import hostile
import numpy as np
import pytest
import strategies
from kcnn.arch import kbin, text
from kcnn.arch.kbin import Section
from kcnn.compiler import pipeline

WORKER = Path(hostile.__file__).with_name("hostile_worker.py")
SECONDS = 2
QUICK = 6                 # mutations of a section of a program
MANY = 500


def tried(folder: Path, beside: Path, *verbs: str) -> list[dict]:
    """Every file of a folder with every verb; `beside`: images, or a binary for data files."""
    done = subprocess.run([sys.executable, WORKER, beside, folder, *verbs], capture_output=True,
                          text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(verbs) * len(list(folder.iterdir()))
    return found


def harmless(found: list[dict], refused: bool = False) -> None:
    """Each gave one printable sentence, or (unless refused) ran to its end."""
    for one in found:
        assert one["code"] in ((2,) if refused else (0, 1, 2)), one
        assert one["seconds"] < SECONDS and not one["bad_output"], one
        said = one["said"].removesuffix("\n")
        if one["code"] == 2:
            assert said.startswith("kcnn: ") and said.isprintable() and len(said) < 700, one
            assert "recompile" in said or ";" in said or ":" in said, one


def compiled():
    """A strided convolution, a maximum and a linear layer, for two images."""
    net = canonical.Builder(canonical.TINY, (1, 9, 9), seed=3)
    first = net.conv("x", 4, stride=(2, 2), padding=(1, 1, 1, 1))
    net.output(net.conv(first, 3, (5, 5), radix=True, kind="Linear"))
    return pipeline.back(net.quantised(), canonical.TINY, 2)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """name -> (program, file of images for it)"""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    found = {"small": strategies.small_program(), "compiled": compiled()}
    for name, program in found.items():
        kind = program.tensors[program.inputs[0].tensor].kind
        np.save(folder / f"{name}.npy", rng.normal(size=(1, *kind.shape[1:])).astype(np.float32))
    return {name: (program, folder / f"{name}.npy") for name, program in found.items()}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The files in a folder of their own, numbered in their order."""
    place = folder / "files"
    place.mkdir()
    for number, (name, data) in enumerate(files.items()):
        short = "".join(c if c.isalnum() else "_" for c in name)[:40]
        (place / f"{number:04} {short}.kbin").write_bytes(data)
    return place


def test_files_that_once_did_harm(programs, tmp_path):
    program, images = programs["small"]
    files = hostile.files(program)
    assert all(len(data) < 1 << 19 for data in files.values())
    found = tried(written(tmp_path, files), images, "reference")
    harmless(found)
    accepted = [one["file"] for one in found if one["code"] != 2]
    for name in accepted:
        assert "scale_1e" in name or "layer_kind" in name or "output" in name, accepted


@pytest.mark.parametrize("name", ["small", "compiled"])
def test_mutations(programs, tmp_path, name):
    program, images = programs[name]
    files = {f"{section.name} {i}": data for section in Section
             for i, data in enumerate(hostile.mutations(program, section, QUICK))}
    harmless(tried(written(tmp_path, files), images, "tlm"))


@pytest.mark.long
@pytest.mark.parametrize("section", list(Section), ids=[s.name.lower() for s in Section])
@pytest.mark.parametrize("name", ["small", "compiled"])
def test_many_mutations_of_a_section(programs, tmp_path, section, name):
    program, images = programs[name]
    files = {str(i): data for i, data in enumerate(
        hostile.mutations(program, section, MANY, seed=1))}
    harmless(tried(written(tmp_path, files), images, "info", "disasm", "cosim"))


def test_the_table_and_the_streams_cannot_say_different_things(programs, tmp_path):
    program, images = programs["compiled"]

    def flip(plain, rest):
        size = len(rest[0])
        rest[0] = bytes(rest[0][:size // 2]) + bytes(b ^ 1 for b in rest[0][size // 2:])

    harmless(tried(written(tmp_path, {"flipped": hostile.edited(program, flip)}), images,
                   "reference"), refused=True)


def test_hostile_texts(programs, tmp_path):
    program, images = programs["small"]
    good = text.disassemble(program)
    huge = "0x" + "f" * 10_000
    (memory,) = (line for line in good.splitlines() if line.startswith(".memory"))
    files = {
        "memory": good.replace(memory, f".memory {huge}"),
        "memory minus": good.replace(memory, ".memory -64"),
        "gigabytes": good.replace(memory, f".memory {1 << 32}"),
        "field": good.replace("rows=", f"rows={huge} #", 1),
        "depth": good.replace(".meta {", ".meta " + "[" * 100_000 + "{"),
        "number": good.replace('"macs":', f'"macs":{10 ** 300} ,"x":', 1),
        "name": good.replace('"name":"layer"', '"name":"\\u001b[2J"'),
        "directive": ".\x1b[31m\n", "scale": good.replace('"scale":', '"scale":1e308,"s":', 1),
        "lines": "\n" * 100_000}
    place = written(tmp_path, {name: value.encode() for name, value in files.items()})
    harmless(tried(place, images, "asm"), refused=True)


def test_hostile_data(programs, tmp_path):
    program, _ = programs["small"]
    kbin.write(tmp_path / "net.kbin", program)
    files = {}
    for name, shape in (("large", (1 << 20, 2, 4, 5)), ("larger", (1 << 40, 2, 4, 5))):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {
            "descr": "<f4", "fortran_order": False, "shape": shape})
        files[f"{name} npy"] = header.getvalue()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            file.writestr("x.npy", header.getvalue() + bytes(160 << 20 if name == "large" else 9))
        files[f"{name} npz"] = packed.getvalue()
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    files["objects"] = objects.getvalue()
    assert all(len(data) < 1 << 20 for data in files.values())
    harmless(tried(written(tmp_path, files), tmp_path / "net.kbin", "input"), refused=True)


def test_hostile_machines(programs, tmp_path):
    program, _ = programs["small"]
    kbin.write(tmp_path / "net.kbin", program)
    head = "lanes = 4\nshare = 2\ndrain = 1\ncode_bits = 4\nmemory_codes = 16384\n"
    head += "tap_slots = 1024\nbase_entries = 256\nport_bits = 64\n"
    texts = [head + f"latency = {value}\n" for value in
             (9 * 10 ** 18, 1 << 63, "0x" + "f" * 5000, "9" * 5000, 1e300, "nan", "[[[]]]", -1)]
    texts += [head + 'name = "\\u001b[31m"\n', "a = " + "[" * 100_000, head + "\x1b = 1\n",
              "x" * (1 << 17), head.replace("16384", str(1 << 62)), head.replace("4", "\uffff", 1)]
    files = {str(i): value.encode() for i, value in enumerate(texts)}
    place = written(tmp_path, files)
    for file in place.iterdir():
        file.rename(file.with_suffix(".toml"))
    harmless(tried(place, tmp_path / "net.kbin", "config"), refused=True)


def test_endless_files_are_not_read(kcnn, net):
    for arguments in (("info", "/dev/zero"), ("run", net, "--input", "/dev/zero", "--engine",
                                              "tlm")):
        ran = kcnn(*arguments)
        assert ran.code == 2 and ran.err.isprintable() != ran.err.endswith("\n")
