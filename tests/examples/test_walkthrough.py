"""The notebook: its code cells run in order, in miniature, and show what it promises.

They are executed as Python, not by a kernel of Jupyter; what a cell ends with is shown as there, by
`_repr_html_`.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scripts import ROOT, script

FOLDER = ROOT / "examples" / "digits"
CELLS = json.loads((FOLDER / "walkthrough.ipynb").read_text())["cells"]


def test_no_outputs_are_stored() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """The value of the last expression, None where the cell ends otherwise."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)       # noqa: S102
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)      # noqa: S307


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], Path]:
    """What its cells named and showed, and where it wrote: two channels, one epoch."""
    place = tmp_path_factory.mktemp("walkthrough")
    folder = place / "examples" / "digits"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in (("model.py", "CHANNELS = 16", "CHANNELS = 2"),
                           ("train.py", "EPOCHS = 15", "EPOCHS = 1")):
        assert old in (folder / name).read_text()
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(sys.modules, "train", script(str(folder / "train")))
        shown = [run_cell("".join(cell["source"]), names)
                 for cell in CELLS if cell["cell_type"] == "code"]
    return names, [value for value in shown if value is not None], place / "out" / "walkthrough"


def test_every_engine_agrees_from_the_module_to_verilog(notebook) -> None:
    names, _, out = notebook
    assert names["comparison"].equal and set(names["comparison"].cycles) == {"tlm", "myhdl"}
    assert names["accuracy"].share() > 0.1 and names["logits"].shape == (5, 10)
    assert (out / "digits.kbin").exists()
    assert "module machine" in (out / "verilog" / "kcnn_machine.v").read_text()


def test_what_it_shows_are_tables(notebook) -> None:
    titles = [[table.findtext("caption") for table in
               ElementTree.fromstring(value._repr_html_()).iter("table")]
              for value in notebook[1] if hasattr(value, "_repr_html_")]
    assert [found[0].split(",")[0] for found in titles] == [
        "network", "SQNR against the float network", "plan", "the program on 450 images",
        "tlm: one batch of 1", "compared with reference"]
