"""The studies' networks: sizes, shortcuts, shapes; with data, the published figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compress.account import measure
from kcnn.compress.data import accuracy
from scripts import script
from trained import needs_data

networks = script("bench/compression/networks")


@pytest.mark.parametrize("network, data, weights, macs", [
    ("lenet5", "mnist", 430_500, 2_293_000), ("vgg7", "cifar10", 454_496, 48_091_136),
    ("vgg7", "fashion", 444_960, 36_364_032), ("resnet20", "cifar10", 268_336, 40_551_040)])
def test_sizes(network: str, data: str, weights: int, macs: int) -> None:
    layers = measure(networks.build(network, data), torch.zeros(1, *networks.DATA[data].shape))
    assert sum(layer.weights for layer in layers) == weights
    assert sum(layer.macs for layer in layers) == macs


def test_a_shortcut_takes_every_second_pixel_and_adds_zero_channels_on_both_sides() -> None:
    torch.manual_seed(0)
    block = networks.Block(4, 8, 2).eval()
    with torch.no_grad():
        block.bn2.weight.zero_()
        x = torch.rand(2, 4, 6, 6)
        y = block(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2]) and not y[:, :2].any() and not y[:, 6:].any()


def test_weights_are_kept_and_loaded(tmp_path) -> None:
    first, second = networks.build("vgg7", "fashion"), networks.build("vgg7", "fashion")
    first(torch.rand(4, 1, 28, 28))
    networks.save_weights(first, tmp_path / "w.npz")
    networks.load_weights(second, tmp_path / "w.npz")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(first.eval()(x), second(x)) and not second.training
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


def test_missing_weights_and_data_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path)
    with pytest.raises(SystemExit, match="make it with `python bench/compression/train.py"):
        networks.trained("lenet5", "mnist")
    monkeypatch.delenv("KCNN_DATA", raising=False)
    with pytest.raises(SystemExit, match="KCNN_DATA must name"):
        networks.DATA["mnist"].load()


def test_made_up_weights_have_the_densities_asked_for() -> None:
    found = networks.alexnet({"fc6": 0.05})
    assert found[5].density == pytest.approx(0.05) and found[6].density == pytest.approx(0.09)
    assert [layer.nonzero_inputs / layer.inputs for layer in found][:3] == [1, 0.88, 0.52]


@needs_data
def test_the_published_resnet_has_its_accuracy() -> None:
    data = networks.DATA["cifar10"].load()
    module = networks.trained("resnet20", "cifar10")
    assert accuracy(module, data.x_test[:1000], data.y_test[:1000]) == pytest.approx(0.81, abs=0.03)


@needs_data
def test_the_published_squeezenet_has_255_values_a_layer() -> None:
    weights = networks.squeezenet_weights()
    assert len(weights) == 26 and sum(w.size for w in weights.values()) == 1_244_448
    assert sum(np.count_nonzero(w) for w in weights.values()) == 415_921
    assert len(np.unique(weights["conv_final"])) == 256
