"""The table of what is supported: torch has its operations, and what it says is so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler import passes
from kcnn.compiler.frontend.supported import ADVICE, ADVICE_OF_LAYERS, HANDLERS, LAYERS
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.quantise import emulate
from torch import nn


def test_torch_has_every_operation() -> None:
    missing = [name for name in (*HANDLERS, *ADVICE)
               if name != "getitem" and not hasattr(torch.ops.aten, name)]
    assert missing == []


def test_torch_has_every_layer_that_is_advised_on() -> None:
    assert [name for name in ADVICE_OF_LAYERS if not hasattr(nn, name)] == []


def test_an_operation_has_one_handler_or_one_advice() -> None:
    names = [name for layer in LAYERS for name in layer.operations]
    assert len(names) == len(set(names)) and not set(names) & set(ADVICE)


@pytest.mark.parametrize("module", [
    nn.Conv2d(2, 3, (9, 7)), nn.Conv2d(2, 3, (9, 7), stride=9, padding=(8, 6)),
    nn.Conv2d(2, 2, (2, 3), dilation=(8, 3), groups=2, padding="same"),
    nn.MaxPool2d((9, 7)), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.MaxPool2d(4, 3, 2, 2, ceil_mode=True), nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(4, 3, 2, ceil_mode=True, divisor_override=7),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.AvgPool2d((9, 1), 3),
])
def test_large_kernels_ceil_modes_and_divisors_are_right(module: nn.Module) -> None:
    net = nn.Sequential(nn.ReLU(), module)
    graph = passes.canonicalise(trace(net, (torch.zeros(1, 2, 9, 7),)))
    x = torch.randn(3, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = net(x)
    found = emulate.run(graph, x.numpy().astype(np.float64))["output"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
