"""The passes together: canonical graphs compute what torch computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from kcnn.compiler import passes
from kcnn.compiler.errors import InternalError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import AvgPool, Concat, Conv, Graph, MaxPool, Output
from kcnn.compiler.passes import PASSES, canonicalise
from kcnn.compiler.quantise import emulate
from networks import Join, Residual, Shortcut, networks, randomise
from torch import Tensor, nn
from torch.nn import functional as F


class Function(nn.Module):
    """A module of a function and some submodules."""

    def __init__(self, function: Callable[..., object], *modules: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(modules)
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x, *self.layers)


def canonical(module: nn.Module, shape: tuple[int, int, int], seed: int = 1) -> Graph:
    """The canonical graph, after checking that it computes what torch does."""
    randomise(module, seed)
    traced = trace(module, (torch.zeros(2, *shape),))
    graph = canonicalise(traced)
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = module(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = emulate.run(graph, x.numpy().astype(np.float64))
    outputs = [node.name for node in graph if isinstance(node.op, Output)]
    for name, y in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found[name].reshape(y.shape), y.numpy(), rtol=1e-4, atol=1e-4)
    return graph


def layers(graph: Graph) -> list[str]:
    """Every node that computes, as kind:function (+ for a skip input)."""
    out = []
    for node in graph:
        op = node.op
        if isinstance(op, Conv):
            skip = "+" if len(graph.inputs(node.name)) == 2 else ""
            out.append(f"{op.kind}{skip}:{op.function}")
        elif graph.inputs(node.name) and not isinstance(op, Output):
            function = getattr(op, "function", "")
            out.append(type(op).__name__ + (f":{function}" if function else ""))
    return out


@settings(max_examples=15)
@given(networks())
def test_random_networks(case: tuple) -> None:
    module, shape = case
    traced = trace(module, (torch.zeros(2, *shape),))
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3)).numpy()
    before, after = emulate.run(traced, x), emulate.run(canonicalise(traced), x)
    np.testing.assert_allclose(after["output"], before["output"], rtol=1e-6, atol=1e-6)


def test_passes_leave_their_argument_alone() -> None:
    module = nn.Sequential(nn.BatchNorm2d(1), nn.ZeroPad2d(1), nn.Conv2d(1, 2, 3),
                           nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                           nn.ReLU(), nn.Linear(8, 3))
    graph = trace(randomise(module, 0), (torch.zeros(1, 1, 5, 5),))
    for run in PASSES:
        before = [(node, graph.inputs(node.name)) for node in graph]
        after = run(graph)
        assert [(node, graph.inputs(node.name)) for node in graph] == before
        graph = after


CONV = dict(kernel_size=3, padding=1)


@pytest.mark.parametrize(("module", "shape", "expected"), [
    # batch norms
    (nn.Sequential(nn.Conv2d(2, 4, **CONV), nn.BatchNorm2d(4), nn.ReLU()), (2, 4, 5),
     ["Conv2d:relu"]),
    (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2)), (4, 5, 5),
     ["Conv2d:identity"]),
    (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, **CONV)), (4, 5, 5),
     ["BatchNorm2d:identity", "Conv2d:identity"]),
    (nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1)), (2, 4, 4),
     ["Copy:identity", "MaxPool", "BatchNorm2d:relu", "Conv2d:identity"]),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2)), (1, 4, 4),
     ["Conv2d:identity"]),
    (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 3)), (3, 2, 2),
     ["Linear:identity"]),
    (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)), (3, 2, 2),
     ["Flatten:relu", "Linear:identity"]),
    # flatten
    (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Linear(75, 4)), (2, 5, 5),
     ["Conv2d:identity", "Linear:identity"]),
    (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Dropout(), nn.ReLU(), nn.Linear(30, 4)),
     (2, 5, 2), ["Conv2d:relu", "Linear:identity"]),
    (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4), nn.BatchNorm1d(4)),
     (2, 5, 2), ["AvgPool:identity", "Linear:identity"]),
    (nn.Flatten(), (2, 3, 2), ["Flatten:identity"]),
    (Function(lambda x: torch.cat([x.flatten(1), F.relu(x.flatten(1))], 1)), (2, 3, 2),
     ["Flatten:identity", "Activation:relu", "Flatten:identity", "Concat"]),
    # padding
    (nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(1, 2, 3, padding=1)), (1, 4, 4),
     ["Conv2d:identity"]),
    (nn.Sequential(nn.ZeroPad2d(1), nn.ZeroPad2d((1, 0, 0, 2)), nn.Conv2d(1, 2, 3)), (1, 4, 4),
     ["Conv2d:identity"]),
    (nn.Sequential(nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2)), (1, 4, 4),
     ["Activation:relu", "MaxPool"]),
    (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2)), (1, 4, 4), ["Pad:identity",
                                                                               "MaxPool"]),
    (nn.Sequential(nn.ReLU(), nn.ZeroPad2d(3), nn.MaxPool2d(2)), (1, 4, 4),
     ["Activation:relu", "Pad:identity", "MaxPool"]),
    (nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(3, 2)), (1, 5, 5), ["AvgPool:identity"]),
    (nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)), (1, 5, 5),
     ["Pad:identity", "AvgPool:identity"]),
    # additions
    (nn.Sequential(nn.Conv2d(1, 2, 1), Residual(nn.Conv2d(2, 2, **CONV), nn.ReLU())), (1, 3, 3),
     ["Conv2d:identity", "Conv2d+:relu"]),
    (nn.Sequential(nn.Conv2d(1, 2, 1),
                   Residual(nn.Sequential(nn.Conv2d(2, 2, **CONV), nn.ReLU()), nn.ReLU())),
     (1, 3, 3), ["Conv2d:identity", "Conv2d:relu", "Add:relu"]),
    (Residual(nn.Conv2d(2, 2, **CONV), nn.Identity()), (2, 3, 3),
     ["Copy:identity", "Conv2d:identity", "Add:identity"]),
    (Function(lambda x, a, b: a(x.relu()) + b(x.relu()), nn.Conv2d(2, 4, 1),
              nn.Conv2d(2, 4, **CONV)),
     (2, 3, 3), ["Activation:relu", "Activation:relu", "Conv2d:identity", "Conv2d+:identity"]),
    (Function(lambda x: x + x), (2, 3, 3), ["Add:identity"]),
    (Function(lambda x, a, b: F.relu(a(x) + b(x) + x), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)),
     (2, 3, 3), ["Copy:identity", "Conv2d:identity", "Conv2d:identity", "Add:identity",
                 "Add:relu"]),
    # activations
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.Tanh()), (1, 4, 4),
     ["Conv2d:relu6", "Activation:tanh"]),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.ReLU()), (1, 6, 6),
     ["Conv2d:relu", "MaxPool"]),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.GELU()), (1, 6, 6),
     ["Conv2d:identity", "MaxPool", "Activation:gelu"]),
    (nn.Sequential(nn.AvgPool2d(2), nn.Hardswish()), (1, 6, 6), ["AvgPool:hardswish"]),
    (nn.Sequential(Join(nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)), nn.ReLU()), (1, 3, 3),
     ["Conv2d:relu", "Conv2d:relu", "Concat"]),
    (nn.Sequential(nn.Conv2d(1, 2, 1), Join(nn.Identity(), nn.Conv2d(2, 3, 1)), nn.ReLU()),
     (1, 3, 3), ["Conv2d:identity", "Conv2d:identity", "Concat", "Activation:relu"]),
    (Function(lambda x, a: (F.relu(a(x)), a(x)), nn.Conv2d(1, 2, 1)), (1, 3, 3),
     ["Conv2d:relu", "Conv2d:identity"]),
    (Function(lambda x, a: (lambda y: (F.relu(y), y))(a(x)), nn.Conv2d(1, 2, 1)), (1, 3, 3),
     ["Conv2d:identity", "Activation:relu"]),
    # the input is read by layers of every kind
    (Function(lambda x, a: torch.cat([x, a(x), F.max_pool2d(x, 3, 1, 1)], 1), nn.Conv2d(1, 2, 1)),
     (1, 3, 3), ["Copy:identity", "Conv2d:identity", "MaxPool", "Concat"]),
    (nn.Identity(), (1, 2, 2), ["Copy:identity"]),
    # pools in ceil mode
    (nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True)), (1, 6, 8),
     ["Activation:relu", "MaxPool"]),
    (nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True), (1, 6, 5), ["AvgPool:identity"]),
    (nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True, count_include_pad=False), (1, 6, 5),
     ["AvgPool:identity"]),
    (nn.AvgPool2d(3, 2, ceil_mode=True, divisor_override=5), (1, 6, 6), ["AvgPool:identity"]),
    (nn.AdaptiveAvgPool2d((2, 3)), (2, 4, 9), ["AvgPool:identity"]),
    # one module in two places
    (Function(lambda x, a: a(F.relu(a(x))), nn.Conv2d(2, 2, **CONV)), (2, 3, 3),
     ["Conv2d:relu", "Conv2d:identity"]),
])
def test_canonical_form(module: nn.Module, shape: tuple[int, int, int], expected: list[str]
                        ) -> None:
    found = layers(canonical(module, shape))
    assert sorted(found) == sorted(expected)


def test_of_two_convolutions_the_larger_one_adds() -> None:
    module = Function(lambda x, a, b: (lambda y: a(y) + b(y))(F.relu(x)),
                      nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, **CONV))
    graph = canonical(module, (2, 3, 3))
    assert graph.inputs("layers.1") == ["relu", "layers.0"]


def test_a_linear_layer_reads_the_map_in_the_order_of_torch() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 5, 4))
    op = canonical(module, (2, 3, 5))["1"].op
    assert isinstance(op, Conv)
    np.testing.assert_array_equal(op.weight[3, 1, 2, 4], module[1].weight[3, 29].detach().numpy())


def test_nodes_keep_name_and_path_of_their_layer() -> None:
    graph = canonical(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(),
                                    nn.MaxPool2d(2)), (1, 6, 6))
    assert [(node.name, node.path) for node in graph][1:3] == [("0", "0"), ("3", "3")]


def test_densely_connected_blocks() -> None:
    def function(x: Tensor, *convs: nn.Module) -> Tensor:
        for conv in convs:
            x = torch.cat([x, F.relu(conv(x))], 1)
        return F.max_pool2d(x, 2)

    graph = canonical(Function(function, *(nn.Conv2d(2 + i, 1, **CONV) for i in range(3))),
                      (2, 6, 5))
    assert sum(isinstance(node.op, Concat) for node in graph) == 3
    assert sum(isinstance(node.op, MaxPool | AvgPool) for node in graph) == 1


# ---- slices -----------------------------------------------------------------------------------
def shortcut(stride: int, channels: tuple[int, int]) -> nn.Module:
    branch = nn.Sequential(nn.Conv2d(2, 3, 3, stride, padding=1), nn.ReLU(),
                           nn.Conv2d(3, 2 + sum(channels), 1))
    return nn.Sequential(nn.Conv2d(1, 2, 1), Shortcut(branch, stride, channels, nn.ReLU()))


def test_a_shortcut_of_every_second_pixel_is_read_by_the_convolution_itself() -> None:
    graph = canonical(shortcut(2, (1, 2)), (1, 7, 6))
    assert layers(graph) == ["Conv2d:identity", "Conv2d:relu", "Conv2d+:relu"]
    (node,) = (node for node in graph if len(graph.inputs(node.name)) == 2)
    assert graph.inputs(node.name) == ["1.branch.0", "0"]
    assert isinstance(node.op, Conv) and node.op.skip.stride == (2, 2)
    assert node.op.skip.channels is not None
    assert node.op.skip.channels.tolist() == [-1, 0, 1, -1, -1]


def test_a_shortcut_may_begin_inside_the_map() -> None:
    convs = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 3, (2, 1))
    graph = canonical(Function(lambda x, a, b: b(a(x)) + a(x)[:, 1:, 1:-1, 2:][:, :, ::2],
                               *convs), (1, 7, 5))
    op = next(node.op for node in graph if len(graph.inputs(node.name)) == 2)
    assert isinstance(op, Conv) and op.skip.offset == (1, 2) and op.skip.stride == (2, 1)


def test_slices_of_slices_are_one() -> None:
    def function(x: Tensor, conv: nn.Module) -> Tensor:
        return F.pad(conv(x)[:, 1:, 1::2][:, :, 1:, ::3], (0, 0, 0, 0, 1, 0))

    assert layers(canonical(Function(function, nn.Conv2d(1, 3, 1)), (1, 9, 8))) == [
        "Conv2d:identity", "Slice:identity"]


def test_a_slice_of_padding_and_one_with_a_batch_norm_stay_layers() -> None:
    conv, norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
    for function in (lambda x, c, n: c(c(x)) + F.pad(c(x), (1, 1, 1, 1))[:, :, :-2, 2:],
                     lambda x, c, n: c(x[:, :, 1:]) + n(c(x)[:, :, 1:])):
        assert "Slice" in " ".join(layers(canonical(Function(function, conv, norm), (2, 5, 5))))


def test_a_slice_of_the_input_is_computed_once() -> None:
    convs = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
    graph = canonical(Function(lambda x, a, b: b(a(x)[:, :, ::2]) + x[:, :, ::2], *convs),
                      (2, 5, 5))
    assert [kind for kind in layers(graph) if "Slice" in kind] == ["Slice:identity"] * 2


def test_a_broken_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop_functions(graph: Graph) -> Graph:
        graph = graph.copy()
        graph.nx.remove_node("1")
        return graph

    monkeypatch.setattr(passes, "PASSES", (PASSES[0], drop_functions, *PASSES[1:]))
    graph = trace(randomise(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), 0),
                  (torch.zeros(1, 1, 5, 5),))
    with pytest.raises(InternalError, match=r"pass drop_functions: 0 \(Conv\) is read by nothing"):
        canonicalise(graph)
