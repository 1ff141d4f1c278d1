"""A small network, compiled once, and images for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from kcnn import api
from torch import nn

MEAN = torch.tensor([0.5, 0.45, 0.4])[:, None, None]


def pixels(count, seed=0):
    """Smooth colour images, uint8 (count, 3, 8, 8)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 3, 12, 12)).cumsum(2).cumsum(3)[:, :, 4:, 4:]
    noise -= noise.min((1, 2, 3), keepdims=True)
    return (255 * noise / noise.max((1, 2, 3), keepdims=True)).astype(np.uint8)


def preprocess(x):
    return (x / 255 - MEAN) / 0.25


@dataclasses.dataclass(frozen=True)
class Work:
    """module: the float network. net: compiled from it. few: pixels for it; ready: these behind
    its preprocess."""

    module: nn.Module
    net: api.CompiledNet
    calibration: np.ndarray
    few: np.ndarray
    ready: np.ndarray


@pytest.fixture(scope="session")
def work():
    torch.manual_seed(4)
    module = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten(),
                           nn.Linear(54, 4)).eval()
    calibration, few = pixels(40), pixels(5, 1)
    net = api.compile(module, calibration, "tiny", preprocess=preprocess, min_sqnr=None)
    ready = preprocess(torch.from_numpy(few).float()).numpy()
    return Work(module, net, calibration, few, ready)
