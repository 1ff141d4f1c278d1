"""Trained ImageNet networks and sample images, from the folder that KCNN_DATA names.

    squeezenet()        SqueezeNet v1.0, pruned and clustered by others; BGR pixels of 227 x 227
    mobilenet()         MobileNetV1 0.75, trained for 8-bit weights; 192 x 192
    samples()           500 images (n, 227, 227, 3) and their classes
    accuracy(...)       how often the class is the first, and among the first five

They are models for kcnn too: `kcnn compile bench/compression/published.py:squeezenet ...` takes
pixels (n, C, H, W), which the network's preprocess turns into what it was trained on.
"""

from __future__ import annotations

import csv
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from networks import SQUEEZENET, folder
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

MOBILENET = "mobilenet_v1_0.75_192_quant.npz"
MEANS = (104.0, 117.0, 123.0)           # of blue, green and red
Pixels = NDArray[np.uint8]
Model = tuple[nn.Module, tuple[Tensor, ...], Callable[[Tensor], Tensor]]


# ---- SqueezeNet v1.0 -----------------------------------------------------------------------
class Fire(nn.Module):
    """Few channels, then 1x1 and 3x3 kernels on them side by side; Caffe's names."""

    def __init__(self, inputs: int, few: int, each: int) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Conv2d(inputs, few, 1)
        self.conv1x1_2 = nn.Conv2d(few, each, 1)
        self.conv3x3_2 = nn.Conv2d(few, each, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1x1_1(x))
        return torch.cat([torch.relu(self.conv1x1_2(x)), torch.relu(self.conv3x3_2(x))], 1)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class SqueezeNet(nn.Sequential):
    """(n, 3, 227, 227) to (n, 1000)."""

    def __init__(self) -> None:
        super().__init__(OrderedDict(
            conv1=nn.Conv2d(3, 96, 7, 2), relu1=nn.ReLU(), pool1=_pool(),
            fire2=Fire(96, 16, 64), fire3=Fire(128, 16, 64), fire4=Fire(128, 32, 128),
            pool4=_pool(), fire5=Fire(256, 32, 128), fire6=Fire(256, 48, 192),
            fire7=Fire(384, 48, 192), fire8=Fire(384, 64, 256), pool8=_pool(),
            fire9=Fire(512, 64, 256), conv_final=nn.Conv2d(512, 1000, 1, padding=1),
            relu=nn.ReLU(), average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))


def squeezenet() -> Model:
    """The network with its weights, an example, and its preprocess."""
    with np.load(folder() / SQUEEZENET, allow_pickle=False) as file:
        state = {name.replace("/", "."): torch.from_numpy(file[name]) for name in file.files}
    module = SqueezeNet()
    module.load_state_dict(state)
    return module.eval(), (torch.zeros(1, 3, 227, 227),), bgr


def bgr(pixels: Tensor) -> Tensor:
    """Pixels RGB, 0 to 255, as Caffe's networks take them."""
    return pixels.flip(1) - torch.tensor(MEANS).view(1, 3, 1, 1)


# ---- MobileNetV1 ---------------------------------------------------------------------------
# strides and channels of the depthwise and pointwise pairs
PAIRS = tuple(zip((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
                  (48, 96, 96, 192, 192, *(384,) * 6, 768, 768), strict=True))


class MobileNet(nn.Module):
    """(n, 3, 192, 192) to (n, 1001), of which the first is no class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 24, 3, 2)
        before = 24
        for number, (stride, channels) in enumerate(PAIRS, 1):
            self.add_module(f"dw{number}", nn.Conv2d(before, before, 3, stride, groups=before))
            self.add_module(f"pw{number}", nn.Conv2d(before, channels, 1))
            before = channels
        self.logits = nn.Linear(before, 1001)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.conv0(same(x, 2)))
        for number, (stride, _) in enumerate(PAIRS, 1):
            filtered = functional.relu6(self.get_submodule(f"dw{number}")(same(x, stride)))
            x = functional.relu6(self.get_submodule(f"pw{number}")(filtered))
        return self.logits(x.mean((2, 3)))


def same(x: Tensor, stride: int) -> Tensor:
    """Zeros around a map of even size for a 3x3 kernel, where TensorFlow's SAME has them."""
    before = 2 - stride
    return functional.pad(x, (before, 1, before, 1))


def mobilenet() -> Model:
    """The network with its weights, an example, and its preprocess."""
    with np.load(folder() / MOBILENET, allow_pickle=False) as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files
                 if name.endswith((".weight", ".bias"))}
    module = MobileNet()
    module.load_state_dict(state)
    return module.eval(), (torch.zeros(1, 3, 192, 192),), centred


def centred(pixels: Tensor) -> Tensor:
    """Pixels 0 to 255 as numbers from -1 to 1."""
    return (pixels - 128) / 128


# ---- images --------------------------------------------------------------------------------
class Samples(NamedTuple):
    """Pixels (n, H, W, 3) and classes (n,)."""

    pixels: Pixels
    labels: NDArray[np.int64]

    def planes(self) -> NDArray[np.float32]:
        """(n, 3, H, W), as models take them."""
        return np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2), np.float32)


def samples(size: int = 227, every: int = 1) -> Samples:
    """The sample images, one a class, or every so many of them; resized where another size than
    their own 227 is asked for."""
    source = folder() / "imagenet_sample"
    with (source / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::every]
    pixels = [_read(source / row["file"], size) for row in rows]
    return Samples(np.stack(pixels), np.array([int(row["class_index"]) for row in rows]))


def _read(path: Path, size: int) -> Pixels:
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(rgb, np.uint8)


# ---- accuracy ------------------------------------------------------------------------------
def accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Share of images whose class is the largest, and among the largest five; of 1001 outputs the
    first is no class. Equal ones count as larger where they come first."""
    logits = logits[:, -1000:]
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    hits = best == labels[:, None]
    return float(hits[:, 0].mean()), float(hits.any(axis=1).mean())
