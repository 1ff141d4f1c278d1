"""What every verb shares: help, versions, the round trip through text, info, configs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest
from kcnn.arch.config import Config, meanings, presets
from kcnn.arch.kbin import FORMAT

VERBS = ("compile", "compress", "run", "accuracy", "cosim", "convert", "disasm", "asm", "info",
         "configs")


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(kcnn, verb):
    ran = kcnn(verb, "--help")
    assert ran.code == 0 and f"kcnn {verb}" in ran.out.partition("Options:")[0].partition("\n\n")[2]


def test_help_tells_what_exit_codes_mean_and_outputs_are_called(kcnn):
    words = " ".join(kcnn("--help").out.split())
    assert "1 a difference was found, or less is left than --min-sqnr with --strict; 2" in words
    assert "output_0, output_1, ..." in " ".join(kcnn("run", "--help").out.split())


def test_help_lists_the_verbs(kcnn):
    for arguments in ([], ["--help"]):
        ran = kcnn(*arguments)
        assert ran.code == 0
        listed = ran.out.partition("Commands:")[2]
        assert tuple(line.split()[0] for line in listed.splitlines() if line.strip()) == VERBS


def test_version_names_package_and_format(kcnn):
    assert kcnn("--version").out == f"kcnn {metadata.version('kcnn')}, .kbin format {FORMAT}\n"


def test_text_round_trip_is_exact(kcnn, net, tmp_path):
    text = tmp_path / "net.asm"
    text.write_text(kcnn("disasm", net).out)
    assert kcnn("asm", text, "-o", tmp_path / "again.kbin").code == 0
    assert (tmp_path / "again.kbin").read_bytes() == net.read_bytes()


def test_info_describes_the_binary(kcnn, net, tmp_path):
    ran = kcnn("info", net, "--json", tmp_path / "i.json")
    found = json.loads((tmp_path / "i.json").read_text())
    assert ran.code == 0
    assert found["config"] == "tiny" and found["file_bytes"] == net.stat().st_size
    assert found["bytes"] == 320 + 64 + 160         # code, streams, tables
    assert found["float32_bytes"] == 16 and found["instructions"] == 11
    assert [layer["name"] for layer in found["layers"]] == ["first", "second"]
    assert found["layers"][0]["taps"] == 3 and found["layers"][0]["issued"] == 12


def test_configs_lists_the_presets(kcnn, tmp_path):
    ran = kcnn("configs", "--json", tmp_path / "c.json")
    found = json.loads((tmp_path / "c.json").read_text())
    assert ran.code == 0 and sorted(found) == presets()
    assert Config.from_dict(found["tiny"], "tiny", "test") == Config.preset("tiny")
    for field in found["tiny"].keys() - {"name"}:
        row = next(line for line in ran.out.splitlines() if line.split()[:1] == [field])
        assert f"{found['small'][field]:,}" in row and row.rstrip().endswith(meanings()[field])


HEAVY = ("torch", "networkx", "sklearn", "scipy", "matplotlib")
READ_NO_NETWORK = (
    "--help", "configs", "info {net}", "disasm {net}", "asm {text} -o {folder}/back.kbin",
    "run {net} --input {x} --engine tlm", "run {net} --input {x} --engine reference",
    "cosim {net} --input {x} --engines reference,tlm",
    "convert --config tiny --hdl verilog -o {folder}/hdl")


def test_verbs_that_read_no_network_import_no_torch(kcnn, net, images, tmp_path):
    """One process tells of all, since what is imported stays so."""
    text = tmp_path / "net.kasm"
    text.write_text(kcnn("disasm", net).out)
    verbs = [verb.format(net=net, x=images, text=text, folder=tmp_path).split()
             for verb in READ_NO_NETWORK]
    code = ("import sys; from kcnn.cli.__main__ import run\n"
            f"for verb in {verbs!r}:\n"
            f"    found = run(verb), [name for name in {HEAVY!r} if name in sys.modules]\n"
            "    print(verb[0], *found, file=sys.stderr)\n")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stderr.splitlines() == [f"{verb[0]} 0 []" for verb in verbs]
