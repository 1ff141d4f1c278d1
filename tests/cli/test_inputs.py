"""One rule for all verbs: data are what the preprocess of the compiled model takes."""

from __future__ import annotations

import contextlib
import json
import re
import textwrap

import numpy as np
import pytest
import torch
from kcnn.arch import kbin
from kcnn.cli.__main__ import run
from kcnn.compiler.frontend.model import load_model

MODEL = """
    import torch
    from torch import nn

    MEAN = torch.tensor([0.5, 0.45, 0.4])[:, None, None]

    def module():
        torch.manual_seed(4)
        return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten(),
                             nn.Linear(54, 4)).eval()

    def prepared():
        return module(), (torch.zeros(1, 3, 8, 8),)

    def plain():
        return *prepared(), lambda x: (x.flip(1) / 255 - MEAN) / 0.25

    def last():
        return *prepared(), lambda x: (x.permute(0, 3, 1, 2) / 255 - MEAN) / 0.25

    def other():
        return *prepared(), lambda x: ((x.flip(1) / 255 - MEAN) / 0.25).roll(1, 3)
"""
MEAN = np.array([0.5, 0.45, 0.4])[:, None, None]


def pixels(count, seed=0):
    """Smooth colour images, uint8 (count, 3, 8, 8)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 3, 12, 12)).cumsum(2).cumsum(3)[:, :, 4:, 4:]
    noise -= noise.min((1, 2, 3), keepdims=True)
    return (255 * noise / noise.max((1, 2, 3), keepdims=True)).astype(np.uint8)


def prepared(x, roll=0):
    return np.roll((x[:, ::-1] / 255 - MEAN) / 0.25, roll, 3).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models, data of every kind, and a binary of each model."""
    place = tmp_path_factory.mktemp("inputs")
    (place / "model.py").write_text(textwrap.dedent(MODEL))
    x, few = pixels(40), pixels(5, 1)
    np.savez(place / "cal.npz", x=x)
    np.savez(place / "last.npz", x=x.transpose(0, 2, 3, 1))
    np.savez(place / "prepared.npz", x=prepared(x[:, ::-1])[:, ::-1].copy())
    np.save(place / "few.npy", few)
    np.save(place / "float.npy", few.astype(np.float32))
    np.save(place / "few_last.npy", few.transpose(0, 2, 3, 1))
    np.savez(place / "images.npz", images=few.transpose(0, 2, 3, 1), labels=np.arange(5) % 4)
    np.savez(place / "labelled.npz", x=few, y=np.arange(5) % 4)
    np.save(place / "ready.npy", prepared(few))
    np.save(place / "ready_rolled.npy", prepared(few, 1))
    np.savez(place / "ready.npz", x=prepared(few), y=np.arange(5) % 4)
    np.savez(place / "cal_ready.npz", x=prepared(x))
    for name, data, more in (("plain", "cal", []), ("last", "last", []), ("other", "cal", []),
                             ("prepared", "cal_ready", []),
                             ("left_out", "cal_ready", ["--preprocessed"])):
        model = "plain" if name == "left_out" else name
        with (place / f"{name}.txt").open("w") as said, contextlib.redirect_stdout(said):
            assert run(["compile", f"{place}/model.py:{model}", "--calibration",
                        f"{place}/{data}.npz", "--config", "tiny", "-o", f"{place}/{name}.kbin",
                        *more]) == 0
    return place


def outputs(kcnn, folder, tmp_path, net, data, *more):
    ran = kcnn("run", folder / f"{net}.kbin", "--input", folder / data, "--engine", "reference",
               "-o", tmp_path / "y.npy", *more)
    assert (ran.code, ran.err) == (0, ""), ran
    return np.load(tmp_path / "y.npy")


@pytest.mark.parametrize("net, data, more", [
    ("plain", "few.npy", []), ("plain", "float.npy", []), ("plain", "images.npz", []),
    ("plain", "ready.npy", ["--preprocessed"]), ("prepared", "ready.npy", []),
    ("prepared", "ready.npy", ["--preprocessed"]), ("left_out", "ready.npy", [])])
def test_all_ways_to_give_the_same_images_give_the_same_outputs(kcnn, folder, tmp_path, net, data,
                                                               more):
    wanted = outputs(kcnn, folder, tmp_path, "plain", "few.npy")
    found = outputs(kcnn, folder, tmp_path, net, data, *more)
    if net == "plain":
        assert (found == wanted).all()
    else:                               # calibrated with values of another rounding
        assert np.abs(found - wanted).max() < 0.05 * np.ptp(wanted)


def test_outputs_are_near_those_of_the_float_network(kcnn, folder, tmp_path):
    for name, data in (("plain", "few.npy"), ("last", "few_last.npy")):
        network = load_model(f"{folder}/model.py:{name}")
        x = network.preprocess(torch.from_numpy(np.load(folder / data).astype(np.float32)))
        with torch.no_grad():
            exact = network.module(x).numpy()
        found = outputs(kcnn, folder, tmp_path, name, data)
        assert np.abs(found - exact).max() < 0.2 * np.abs(exact).max()


def test_compile_says_what_the_binary_holds(kcnn, folder):
    said = {path.stem: path.read_text() for path in folder.glob("*.txt")}
    assert ("the binary holds the model's preprocess, 0.01569 * x[2] - 2, 0.01569 * x[1] - 1.8, "
            "0.01569 * x[0] - 1.6\nso run, cosim and accuracy take what it takes") in said["plain"]
    assert "channels last\nso run" in said["last"]
    assert "does not hold it: run, cosim and accuracy take data after it" in said["other"]
    assert "preprocess" not in said["prepared"]
    assert "0.01569 * x[2] - 2, 0.01569 * x[1]" in kcnn("info", folder / "plain.kbin").out
    assert "other" in kcnn("info", folder / "other.kbin").out
    assert kbin.read(folder / "prepared.kbin").meta.preprocess is None


def test_pixels_for_a_network_without_preprocess_are_refused(kcnn, folder, tmp_path):
    np.savez(tmp_path / "pixels.npz", images=pixels(5, 1).transpose(0, 2, 3, 1))
    ran = kcnn("compile", f"{folder}/model.py:prepared", "--calibration", tmp_path / "pixels.npz",
               "--config", "tiny", "-o", tmp_path / "net.kbin")
    assert ran.code == 2 and ran.err == (
        f"kcnn: {tmp_path / 'pixels.npz'}: the array is uint8, not float32; give it as the "
        "network takes it, scaled as in training\n")


def test_a_preprocess_of_another_kind_must_be_named(kcnn, folder, tmp_path):
    command = ("run", folder / "other.kbin", "--engine", "reference", "--input")
    ran = kcnn(*command, folder / "few.npy")
    assert ran.code == 2 and ran.err == (
        f"kcnn: {folder}/other.kbin: the model's preprocess is not one factor and offset a "
        "channel, so the binary does not hold it; give data after it with --preprocessed\n")
    assert kcnn(*command, folder / "ready_rolled.npy", "--preprocessed").err == ""
    cosim = ("cosim", folder / "other.kbin", "--engines", "reference", "--min-sqnr", 10)
    model = f"{folder}/model.py:other"
    assert kcnn(*cosim, "--input", folder / "few.npy", "--golden", model).code == 0
    assert kcnn(*cosim, "--input", folder / "ready_rolled.npy", "--golden", model,
                "--preprocessed").code == 0
    ran = kcnn(*cosim[:-2], "--input", folder / "few.npy")
    assert ran.code == 2 and "or the model that has it with --golden" in ran.err


def test_cosim_takes_what_the_binary_takes(kcnn, folder):
    for name, data, model in (("plain", "few.npy", "plain"), ("plain", "few.npy", "prepared"),
                              ("last", "few_last.npy", "last"), ("prepared", "ready.npy", "plain")):
        ran = kcnn("cosim", folder / f"{name}.kbin", "--engines", "reference", "--min-sqnr", 10,
                   "--input", folder / data, "--golden", f"{folder}/model.py:{model}")
        assert (ran.code, ran.err) == (0, ""), ran


@pytest.mark.parametrize("name, data, model, more", [
    ("plain", "labelled", None, []), ("plain", "images", None, []),
    ("plain", "images", "plain", []),
    ("plain", "ready", "prepared", ["--preprocessed"]), ("prepared", "ready", "plain", []),
    ("prepared", "images", "plain", []), ("left_out", "ready", "plain", [])])
def test_accuracy_is_the_same_however_images_are_given(kcnn, folder, tmp_path, name, data, model,
                                                       more):
    beside = [] if model is None else ["--golden", f"{folder}/model.py:{model}"]
    ran = kcnn("accuracy", folder / f"{name}.kbin", "--data", folder / f"{data}.npz", *beside,
               *more, "--json", tmp_path / "a.json")
    assert (ran.code, ran.err) == (0, ""), ran
    figures = json.loads((tmp_path / "a.json").read_text())
    classes = outputs(kcnn, folder, tmp_path, "plain", "few.npy").argmax(1)
    assert figures["integers"] == np.mean(classes == np.arange(5) % 4)
    assert model is None or figures["same"] >= 0.6


@pytest.mark.parametrize("net, data, more, said", [
    ("plain", "few_last.npy", [], "few_last.npy: the images have the shape (5, 8, 8, 3), but the "
     "network's preprocess takes (N, 3, 8, 8); give those, or data after it with --preprocessed"),
    ("prepared", "few.npy", [], "is uint8, not float32"),
    ("plain", "few.npy", ["--preprocessed"], "is uint8, not float32"),
    ("prepared", "images.npz", [], "name the one to use x")])
def test_what_does_not_fit_is_refused(kcnn, folder, net, data, more, said):
    ran = kcnn("run", folder / f"{net}.kbin", "--engine", "reference", "--input", folder / data,
               *more)
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize("verb", [
    ["run", "--engine", "reference", "--input"], ["cosim", "--engines", "reference", "--input"],
    ["accuracy", "--data"]])
def test_data_that_look_otherwise_are_told(kcnn, folder, tmp_path, verb):
    raw = pixels(5, 1).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=raw, y=np.arange(5) % 4)
    words = [verb[0], folder / "prepared.kbin", *verb[1:], tmp_path / "x.npz"]
    ran = kcnn(*words)
    cut, unlike = ran.err.splitlines()
    assert ran.code == 0 and cut.startswith("kcnn: warning: ") and "were cut to it" in cut
    assert "the images do not look like those of calibration: the greatest value of an" in unlike
    np.savez(tmp_path / "x.npz", x=raw / 255, y=np.arange(5) % 4)
    (unlike,) = kcnn(*words).err.splitlines()
    assert "the least value of an image is 0 on average, there " in unlike


@pytest.mark.parametrize("verb, more", [
    ("run", ["--engine", "reference", "--input"]), ("cosim", ["--engines", "reference", "--input"]),
    ("accuracy", ["--data"])])
def test_what_is_cut_is_counted(kcnn, folder, tmp_path, verb, more):
    x = np.load(folder / "ready.npy")
    program = kbin.read(folder / "prepared.kbin")
    limit = 127.5 * program.tensors[0].kind.scale
    x[0, 0, 0, :4] = [limit * 1.001, limit * 0.999, -limit * 1.1, 1e30]
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(5) % 4)
    ran = kcnn(verb, folder / "prepared.kbin", *more, tmp_path / "x.npz", "--json",
               tmp_path / "f.json")
    wanted = 3 + np.count_nonzero(np.abs(np.load(folder / "ready.npy")) > limit)
    assert json.loads((tmp_path / "f.json").read_text())["inputs_cut"] == wanted
    assert f"{wanted} of 960 values of input 'input' lie outside " in ran.err
    assert re.search(r" -\S+ to \S+, the range that calibration gave it, and were cut to it\n",
                     ran.err)
