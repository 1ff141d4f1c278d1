"""The network of the demo: a small residual CNN for 8x8 handwritten digits.

`small_cnn` is the untrained module; `network`, trained, is what `kcnn compile` takes:

    kcnn compile examples/digits/model.py:network --calibration out/digits/calibration.npz ...
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

CHANNELS = 16
CLASSES = 10
HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "out" / "digits" / "weights.pt"


class ConvNorm(nn.Sequential):
    """3x3 convolution and batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            norm=nn.BatchNorm2d(outputs)))


class Residual(nn.Module):
    """relu(x + two 3x3 convolutions of x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


def small_cnn() -> nn.Sequential:
    """The network, untrained: float32 (N, 1, 8, 8) in 0..1 to logits (N, 10)."""
    return nn.Sequential(OrderedDict(
        stem=ConvNorm(1, CHANNELS),                       # 8x8
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),        # 4x4
        residual=Residual(CHANNELS),
        down=ConvNorm(CHANNELS, CHANNELS, stride=2),      # 2x2
        relu_down=nn.ReLU(),
        mean=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classify=nn.Linear(CHANNELS, CLASSES),
    ))


def preprocess(pixels: Tensor) -> Tensor:
    """Pixels 0..16, as scikit-learn has them, to what the network was trained on."""
    return pixels / 16


def _trained() -> bool:
    """Are there weights, and are they younger than what makes them?"""
    sources = (HERE / "model.py", HERE / "train.py")
    return WEIGHTS.exists() and all(
        path.stat().st_mtime < WEIGHTS.stat().st_mtime for path in sources)


def network() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The trained network in inference mode and its example inputs; trains first if need be.

    Training runs in a process of its own, so that it sees one thread and fresh random numbers
    whatever the caller has done with torch.
    """
    if not _trained():
        subprocess.run([sys.executable, str(HERE / "train.py")], check=True,
                       env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    module = small_cnn()
    module.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return module.eval(), (torch.zeros(1, 1, 8, 8),)
