"""A network of everything that the digits network has not: a test of the compiler, not of skill.

Grouped, dilated and asymmetric convolutions, concat, two residual adds, a signed tensor, both
pools (the average one over a border that does not count) and odd sizes; seeded random weights.

    python examples/odd/model.py        writes out/odd/calibration.npz and out/odd/test.npy
    kcnn compile examples/odd/model.py:network --calibration out/odd/calibration.npz \
        --config tiny -o out/odd/odd.kbin
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SHAPE = (2, 9, 7)
CLASSES = 5
SEED = 7


class Odd(nn.Module):
    """float32 (N, 2, 9, 7) to (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 8, (5, 3), padding=(2, 1)), nn.ReLU())
        self.grouped = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.ReLU())
        self.dilated = nn.Sequential(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2),
                                     nn.BatchNorm2d(8), nn.ReLU())
        self.merge = nn.Conv2d(16, 8, 1)
        self.pool = nn.MaxPool2d((3, 2), stride=2, padding=(1, 0))                # 5x3
        self.down = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU())   # 3x2
        self.tall = nn.Sequential(nn.Conv2d(12, 12, (3, 1), padding=(1, 0)), nn.ReLU())
        self.wide = nn.Conv2d(12, 12, (1, 3), padding=(0, 1))
        self.average = nn.AvgPool2d(2, stride=1, padding=1, count_include_pad=False)     # 4x3
        self.classify = nn.Linear(12 * 4 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        both = torch.cat([self.grouped(x), self.dilated(x)], dim=1)
        x = self.down(self.pool(torch.relu(self.merge(both) + x)))
        x = self.wide(self.tall(x)) + x
        return self.classify(self.average(x).flatten(1))


def network() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network in inference mode, the same at every call, and its example inputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = Odd()
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.uniform_(module.dilated[1].running_mean, -0.2, 0.2)
        nn.init.uniform_(module.dilated[1].running_var, 0.2, 0.6)
    return module.eval(), (torch.zeros(1, *SHAPE),)


def samples(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Smooth random images of both signs, float32 (count, 2, 9, 7)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, *SHAPE))
    smooth = noise + np.roll(noise, 1, axis=-1) + np.roll(noise, 1, axis=-2)
    return (smooth / np.abs(smooth).max()).astype(np.float32)


def main() -> None:
    """Write the data that the compiler and the engines take."""
    folder = Path(__file__).resolve().parents[2] / "out" / "odd"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "calibration.npz", x=samples(64))
    np.save(folder / "test.npy", samples(4, seed=1))


if __name__ == "__main__":
    main()
