"""The demo, with one image on the RTL instead of several."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kcnn.arch import kbin
from PIL import Image
from scripts import script
from torch import nn

demo = script("examples/digits/demo")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Exit code and folder of one run; what it said is in said.txt."""
    out = tmp_path_factory.mktemp("digits")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = demo.demo(out, images=1)
    (out / "said.txt").write_text(said.getvalue())
    return code, out


def test_the_network_has_what_the_demo_promises() -> None:
    layers = list(demo.train.small_cnn().modules())
    kinds = {type(layer) for layer in layers}
    assert {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
            nn.Linear} <= kinds
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert any(layer.stride == (2, 2) for layer in convolutions)
    assert all(layer.out_channels == 16 for layer in convolutions)


def test_the_demo_holds_what_it_promises(run: tuple[int, Path]) -> None:
    code, out = run
    assert code == 0
    program = kbin.read(out / "digits.kbin")
    digits = demo.train.load()
    module = demo.train.small_cnn()
    module.load_state_dict(torch.load(out / "weights.pt", weights_only=True))
    exact = demo.train.accuracy(demo.train.logits(module.eval(), digits.test_x), digits.test_y)
    whole = demo.train.accuracy(demo.logits(program, digits.test_x), digits.test_y)
    assert exact >= 98
    assert exact - whole <= 1


def test_the_demo_tells_the_size_of_info_and_what_is_left(run: tuple[int, Path]) -> None:
    said = (run[1] / "said.txt").read_text()
    size = kbin.read(run[1] / "digits.kbin").meta.float32_bytes
    assert re.search(rf"weights, bytes: float32, tap streams +{size:,} ", said)
    assert re.search(r"\d+ held back +output +\d\d\.\d ", said)


def test_the_binary_is_much_smaller_than_the_network(run: tuple[int, Path]) -> None:
    _, out = run
    floats = 4 * sum(value.numel() for value in demo.train.small_cnn().parameters())
    assert len(kbin.read(out / "digits.kbin").streams) < floats / 2.5


def test_every_image_is_told_when_it_is_done(run: tuple[int, Path]) -> None:
    said = (run[1] / "said.txt").read_text()
    after = said.partition("simulating 1 images")[2].partition("Cycles of one image")[0]
    assert re.search(r"^  image 1 of 1: [1-9][\d,]+ cycles$", after, re.MULTILINE)


def test_the_picture_is_one(run: tuple[int, Path]) -> None:
    _, out = run
    with Image.open(out / "digits.png") as image:
        assert image.format == "PNG" and image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50


def test_the_hdl_is_written(run: tuple[int, Path]) -> None:
    _, out = run
    assert any("module machine" in path.read_text() for path in (out / "verilog").glob("*.v"))
    assert any("entity machine" in path.read_text() for path in (out / "vhdl").glob("*.vhd"))


def test_files_for_the_command_line_are_written(run: tuple[int, Path]) -> None:
    _, out = run
    assert np.load(out / "calibration.npz")["x"].shape == (256, 1, 8, 8)
    few = np.load(out / "few.npy")
    assert few.dtype == np.float32 and few.shape == (3, 1, 8, 8)


def test_a_loss_of_accuracy_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.verdict({"float": 99.0, "integer": 97.5}, []) == 1
    assert capsys.readouterr().err == (
        "1.50 percentage points of accuracy are lost, more than 1.0\n")


def test_a_difference_between_the_engines_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    different: Any = demo.Run(np.zeros(10), None, None, False)
    assert demo.verdict({"float": 99.0, "integer": 99.0}, [different]) == 1
    assert capsys.readouterr().err == "the RTL differs from the TLM or from the reference\n"


def test_network_gives_the_saved_weights(run: tuple[int, Path],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = run
    model = script("examples/digits/model")
    monkeypatch.setattr(model, "WEIGHTS", out / "weights.pt")
    module, (example,) = model.network()
    assert not module.training and example.shape == (1, 1, 8, 8)
    saved = torch.load(out / "weights.pt", weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in module.state_dict().items())
