"""The networks and data sets of the compression studies.

    DATA[name].load()               mnist, fashion, cifar10, from the folder in KCNN_DATA
    build(network, data)            untrained: lenet5, vgg7, resnet20
    trained(network, data)          with the weights in weights/<network>_<data>.npz
    compressed(network, data)       with those of the smallest binary of the network's study
    alexnet()                       layers and published densities, for accounting alone
    squeezenet_weights()            of the published pruned and clustered SqueezeNet

train.py makes the weights.
"""

from __future__ import annotations

import dataclasses
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from kcnn.compress.account import Layer
from kcnn.compress.data import Data, load
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights"
SQUEEZENET = "squeezenet_v1.0_deep_compression.npz"


# ---- data ----------------------------------------------------------------------------------
def _unit(pixels: Tensor) -> Tensor:
    """0..1, so that a black background stays exactly zero."""
    return pixels / 255


def _normalised(pixels: Tensor) -> Tensor:
    """As the published ResNet-20 takes its images."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (pixels / 255 - mean) / deviation


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Two files of images and labels, and what a network wants done to the pixels."""

    train: str
    test: str
    shape: tuple[int, int, int]
    preprocess: Callable[[Tensor], Tensor]

    def load(self) -> Data:
        """Both parts, from the folder in KCNN_DATA."""
        return load(folder() / self.train, folder() / self.test, self.preprocess)


DATA = {
    "mnist": DataSet("mnist_train_60000.npz", "mnist_test_5000.npz", (1, 28, 28), _unit),
    "fashion": DataSet("fashion_mnist_train_25000.npz", "fashion_mnist_test_5000.npz",
                       (1, 28, 28), _unit),
    "cifar10": DataSet("cifar10_train_16000.npz", "cifar10_test_5000.npz", (3, 32, 32),
                       _normalised),
}


def folder() -> Path:
    """The folder of data files; exits with a sentence where KCNN_DATA is not set."""
    if "KCNN_DATA" not in os.environ:
        raise SystemExit("KCNN_DATA must name the folder of the data sets")
    return Path(os.environ["KCNN_DATA"])


# ---- networks ------------------------------------------------------------------------------
def lenet5(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """LeNet-5 with 20 and 50 maps and 500 neurons: 430,500 weights on 28x28 pixels."""
    size = ((shape[1] - 4) // 2 - 4) // 2
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(shape[0], 20, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), ip1=nn.Linear(50 * size * size, 500), relu3=nn.ReLU(),
        ip2=nn.Linear(500, classes)))


def vgg7(shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """Seven 3x3 convolutions with batch norm (32, 32, 64, 64, 128 x 3), three pools, linear."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = shape[0]
    for number, channels in enumerate((32, 32, 64, 64, 128, 128, 128), 1):
        parts[f"conv{number}"] = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        parts[f"norm{number}"] = nn.BatchNorm2d(channels)
        parts[f"relu{number}"] = nn.ReLU()
        if number in (2, 4, 7):
            parts[f"pool{number}"] = nn.MaxPool2d(2)
        before = channels
    parts["flatten"] = nn.Flatten()
    parts["linear"] = nn.Linear(before * (shape[1] // 8) * (shape[2] // 8), classes)
    return nn.Sequential(parts)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: every second pixel, new channels zero on both sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.zeros = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.zeros, self.zeros))
        return torch.relu(y + x)


class ResNet20(nn.Module):
    """Three stages of three blocks with 16, 32 and 64 channels; names as in the published file."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.mean(x).flatten(1))


def resnet20(shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> ResNet20:
    """ResNet-20 for small images."""
    return ResNet20(shape[0], classes)


NETWORKS: dict[str, Callable[[tuple[int, int, int]], nn.Module]] = {
    "lenet5": lenet5, "vgg7": vgg7, "resnet20": resnet20}


def build(network: str, data: str) -> nn.Module:
    """An untrained network for a data set."""
    return NETWORKS[network](DATA[data].shape)


def trained(network: str, data: str) -> nn.Module:
    """The network with its kept weights, in inference mode."""
    if network == "resnet20":
        return load_weights(build(network, data), folder() / "resnet20_cifar10.npz")
    path = WEIGHTS / f"{network}_{data}.npz"
    if not path.exists():
        raise SystemExit(f"{path.name} is missing; make it with "
                         f"`python bench/compression/train.py {network} {data}`")
    return load_weights(build(network, data), path)


def compressed(network: str, data: str) -> nn.Module:
    """The network pruned and clustered, as its study (lenet5.py, resnet20.py) kept it."""
    return load_weights(build(network, data), WEIGHTS / f"{network}_{data}_small.npz")


def load_weights(module: nn.Module, path: Path) -> nn.Module:
    """Put the arrays of an .npz file, named like the state dict, into a module."""
    with np.load(path, allow_pickle=False) as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    counters = {name: value for name, value in module.state_dict().items()
                if name.endswith("num_batches_tracked")}
    module.load_state_dict({**counters, **state})
    return module.eval()


def save_weights(module: nn.Module, path: Path) -> None:
    """The state dict as a compressed .npz file; replaces the file at once."""
    state = {name: value.numpy() for name, value in module.state_dict().items()
             if not name.endswith("num_batches_tracked")}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **state)
    partial.replace(path)


# ---- shapes for accounting ------------------------------------------------------------------
# name, kind, (K, C / groups, kh, kw), outputs a channel, inputs, and, in percent, as published
# with pruning by magnitude (Han et al., NIPS 2015): surviving weights, non-zero output values
_ALEXNET = (
    ("conv1", "conv", (96, 3, 11, 11), 55 * 55, 3 * 227 * 227, 84, 88),
    ("conv2", "conv", (256, 48, 5, 5), 27 * 27, 96 * 27 * 27, 38, 52),
    ("conv3", "conv", (384, 256, 3, 3), 13 * 13, 256 * 13 * 13, 35, 37),
    ("conv4", "conv", (384, 192, 3, 3), 13 * 13, 384 * 13 * 13, 37, 40),
    ("conv5", "conv", (256, 192, 3, 3), 13 * 13, 384 * 13 * 13, 37, 34),
    ("fc6", "fc", (4096, 9216, 1, 1), 1, 9216, 9, 36),
    ("fc7", "fc", (4096, 4096, 1, 1), 1, 4096, 9, 40),
    ("fc8", "fc", (1000, 4096, 1, 1), 1, 4096, 25, 100),
)


def alexnet(densities: Mapping[str, float] | None = None) -> list[Layer]:
    """AlexNet with the published densities; a layer's input is what the layer before puts out.

    densities: surviving weights of some layers, 0 to 1, instead of the published ones.
    """
    activations = [100, *(row[6] for row in _ALEXNET)]
    return [Layer.of_densities(name, kind, shape, positions, inputs,
                               (densities or {}).get(name, weight / 100), active / 100)
            for (name, kind, shape, positions, inputs, weight, _), active
            in zip(_ALEXNET, activations, strict=False)]


def alexnet_weights(densities: Mapping[str, float] | None = None, seed: int = 0
                    ) -> dict[str, NDArray[np.float32]]:
    """Made-up weights of AlexNet's shapes and densities: zeros anywhere, the others two-sided with
    few small ones, as they are left by pruning and retraining."""
    rng = np.random.default_rng(seed)
    out = {}
    for layer in alexnet(densities):
        flat = np.zeros(layer.weights, np.float32)
        kept = rng.choice(layer.weights, layer.nonzero, replace=False, shuffle=False)
        size = rng.gamma(4.0, 0.25, layer.nonzero).astype(np.float32)
        flat[kept] = np.where(rng.random(layer.nonzero) < 0.5, -size, size)
        out[layer.name] = flat.reshape(layer.shape)
    return out


def squeezenet_weights() -> dict[str, NDArray[np.float32]]:
    """Weights (K, C, kh, kw) of the published pruned and clustered SqueezeNet v1.0, by layer."""
    with np.load(folder() / SQUEEZENET, allow_pickle=False) as file:
        return {name.removesuffix(".weight"): file[name] for name in file.files
                if name.endswith(".weight")}
