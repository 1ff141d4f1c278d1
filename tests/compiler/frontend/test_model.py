"""Models by name, and one sentence for each that is none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.model import load_model
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.quantise import emulate
from networks import randomise
from torch import nn
from torch.export import ExportedProgram

GOOD = """
import torch
from torch import nn

def network():
    import sibling
    return nn.Conv2d(1, sibling.CHANNELS, 3), (torch.zeros(1, 1, 4, 4),)

def prepared():
    return nn.ReLU(), (torch.zeros(1, 1, 4, 4),), lambda x: x / 16

def one_tensor():
    return nn.ReLU(), torch.zeros(1, 1, 4, 4)
"""

BAD = """
import torch
from torch import nn

number = 3

def fails():
    raise RuntimeError("no weights here.\\nsecond line")

def module_only():
    return nn.ReLU()

def no_module():
    return 3, (torch.zeros(1, 1, 4, 4),)

def no_examples():
    return nn.ReLU(), (3,)

def no_function():
    return nn.ReLU(), (torch.zeros(1, 1, 4, 4),), 16
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "good.py").write_text(GOOD)
    (tmp_path / "sub" / "sibling.py").write_text("CHANNELS = 5\n")
    (tmp_path / "user_model.py").write_text(BAD)
    (tmp_path / "sibling.py").write_text("CHANNELS = 6\n")
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    monkeypatch.chdir(tmp_path)
    for name in ("user_model", "sibling", "broken", "kcnn_model_good"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("user_model", "sibling", "broken", "kcnn_model_good"):
        sys.modules.pop(name, None)


def test_a_function_in_a_file(folder: Path) -> None:
    before = sys.path.copy()
    model = load_model("sub/good.py:network")
    assert isinstance(model.module, nn.Conv2d) and model.preprocess is None
    assert [example.shape for example in model.example_inputs] == [(1, 1, 4, 4)]
    assert sys.path == before


def test_a_function_in_a_module_of_the_current_folder(folder: Path) -> None:
    (folder / "user_model.py").write_text(GOOD)
    model = load_model("user_model:network")
    assert model.module.out_channels == 6
    assert load_model("sub.good:one_tensor").example_inputs[0].shape == (1, 1, 4, 4)


def test_preprocess_is_handed_on(folder: Path) -> None:
    model = load_model("sub/good.py:prepared")
    assert model.preprocess is not None and model.preprocess(32) == 2


def test_an_exported_file(folder: Path) -> None:
    module = randomise(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(),
                                     nn.Linear(12, 2)), 0)
    example = torch.randn(2, 1, 4, 4)
    torch.export.save(torch.export.export(module, (example,)), "net.pt2")
    model = load_model("net.pt2")
    assert isinstance(model.module, ExportedProgram)
    found = emulate.run(trace(model.module, ()), example.numpy())["output"]
    np.testing.assert_allclose(found[:, :, 0, 0], module(example).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(("spec", "sentence"), [
    ("net", "model 'net': neither a .pt2 file nor module:function; write for example net.pt2, "
            "package.module:network or folder/file.py:network"),
    (":network", "model ':network': neither a .pt2 file nor module:function;"),
    ("net.py:", "model 'net.py:': neither"),
    ("missing.pt2", r"model missing.pt2: there is no such file$"),
    ("damaged.pt2", r"model damaged.pt2: it is no archive of torch.export.save \(File is not a zip "
                    r"file\); write it again with torch.export.save$"),
    ("sub/none.py:network", "model sub/none.py:network: there is no file sub/none.py$"),
    ("no_such_module:network", r"model no_such_module:network: no_such_module cannot be imported "
                               r"\(ModuleNotFoundError: No module named 'no_such_module'\)$"),
    ("broken:network", r"model broken:network: broken cannot be imported \(ModuleNotFoundError: "),
    ("user_model:network", "model user_model:network: user_model has no function network$"),
    ("user_model.py:network", "model user_model.py:network: user_model has no function network$"),
    ("user_model:number", "has no function number$"),
    ("user_model:fails", r"fails\(\) fails \(RuntimeError: no weights here\)$"),
    ("user_model:module_only", r"it must return \(nn.Module, example inputs\) or .*, found ReLU$"),
    ("user_model:no_module", "must be a torch.nn.Module, found int$"),
    ("user_model:no_examples", "must be a tuple of tensors, found a tuple of int$"),
    ("user_model:no_function", "its preprocess must be a function, found int$"),
])
def test_one_sentence_for_each_mistake(folder: Path, capfd: pytest.CaptureFixture[str],
                                       spec: str, sentence: str) -> None:
    (folder / "damaged.pt2").write_bytes(b"no zip file")
    with pytest.raises(CompileError, match="^" + sentence if sentence[:5] == "model" else sentence):
        load_model(spec)
    assert capfd.readouterr() == ("", "")
