"""Networks built by hand, without torch: the same graphs, the same refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler import passes
from kcnn.compiler.construct import arithmetic, functions, pools, shapes, weighted
from kcnn.compiler.construct.site import Site, Value, input_, output, padded
from kcnn.compiler.errors import CompileError, InternalError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph, Output
from networks import randomise
from torch import Tensor, nn


class Net(nn.Module):
    """Convolution, batch norm, a skip connection, pools and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.same, self.fc = nn.Conv2d(4, 4, 1, bias=False), nn.Linear(36, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)).relu()
        y = nn.functional.max_pool2d(y + self.same(y), 2)
        return self.fc(y.flatten(1))


def by_hand(net: Net) -> Graph:
    """The same with the constructors, of the same arrays."""
    arrays = {name: value.double().numpy() for name, value in net.state_dict().items()}
    graph = Graph()

    def at(path: str, name: str = "") -> Site:
        return Site(graph, path, name or path)

    x = input_(at("forward", "x"), (2, 6, 6))
    y = weighted.conv2d(at("conv"), x, arrays["conv.weight"], arrays["conv.bias"],
                        padding=(1, 1, 1, 1))
    y = weighted.batch_norm(at("norm"), y, *(arrays[f"norm.{name}"] for name in (
        "running_mean", "running_var", "weight", "bias")), net.norm.eps)
    y = functions.activation(at("forward", "relu"), y, "relu")
    y = arithmetic.combine(at("forward", "add"), y,
                           weighted.conv2d(at("same"), y, arrays["same.weight"]))
    y = pools.max_pool2d(at("forward", "max_pool2d"), y, (2, 2), (2, 2))
    y = weighted.linear(at("fc"), shapes.reshape(at("forward"), y, (36,)), arrays["fc.weight"],
                        arrays["fc.bias"])
    output(at("forward", "output"), y)
    return graph


def told(graph: Graph) -> list[tuple]:
    return [(node.name, type(node.op), node.shape, node.path, graph.inputs(node.name),
             {key: value.tolist() if isinstance(value, np.ndarray) else str(value)
              for key, value in vars(node.op).items()}) for node in graph]


def test_a_network_built_by_hand_is_the_traced_one() -> None:
    net = randomise(Net(), 0).eval()
    mine, torchs = by_hand(net), trace(net, (torch.zeros(2, 2, 6, 6),))
    assert told(mine) == told(torchs)
    assert told(passes.canonicalise(mine)) == told(passes.canonicalise(torchs))


def test_values_hold_as_many_elements_as_their_maps() -> None:
    assert Value("x", (4, 2, 3), (4, 6)).dimensions == 3
    assert Value("x", (4, 2, 1), (4, 2)).whole and not Value("x", (4, 2, 3), (4, 6)).whole
    with pytest.raises(InternalError, match=r"^x: \(4, 2, 3\) seen as \(4, 5\)$"):
        Value("x", (4, 2, 3), (4, 5))


def test_missing_sizes_are_one() -> None:
    assert [padded(sizes) for sizes in ((3,), (3, 4), (3, 4, 5), (2, 3, 4, 5))] == [
        (3, 1, 1), (3, 4, 1), (3, 4, 5), (2, 3, 4, 5)]


def test_refusals_tell_path_operation_reason_and_line() -> None:
    site = Site(Graph(), "features.3", "features.3", "Conv2d (conv2d)", "net.py:12")
    assert str(site.refuse("why")) == (
        "features.3: Conv2d (conv2d) is not supported here (why), at net.py:12")
    assert str(site.wrong("it is wrong")) == "features.3: it is wrong, at net.py:12"
    assert str(Site(Graph(), "a", "b").refuse("why")) == "a: b is not supported here (why)"


def test_names_are_told_apart() -> None:
    site = Site(Graph(), "a", "a")
    x = input_(site, (1, 2, 2))
    assert [functions.activation(site, x, "relu").node for _ in range(2)] == ["a@2", "a@3"]
    assert functions.activation(site.after(x, "scaled"), x, "relu").node == "a.scaled"


def test_a_network_has_one_input() -> None:
    site = Site(Graph(), "a", "a")
    input_(site, (1, 2, 2))
    with pytest.raises(CompileError, match="^the network takes more than one input; networks of"):
        input_(site, (1, 2, 2))


def test_outputs_keep_their_dimensions() -> None:
    graph = Graph()
    x = input_(Site(graph, "a", "x"), (4, 1, 1))
    output(Site(graph, "a", "output_0"), x)
    output(Site(graph, "a", "output_1"), shapes.reshape(Site(graph, "a", "a"), x, (4,)))
    assert [node.op.dims for node in graph if isinstance(node.op, Output)] == [4, 2]
    y = Value("x", (4, 1, 1), (2, 2))
    with pytest.raises(CompileError, match=r"^output 3 .* the shape \(N, 2, 2\); return whole maps "
                                           "or flatten everything behind the batch$"):
        output(Site(graph, "a", "output"), y, 3)


def test_what_needs_maps_refuses_others() -> None:
    site = Site(Graph(), "a", "a")
    with pytest.raises(CompileError, match=r"has 2 dimensions, 4 are needed: \(N, C, H, W\)"):
        site.maps(Value("x", (4, 1, 1), (4,)))
    with pytest.raises(CompileError, match=r"maps of \(4, 2, 3\) reshaped to \(4, 6, 1\); leave"):
        site.maps(Value("x", (4, 2, 3), (4, 6, 1)))
