"""Mutants run the tests in a fork, and those that all tests pass are told."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from scripts import ROOT, script

pytest.importorskip("cosmic_ray")
survivors = script("bench/mutation/survivors")

RUN = """
import sys
from pathlib import Path
import survivors
from mutants import Mutant
folder = Path(sys.argv[1])
texts = {"right": "def add(a, b): return b + a\\n", "wrong": "def add(a, b): return a - b\\n",
         "broken": "def add(a, b) return\\n", "wild": "import os\\nos.abort()\\n"}
made = [Mutant(name, "", "", text) for name, text in texts.items()]
left = survivors.survivors(folder / "adder.py", folder / "test_adder.py", made, 2)
print([mutant.scope for mutant in left])
"""


def test_a_mutant_survives_if_no_test_fails(tmp_path: Path):
    (tmp_path / "adder.py").write_text("def add(a, b): return a + b\n")
    (tmp_path / "test_adder.py").write_text("import adder\n\n\ndef test(): "
                                            "assert adder.add(1, 2) == 3\n")
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "bench/mutation"),
                                          "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert done.stdout == "['right']\n", done.stderr
    assert (tmp_path / "adder.py").read_text() == "def add(a, b): return a + b\n"


def test_a_run_without_end_is_ended():
    def forever() -> int:
        while True:
            pass
    _, status = os.waitpid(survivors.forked(forever, 1), 0)
    assert os.WIFSIGNALED(status)


def test_the_score_is_the_part_that_is_noticed():
    mutant = survivors.Mutant("f", "a", "b", "b\n")
    assert survivors.Score(8, 1, (mutant, mutant)).part == 0.75
    assert survivors.Score(0, 0, ()).part == 1


def test_equivalent_mutants_are_of_lines_that_are_there_and_have_a_reason():
    for entry in tomllib.loads(survivors.EQUIVALENT.read_text())["mutant"]:
        lines = (ROOT / entry["file"]).read_text().splitlines()
        assert entry["before"] in " ".join(line.strip() for line in lines), entry
        assert entry["before"] != entry["after"] and entry["reason"]
    assert all((ROOT / name).exists() for name in survivors.FILES)
