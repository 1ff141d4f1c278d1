"""The workflow of the public forge calls what a developer calls, on the Pythons of setup.cfg."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_it_runs_on_every_python_that_setup_cfg_names() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    (matrix,) = re.findall(r"python: \[(.*)\]", WORKFLOW)
    assert re.findall(r"[\d.]+", matrix) == named
    assert config["options"]["python_requires"] == f">={named[0]}"


def test_it_calls_targets_that_exist() -> None:
    targets = re.findall(r"\bmake ([\w-]+)", WORKFLOW)
    assert targets == ["test"]
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_it_installs_the_tools_of_the_makefile() -> None:
    (command,) = re.findall(r"\$\((sed .*)\)", WORKFLOW)
    found = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.split() == ["iverilog", "verilator", "ghdl", "yosys"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("word", "wanted"), [
    ("DURATIONS=20", " --durations=20 "), ("DURATIONS=0", ""), ("JOBS=2", "")])
def test_make_test_tells_durations_when_asked(word: str, wanted: str) -> None:
    told = {name: value for name, value in os.environ.items()
            if name not in ("DURATIONS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES")}
    printed = subprocess.run(["make", "-n", "test", word], cwd=ROOT, capture_output=True, text=True,
                             env=told)
    (line,) = [line for line in printed.stdout.splitlines() if " pytest " in line]
    assert ("--durations" in line) == bool(wanted) and wanted in line
