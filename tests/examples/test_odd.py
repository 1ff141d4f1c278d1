"""The odd network: the same every time, and really odd."""

from __future__ import annotations

import numpy as np
import torch
from scripts import script
from torch import nn

odd = script("examples/odd/model")


def test_network_is_the_same_every_time_and_leaves_torch_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = odd.network()[0], odd.network()[0]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, second.state_dict()[name])
               for name, value in first.state_dict().items())
    assert not first.training


def test_network_has_everything_that_is_odd() -> None:
    layers = list(odd.Odd().modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert any(layer.groups > 1 for layer in convolutions)
    assert any(layer.dilation != (1, 1) for layer in convolutions)
    assert any(layer.kernel_size[0] != layer.kernel_size[1] for layer in convolutions)
    assert any(layer.stride != (1, 1) for layer in convolutions)
    assert {nn.MaxPool2d, nn.AvgPool2d, nn.Linear} <= {type(layer) for layer in layers}
    assert odd.SHAPE[1] % 2 and odd.SHAPE[2] % 2


def test_network_takes_the_samples_and_tells_them_apart() -> None:
    module, (example,) = odd.network()
    samples = odd.samples(16)
    assert samples.dtype == np.float32 and samples.shape[1:] == example.shape[1:]
    with torch.no_grad():
        logits = module(torch.tensor(samples))
    assert logits.shape == (16, odd.CLASSES)
    assert logits.std(dim=0).min() > 0.05


def test_samples_depend_on_the_seed_alone() -> None:
    assert np.array_equal(odd.samples(4), odd.samples(4))
    assert not np.array_equal(odd.samples(4), odd.samples(4, seed=1))
    assert odd.samples(4).min() < 0 < odd.samples(4).max()
