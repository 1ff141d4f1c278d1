"""Costs of layers: measured counts are what a loop counts; figures of the papers are met."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import account
from torch import nn


def counted(conv: nn.Conv2d, x: np.ndarray) -> tuple[int, int, int]:
    """Products in all, of non-zero activations, of non-zero activations and weights, by a loop."""
    weight = conv.weight.detach().numpy()
    k, depth, kh, kw = weight.shape
    (sy, sx), (py, px) = conv.stride, conv.padding
    dy, dx = conv.dilation
    padded = np.pad(x, ((0, 0), (py, py), (px, px)))
    rows = (padded.shape[1] - dy * (kh - 1) - 1) // sy + 1
    columns = (padded.shape[2] - dx * (kw - 1) - 1) // sx + 1
    every = active = matched = 0
    for m, c, r, s, i, j in itertools.product(range(k), range(depth), range(kh), range(kw),
                                              range(rows), range(columns)):
        channel = m // (k // conv.groups) * depth + c
        value = padded[channel, i * sy + r * dy, j * sx + s * dx]
        every += 1
        active += bool(value)
        matched += bool(value) and bool(weight[m, c, r, s])
    return every, active, matched


@settings(max_examples=15)
@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2),
       st.integers(1, 2))
def test_a_convolution_is_counted_as_a_loop_counts(seed: int, groups: int, stride: int,
                                                   padding: int, dilation: int) -> None:
    rng = np.random.default_rng(seed)
    conv = nn.Conv2d(2 * groups, 3 * groups, (2, 3), stride, padding, dilation, groups)
    with torch.no_grad():
        conv.weight.mul_(torch.tensor(rng.random(conv.weight.shape) < 0.5))
    x = (rng.random((2, 2 * groups, 6, 7)) * (rng.random((2, 2 * groups, 6, 7)) < 0.6)
         ).astype(np.float32)
    (layer,) = account.measure(conv, torch.tensor(x))
    counts = np.mean([counted(conv, image) for image in x], axis=0)
    assert [layer.macs, layer.active, layer.matched] == pytest.approx(counts.tolist())
    assert layer.nonzero == int((conv.weight != 0).sum())
    assert (layer.inputs, layer.nonzero_inputs) == (x[0].size, np.count_nonzero(x) / 2)


def test_a_network_is_counted_layer_by_layer_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(),
                        nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4))
    with torch.no_grad():
        net[4].weight[:, 3:] = 0
    before = {name: value.clone() for name, value in net.state_dict().items()}
    conv, first, second = account.measure(net.train(), torch.randn(5, 1, 4, 4))
    assert [layer.name for layer in (conv, first, second)] == ["0", "4", "6"]
    assert (conv.kind, conv.shape, conv.positions, conv.macs) == ("conv", (2, 1, 3, 3), 4, 72)
    assert (first.kind, first.shape, first.macs) == ("fc", (4, 8, 1, 1), 32)
    assert first.nonzero == 12 and first.used_macs == 12 and first.density == 12 / 32
    assert first.matched <= 12 and first.matched < first.active <= 32
    assert net.training and not net[4]._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_layer_that_runs_twice_counts_once_with_the_work_of_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(3, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.part(self.part(x))

    net = Twice()
    (layer,) = account.measure(net, torch.ones(1, 3))
    assert (layer.weights, layer.macs, layer.matched) == (9, 18, 18)


def test_operations_add_up_and_follow_their_formulas() -> None:
    layer = account.Layer.of_densities("a", "conv", (4, 2, 3, 3), 10, 100, weight=0.5,
                                       activation=0.25)
    assert account.original(layer) == account.Operations(720, 720)
    assert account.skipping(layer, zero_weights=False) == account.Operations(180, 180)
    assert account.skipping(layer, zero_weights=True) == account.Operations(90, 90)
    assert account.clustered(layer, 3, zero_weights=True) == account.Operations(120, 90 + 120)
    both = account.total([account.original(layer), account.clustered(layer, 3, False)])
    assert both == account.Operations(840, 720 + 180 + 120)
    assert both.both == 840 + 1020


def test_bytes_follow_their_formulas() -> None:
    layer = account.Layer.of_densities("a", "fc", (3, 5, 1, 1), 1, 5)
    assert account.dense_bytes(layer) == 60 and account.dense_bytes(layer, 5) == 10
    assert [account.index_bits(n, False) for n in (1, 2, 3, 16, 17)] == [1, 1, 2, 4, 5]
    assert [account.index_bits(n, True) for n in (1, 3, 15, 16)] == [1, 2, 4, 5]
    assert account.codebook_bytes(layer, 16) == 8 + 32
    assert account.codebook_bytes(layer, 16, zero=True) == 10 + 32
