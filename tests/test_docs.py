"""The documents: links lead somewhere, files exist, generated pages are fresh, commands work."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kcnn.arch import check, isa, kbin, order, timing
from kcnn.arch.config import Config
from kcnn.arch.pages import isa_page
from kcnn.compiler.pages import supported_page
from kcnn.rtl.port import ADDRESS_BITS, BEATS_BITS
from kcnn.rtl.signals import CHANNEL_RING
from scripts import ROOT, script

TINY = Config.preset("tiny")
PAGES = sorted([*ROOT.glob("*.md"),
                *(page for folder in ("docs", "bench") for page in (ROOT / folder).rglob("*.md"))])
FOLDERS = ("api", "arch", "bench", "cli", "compiler", "compress", "docs", "engines", "examples",
           "rtl", "tests", "tlm")
SOURCE_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w/.]*\.(?:py|md|v|vhd|toml))`")


def names(paths: list[Path]) -> list[str]:
    """Readable test identifiers."""
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    broken = [target for target in targets
              if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [name for name in SOURCE_FILE.findall(page.read_text())
               if not (ROOT / name).exists()]
    assert missing == []


def test_every_page_can_be_found_from_the_readme() -> None:
    found, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        ahead += [(page.parent / target).resolve() for target in
                  re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text())]
    assert found >= set(PAGES)


@pytest.mark.parametrize("words, value", [
    (r"TB is `total_banks` \((\d+)\)", TINY.total_banks),
    (r"mem_address\[(\d+)\]", ADDRESS_BITS), (r"mem_beats\[(\d+)\]", BEATS_BITS),
    (r"Counters have (\d+) bits", order.COUNTER_BITS),
    (r"window holds at most (\d+) bytes", timing.WINDOW_LOW),
    (r"at least (\d+) bytes the parser", timing.WINDOW_LOW),
    (r"ring of (\d+) entries", CHANNEL_RING), (r"running number mod (\d+)", CHANNEL_RING),
    (r"within (\d+) bytes of the last", check.STREAM_REST),
    (r"(\d+) bytes are fetched", isa.SHORT_BYTES),
    (r"for the other (\d+) bytes", isa.LONG_BYTES - isa.SHORT_BYTES),
    (r"from k\+(\d+) on stage 0", timing.RUN_SETUP),
    (r"(\d+) load, 2 store, 3 seq", int(timing.Master.LOAD)),
])
def test_the_machine_s_page_has_the_figures_of_the_code(words: str, value: int) -> None:
    assert re.findall(words, (ROOT / "docs" / "machine.md").read_text()) == [str(value)]


def test_generated_pages_are_fresh() -> None:
    """`make docs` writes them."""
    assert (ROOT / "docs" / "isa.md").read_text() == isa_page()
    assert (ROOT / "docs" / "supported.md").read_text() == supported_page()


def test_the_table_of_folders_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)/` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(FOLDERS)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def readme_blocks(language: str) -> list[str]:
    """What the README has in fences."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def readme_commands() -> list[list[str]]:
    """The `kcnn` commands of the README, by block, for blocks that have some."""
    blocks = [[line for line in block.replace("\\\n", " ").splitlines()
               if line.startswith("kcnn ")] for block in readme_blocks("sh")]
    return [block for block in blocks if block]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo in miniature: two channels, one epoch, few images; and a network of one's own."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples",
                    ignore=shutil.ignore_patterns("__pycache__"))
    model = folder / "examples" / "digits" / "model.py"
    model.write_text(model.read_text().replace("CHANNELS = 16", "CHANNELS = 2"))
    train = script(str(model.with_name("train")))
    digits, out = train.load(), folder / "out" / "digits"
    net = train.train(digits, epochs=1)
    train.save(net, digits, out)
    np.save(out / "few.npy", digits.test_x[:1])
    np.savez(out / "data.npz", x_train=digits.train_x[:200], y_train=digits.train_y[:200],
             x_test=digits.test_x[:50], y_test=digits.test_y[:50])
    with contextlib.chdir(folder):
        exec(readme_blocks("python")[1], {                     # noqa: S102
            "torch": torch, "numpy": np, "net": net, "images": torch.from_numpy(digits.test_x)})
    return folder


@pytest.mark.parametrize(("block", "verbs"), [
    (0, ["compile", "run", "cosim", "convert", "disasm"]), (1, ["compile", "cosim"]),
    (2, ["compress", "compile", "accuracy", "info"])])
def test_the_commands_of_the_readme_work(work: Path, block: int, verbs: list[str]) -> None:
    assert len(readme_commands()) == 3
    lines = readme_commands()[block]
    assert [shlex.split(line)[1] for line in lines] == verbs
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "kcnn.cli", *shlex.split(line)[1:]],
                              cwd=work, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout.strip()


def test_the_lines_of_python_of_the_readme_do_the_same(work: Path, monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    """As the first block of commands, behind which this one comes."""
    monkeypatch.chdir(work)
    five = readme_blocks("python")[0]
    assert np.load(work / "out" / "logits.npy").shape == (1, 10)
    machine = (work / "out" / "hdl" / "kcnn_machine.v").read_bytes()
    shutil.rmtree(work / "out" / "hdl")
    in_python: dict[str, Any] = {}
    exec(five, in_python)                                      # noqa: S102
    assert len([line for line in five.splitlines() if line and "import" not in line]) == 5
    assert (in_python["logits"] == np.load(work / "out" / "logits.npy")).all()
    assert kbin.save(in_python["net"].program) == (work / "out" / "digits.kbin").read_bytes()
    assert (work / "out" / "hdl" / "kcnn_machine.v").read_bytes() == machine
