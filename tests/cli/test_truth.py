"""What compile says of what is left: the figures, the warning, the exit code."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
from kcnn.arch import kbin
from kcnn.compiler import pipeline

MODEL = """
    import torch
    from torch import nn

    def network():
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(),
                             nn.Flatten(), nn.Linear(64, 3)).eval(), (torch.zeros(1, 1, 8, 8),)

    def maps():
        return nn.Sequential(*list(network()[0])[:3]), network()[1]

    def uneven():
        torch.manual_seed(3)
        module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Hardtanh(-9, 9), nn.Conv2d(8, 2, 3)).eval()
        ranges = 10.0 ** torch.linspace(-3, 0, 8)
        with torch.no_grad():
            module[0].weight.mul_(ranges[:, None, None, None])
            module[0].bias.mul_(ranges)
            module[2].weight.div_(ranges[None, :, None, None])
        return module, (torch.zeros(1, 1, 8, 8),)

    def still():
        module, example = network()
        nn.init.zeros_(module[5].weight)
        return module, example
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    (folder / "model.py").write_text(textwrap.dedent(MODEL))
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20, 1, 8, 8)).astype(np.float32)
    for count in (1, 20):
        np.savez(folder / f"x{count}.npz", x=x[:count])
    # calibrated on ordinary images, what is held back is a hundred times larger
    other = np.where(np.arange(20)[:, None, None, None] % 5 == 4, 100 * x, x)
    np.savez(folder / "unlike.npz", x=other.astype(np.float32))
    return folder


def compile(kcnn, folder, place, *more, images="x20", model="network"):
    return kcnn("compile", f"{folder}/model.py:{model}", "--calibration",
                folder / f"{images}.npz", "--config", "tiny", "-o", place / "net.kbin", "--json",
                place / "net.json", *more)


def test_every_compile_ends_with_what_is_left(kcnn, folder, tmp_path):
    ran = compile(kcnn, folder, tmp_path)
    at = ran.out.index("what is left of the float network, dB")
    told = ran.out[at:].splitlines()
    assert ran.code == 0 and ran.err == ""
    held_back, calibrated = told[4].split(), told[5].split()
    assert held_back[:4] == ["4", "held", "back", "output"]
    assert held_back[-3:] == ["4", "of", "4"]
    assert calibrated[:4] == ["16", "calibrated", "on", "output"]
    assert told[-1].startswith("most is lost in layer ")
    assert max(map(len, told)) <= 80
    figures = json.loads((tmp_path / "net.json").read_text())["fidelity"]
    (output,) = figures["held_back"]["outputs"]
    assert held_back[4:7] == [f"{output[key]:.1f}" for key in ("varying", "typical", "sqnr")]
    info = kcnn("info", tmp_path / "net.kbin", "--json", tmp_path / "info.json")
    assert info.out.endswith(ran.out[at:])
    said = json.loads((tmp_path / "info.json").read_text())
    assert said["fidelity"] == figures
    assert (f"{said['file_bytes']:,} bytes, of which the machine reads {said['bytes']:,}; 3 layers"
            in ran.out)


def test_what_is_held_back_is_not_calibrated_on(kcnn, folder, tmp_path, monkeypatch):
    seen = {}
    whole = pipeline.compile

    def watched(module, examples, images, *rest, held_back, **more):
        seen.update(calibration=images, held_back=held_back)
        return whole(module, examples, images, *rest, held_back=held_back, **more)

    monkeypatch.setattr(pipeline, "compile", watched)
    compile(kcnn, folder, tmp_path)
    x = np.load(folder / "x20.npz")["x"]
    np.testing.assert_array_equal(seen["held_back"], x[4::5])
    np.testing.assert_array_equal(seen["calibration"], np.delete(x, np.s_[4::5], axis=0))


def test_a_network_that_is_lost_on_new_images_is_told(kcnn, folder, tmp_path):
    ran = compile(kcnn, folder, tmp_path, "--strict", images="unlike")
    assert ran.code == 1 and "warning" not in ran.out
    (last,) = ran.err.splitlines()
    assert last.startswith("kcnn: warning: the output keeps ") and last.endswith(
        "and the images held back are unlike them")
    assert "less than --min-sqnr 6, and most is lost in the input; calibrate on more im" in last
    assert kbin.read(tmp_path / "net.kbin").meta.fidelity is not None
    assert (tmp_path / "net.json").exists()
    assert compile(kcnn, folder, tmp_path, images="unlike").code == 0


def test_the_least_is_the_users(kcnn, folder, tmp_path):
    ran = compile(kcnn, folder, tmp_path, "--min-sqnr", "90", "--strict")
    assert ran.code == 1 and "less than --min-sqnr 90" in ran.err
    ran = compile(kcnn, folder, tmp_path, "--min-sqnr", "-200", "--strict", images="unlike")
    assert ran.code == 0 and ran.err == ""
    ran = compile(kcnn, folder, tmp_path, "--min-sqnr", "nan")
    assert (ran.code, ran.err) == (2, "kcnn: --min-sqnr: give a number of dB\n")


def test_an_output_that_never_varies_is_told(kcnn, folder, tmp_path):
    ran = compile(kcnn, folder, tmp_path, "--strict", model="still")
    assert ran.code == 1 and ran.err.rstrip() == (
        "kcnn: warning: the output of the float network is the same for all images, so nothing "
        "tells whether it is right; calibrate on images that it tells apart")


def test_layers_that_could_not_be_equalised_are_told_with_a_poor_network(kcnn, folder, tmp_path):
    said = "kcnn: warning: 2: the channels that it reads differ in range"
    ran = compile(kcnn, folder, tmp_path, model="uneven")
    assert ran.code == 0 and any(line.startswith(said) for line in ran.err.splitlines())
    ran = compile(kcnn, folder, tmp_path, "--min-sqnr", "-100", model="uneven")
    assert ran.code == 0 and said not in ran.err


def test_one_image_and_maps(kcnn, folder, tmp_path):
    ran = compile(kcnn, folder, tmp_path, "--batch", "3", images="x1", model="maps")
    (row,) = [line.split() for line in ran.out.splitlines() if " calibrated on " in line]
    assert row[:6] == ["1", "calibrated", "on", "output", "-", "-"] and row[-1] == "-"
    assert "\nno image was held back, so this tells nothing of other images; " in ran.out
    assert "NaN" not in (tmp_path / "net.json").read_text()
