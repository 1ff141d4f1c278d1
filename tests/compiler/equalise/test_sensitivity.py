"""What noise counts, against noise that is put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler.equalise.sensitivity import look, noise
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph, without
from kcnn.compiler.ir.layers import function
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from networks import Residual, randomise
from torch import nn

SHAPE = (4, 12, 12)


def graph_of(*layers: nn.Module) -> Graph:
    module = randomise(nn.Sequential(*layers), 3)
    return canonicalise(trace(module, (torch.zeros(1, *SHAPE),)))


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *SHAPE))


def test_what_a_tensor_shows() -> None:
    graph = graph_of(nn.Conv2d(4, 6, 3), nn.LeakyReLU(0.5), nn.Conv2d(6, 2, 3))
    x = images()
    tensor, found = emulate.run(graph, x)["0"], look(graph, x)
    assert set(found) == {node.name for node in graph}
    np.testing.assert_allclose(found["0"].power, np.square(tensor).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(found["0"].variance, tensor.var(axis=(0, 2, 3)))
    positive = (tensor > 0).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(found["0"].slope, positive + (1 - positive) / 4, atol=0.01)
    assert (found["2"].slope == 1).all()


def test_a_variance_is_never_negative() -> None:
    """Sums of values that are all alike round to either side."""
    graph = graph_of(nn.Conv2d(SHAPE[0], 3, 1))
    for value in np.linspace(0.1, 0.9, 20):
        for seen in look(graph, np.full((3, *SHAPE), value)).values():
            assert seen.variance.min() >= 0


def test_images_in_pieces_show_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(nn.Conv2d(4, 6, 3), nn.Tanh(), nn.Conv2d(6, 2, 3))
    whole = look(graph, images(5))
    monkeypatch.setattr(emulate, "MOST_ELEMENTS", 4000)
    pieces = look(graph, images(5))
    for name, one in whole.items():
        np.testing.assert_allclose(pieces[name].variance, one.variance)
        np.testing.assert_allclose(pieces[name].slope, one.slope, atol=1e-3)


@pytest.mark.parametrize("layers", [
    (nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3, groups=2), nn.Conv2d(6, 3, 1)),
    (nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 2, 1)),
    (nn.Conv2d(4, 6, 3), nn.ReLU(), Residual(nn.Conv2d(6, 6, 3, padding=1), nn.Identity()),
     nn.Conv2d(6, 2, 1)),
    (nn.Conv2d(4, 6, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(600, 5))])
def test_noise_that_is_put_in_comes_out_as_told(layers: tuple[nn.Module, ...]) -> None:
    graph, x = graph_of(*layers), images(64)
    exact = _noisy(graph, x, np.zeros(6))
    told = noise(graph, look(graph, x)).sums["0"]
    for channel in range(6):
        moved = _noisy(graph, x, np.where(np.arange(6) == channel, 1e-3, 0)) - exact
        share = moved.var(axis=(0, 2, 3)).sum() / exact.var(axis=(0, 2, 3)).sum()
        assert share / 1e-6 == pytest.approx(told[channel], rel=0.4)


def _noisy(graph: Graph, x: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The output, with noise in the sums of layer 0, of a deviation by channel."""
    rng = np.random.default_rng(1)
    first, *nodes = graph
    tensors = {first.name: x}
    for node in nodes:
        inputs = [tensors[name] for name in graph.inputs(node.name)]
        if node.name == "0":
            sums = emulate.compute(without(node), inputs)
            sums += rng.normal(size=sums.shape) * size[:, None, None]
            tensors["0"] = function(node.op.function).apply(sums)
        else:
            tensors[node.name] = emulate.compute(node, inputs)
    return tensors["output"]
