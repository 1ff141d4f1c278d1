"""Arithmetic with constants computes what torch computes, and what is a function becomes one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from kcnn.compiler import passes
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Activation, Conv, Graph, Input, Output
from kcnn.compiler.quantise import emulate
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE = 3, 5, 4
A, B = torch.rand(2, 3, 1, 1, generator=torch.Generator().manual_seed(1)) + 0.5


class Net(nn.Module):
    """A function behind a convolution, whose first reader it is not."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv2d(3, 3, 3, padding=1), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


def traced(function: Callable[..., Tensor]) -> tuple[Graph, nn.Module]:
    net = Net(function)
    return trace(net, (torch.zeros(2, *SHAPE),)), net


@pytest.mark.parametrize("function", [
    lambda x: x + 1, lambda x: x - 2, lambda x: 1 - x, lambda x: -x, lambda x: 3 * x,
    lambda x: x / 4, lambda x: (x - A) / B, lambda x: A - x, lambda x: B * x + A[None],
    lambda x: x + torch.rsub(x, 3, alpha=2), lambda x: x - F.relu(x),
    lambda x: torch.add(x, F.relu(x), alpha=2), lambda x: torch.sub(F.relu(x), x, alpha=0.5),
    lambda x: x.mean((2, 3)) * A.flatten() + 1, lambda x: x.flatten(1) * torch.arange(60.0),
    lambda x: (x.flatten(2) * A[:, 0]).mean(2), lambda x: F.relu(x * 2 + 1) / 3,
    lambda x: F.relu(x) * 2 / 2,
    lambda x: x * torch.sigmoid(x), lambda x: torch.sigmoid(x) * x, lambda x: x * F.hardsigmoid(x),
    lambda x: x * F.relu6(x + 3) / 6, lambda x: x * (F.relu6(x + 3) / 6),
    lambda x: F.hardtanh(3 + x, 0, 6) * x * 0.5, lambda x: F.relu6(x + 3) / 6,
    lambda x: torch.where(x > 0, x, 0.1 * x), lambda x: torch.where(x <= 0, -x, x),
    lambda x: F.relu(x - 1).clamp(0.5, 2), lambda x: x.flatten(1) @ torch.arange(60.0)[:, None],
    lambda x: torch.addmm(A[0, :1], x.flatten(1), torch.ones(60, 3), beta=2, alpha=0.5),
    lambda x: x * F.relu6(x + 3) / 6 + F.relu6(x + 3), lambda x: (x * F.relu6(x + 3)) * 2,
])
def test_arithmetic_computes_what_torch_computes(function: Callable[..., Tensor]) -> None:
    graph, net = traced(function)
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = net(x)
    for form in (graph, passes.canonicalise(graph)):
        found = emulate.run(form, x.numpy().astype(np.float64))["output"]
        np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("function", "name"), [
    (lambda x: x * torch.sigmoid(x), "silu"), (lambda x: torch.sigmoid(x) * x, "silu"),
    (lambda x: x * F.hardsigmoid(x), "hardswish"), (lambda x: x * F.relu6(x + 3) / 6, "hardswish"),
    (lambda x: F.relu6(x + 3) / 6 * x, "hardswish"),
])
def test_products_that_are_a_function_become_it(function: Callable, name: str) -> None:
    graph, _ = traced(function)
    assert [n.op.function for n in graph if isinstance(n.op, Activation)] == [name]
    graph = passes.canonicalise(graph)
    assert [type(node.op) for node in graph] == [Input, Conv, Output]
    assert graph["conv"].op.function == name


@pytest.mark.parametrize("function", [
    lambda x: (x - A) / B, lambda x: 1 - 2 * x, lambda x: 5 * (x + A) / B - 1,
])
def test_constants_in_a_row_disappear_in_the_layer_before(function: Callable) -> None:
    graph, _ = traced(function)
    kinds = [type(node.op) for node in passes.canonicalise(graph)]
    assert kinds == [Input, Conv, Output]


@pytest.mark.parametrize(("function", "sentence"), [
    (lambda x: x * F.relu(x), r"mul .*it multiplies two tensors that depend on the input; a prod"),
    (lambda x: x * torch.sigmoid(x + 1), "it multiplies two tensors"),
    (lambda x: x * F.relu6(x + 2) / 6, "it multiplies two tensors"),
    (lambda x: x / (1 + F.relu(x)), r"div .*it divides by something else than constants"),
    (lambda x: torch.div(x, 2, rounding_mode="floor"), r"div .*, or rounds"),
    (lambda x: x / 0, r"div .*it divides by zero"),
    (lambda x: x + torch.arange(4.0), r"add .*its constant differs within a channel; a consta"),
    (lambda x: x + torch.arange(2.0)[:, None, None, None], "differs within a channel"),
    (lambda x: x[:, :1] * A, r"mul .*its constant has more elements than the tensor"),
    (lambda x: x + x.mean((2, 3), keepdim=True), r"add .*they must be equal"),
    (lambda x: x * float("nan"), r"mul .*its constant is nan"),
])
def test_what_is_none_is_refused(function: Callable, sentence: str) -> None:
    with pytest.raises(CompileError, match=sentence):
        traced(function)
