"""`kcnn accuracy`: what is counted, beside what, and what is refused."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
import torch
from kcnn.arch import host, kbin, reference
from kcnn.compiler.frontend.model import load_model

MODEL = """
    import torch
    from torch import nn

    def network():
        torch.manual_seed(2)
        module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                               nn.Linear(16, 3))
        return module.eval(), (torch.zeros(1, 1, 6, 6),), lambda pixels: pixels / 255

    def four():
        return nn.Conv2d(1, 4, 6).eval(), (torch.zeros(1, 1, 6, 6),)

    def coloured():
        return nn.Conv2d(3, 3, 6).eval(), (torch.zeros(1, 3, 6, 6),)
"""
COUNT = 130                   # more than are computed together


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network, its binary and pixels."""
    from kcnn.cli.__main__ import run
    place = tmp_path_factory.mktemp("accuracy")
    (place / "model.py").write_text(textwrap.dedent(MODEL))
    pixels = np.random.default_rng(1).integers(0, 256, (COUNT, 6, 6), np.uint8)
    np.savez(place / "typical.npz", x=pixels[:20, None].astype(np.float32))
    assert run(["compile", f"{place}/model.py:network", "--calibration", f"{place}/typical.npz",
                "--config", "tiny", "--clusters", "4", "-o", f"{place}/net.kbin"]) == 0
    np.save(place / "pixels.npy", pixels)
    return place


@pytest.fixture(scope="module")
def images(folder):
    """As the network takes them."""
    return (np.load(folder / "pixels.npy")[:, None] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def integers(folder, images):
    """What the binary calls every image, one by one."""
    program = kbin.read(folder / "net.kbin")
    (source,), (target,) = program.inputs, program.outputs
    found = []
    for image in images:
        codes = host.encode(image[None], program.tensors[source.tensor], program.config)
        out = reference.run(program, [codes])[target.tensor]
        found.append(host.decode(out, program.tensors[target.tensor], program.config).argmax())
    assert len(set(found)) == 3
    return np.array(found)


def test_what_is_right_is_counted(kcnn, folder, images, integers, tmp_path):
    labels = np.where(np.arange(COUNT) % 10 < 7, integers, (integers + 1) % 3)
    np.savez(tmp_path / "t.npz", x=images, y=labels)
    ran = kcnn("accuracy", folder / "net.kbin", "--data", tmp_path / "t.npz", "--json",
               tmp_path / "a.json", "--preprocessed")
    assert ran.code == 0 and ran.err == ""
    (line,) = (line for line in ran.out.splitlines() if "integers" in line)
    assert line.split() == ["integers", "91", "70.00", "%"]
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "images": COUNT, "integers": 0.7, "inputs_cut": 0, "outputs_at_limit": 0}


@pytest.mark.parametrize("pixels", [False, True], ids=["as taken", "pixels"])
def test_the_float_network_stands_beside(kcnn, folder, images, integers, tmp_path, pixels):
    module = load_model(f"{folder}/model.py:network").module
    with torch.no_grad():
        exact = module(torch.from_numpy(images)).argmax(1).numpy()
    assert (exact != integers).any()
    labels = np.where(np.arange(COUNT) % 5 < 4, exact, (exact + 2) % 3)
    if pixels:
        np.savez(tmp_path / "t.npz", images=np.load(folder / "pixels.npy"), labels=labels)
    else:
        np.savez(tmp_path / "t.npz", x_test=images, y_test=labels, x_train=0)
    ran = kcnn("accuracy", folder / "net.kbin", "--data", tmp_path / "t.npz", "--golden",
               f"{folder}/model.py:network", "--json", tmp_path / "a.json",
               *([] if pixels else ["--preprocessed"]))
    found = json.loads((tmp_path / "a.json").read_text())
    lost = (exact == labels).astype(int) - (integers == labels)
    assert ran.code == 0 and found == {
        "images": COUNT, "integers": np.mean(integers == labels), "float": 0.8,
        "inputs_cut": 0, "outputs_at_limit": 0,
        "loss": lost.mean(), "error": pytest.approx(np.std(lost) / COUNT ** 0.5),
        "same": np.mean(exact == integers)}
    assert f"the same class for {100 * found['same']:.2f} % of the images" in ran.out


def test_an_exported_network_of_one_image_stands_beside_too(kcnn, folder, images, tmp_path):
    network = load_model(f"{folder}/model.py:network")
    torch.export.save(torch.export.export(network.module, network.example_inputs),
                      tmp_path / "net.pt2")
    with torch.no_grad():
        np.savez(tmp_path / "t.npz", x=images,
                 y=network.module(torch.from_numpy(images)).argmax(1).numpy())
    ran = kcnn("accuracy", folder / "net.kbin", "--data", tmp_path / "t.npz", "--golden",
               tmp_path / "net.pt2", "--json", tmp_path / "a.json", "--preprocessed")
    assert ran.code == 0 and json.loads((tmp_path / "a.json").read_text())["float"] == 1.0


@pytest.mark.parametrize("change, golden, said", [
    ({"y": np.full(COUNT, 3)}, None, "is of class 3, but the network knows the classes 0 to 2"),
    ({"x": np.zeros((COUNT, 1, 6, 7), np.float32)}, None, "but the network takes (N, 1, 6, 6)"),
    ({"y": np.zeros(COUNT - 1, int)}, None, "one class number, 0 or more, for each"),
    ({"x": None, "images": np.zeros((COUNT, 6, 6), np.uint8), "labels": np.zeros(COUNT, int)},
     None, "holds pixels 0..255, and no model with a function preprocess"),
    ({"y": None}, None, "x_test, y_test or images, labels or x, y are needed"),
    ({}, "four", "makes 4 numbers of an image, the binary 3; give a network of the same classes"),
    ({}, "coloured", "fails on the images"),
    ({}, "nothing", "has no function nothing"),
])
def test_what_does_not_fit_is_refused(kcnn, folder, images, tmp_path, change, golden, said):
    values = {"x": images, "y": np.zeros(COUNT, int)} | change
    np.savez(tmp_path / "t.npz", **{name: v for name, v in values.items() if v is not None})
    beside = [] if golden is None else ["--golden", f"{folder}/model.py:{golden}"]
    ran = kcnn("accuracy", folder / "net.kbin", "--data", tmp_path / "t.npz", *beside, "--json",
               tmp_path / "a.json", "--preprocessed")
    assert ran.code == 2 and said in ran.err and len(ran.err.splitlines()) == 1
    assert not (tmp_path / "a.json").exists()


def test_a_network_that_tells_no_class_is_refused(kcnn, net, tmp_path):
    ran = kcnn("accuracy", net, "--data", tmp_path / "t.npz")
    assert ran.code == 2 and "has the shape (N, 1, 4, 4), which tells no class" in ran.err


def test_another_machine_is_refused(kcnn, folder, tmp_path):
    ran = kcnn("accuracy", folder / "net.kbin", "--data", tmp_path / "t.npz", "--config", "small")
    assert ran.code == 2 and "compiled for lanes=4, but" in ran.err
