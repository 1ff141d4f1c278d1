"""Weights that a network computes of its parameters are what torch makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

X = torch.zeros(2, 4, 6, 6)


def conv() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(4, 3, 3)


def pruned() -> nn.Module:
    module = conv()
    prune.l1_unstructured(module, "weight", amount=0.5)
    return module


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / self.weight.std(), self.bias)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("make", [
    lambda: weight_norm(conv()), lambda: parametrizations.weight_norm(conv()),
    lambda: spectral_norm(conv()), lambda: parametrizations.spectral_norm(conv()),
    lambda: parametrizations.orthogonal(conv()), pruned, lambda: Standardised(4, 3, 3),
])
def test_weights_that_are_computed(make: Callable[[], nn.Module]) -> None:
    module = make().eval()
    impulse = torch.zeros(4, 4, 3, 3)
    (op,) = (node.op for node in trace(nn.Sequential(module), (X,)) if isinstance(node.op, Conv))
    assert isinstance(op, Conv)
    for channel in range(4):
        for y, x in np.ndindex(3, 3):
            impulse.zero_()[channel, channel, y, x] = 1
            with torch.no_grad():
                found = module(impulse)[channel, :, 0, 0].numpy() - op.bias
            np.testing.assert_allclose(found, op.weight[:, channel, y, x], atol=1e-6)


def test_what_depends_on_the_batch_is_no_constant() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, torch.zeros(x.shape[0], 1, 6, 6)], 1)

    exported = torch.export.export(Net(), (X,), dynamic_shapes=({0: torch.export.Dim("n")},))
    with pytest.raises(CompileError, match="zeros .*it depends on the size of the batch"):
        trace(exported, ())


def test_a_constant_that_does_not_fit_is_refused() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.zeros(1 << 20, 1 << 20).mean()

    with pytest.raises(CompileError, match=r"makes a constant of \(1048576, 1048576\), which is"):
        exported = torch.export.export(Net(), (X,))
        trace(exported, ())


def test_few_values_that_stand_for_many_are_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1).expand(1 << 20, 4, 6, 6))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight)

    with pytest.raises(CompileError, match="^weight: 150,994,944 values repeat a few; store the"):
        trace(Net(), (X,))
