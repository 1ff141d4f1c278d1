"""Every stage in floating point, and what it loses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.arch.config import Config
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph
from kcnn.compiler.ir.quantised import Codebook, Quantised, Radix
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from kcnn.compiler.quantise.quantise import quantise
from networks import Residual, randomise
from torch import nn

SHAPE = (2, 8, 7)


def network() -> nn.Module:
    return randomise(nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1)), nn.ReLU()), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)), 2)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def quantised() -> Quantised:
    graph = canonicalise(trace(network(), (torch.zeros(1, *SHAPE),)))
    return quantise(graph, images(40), Config.preset("tiny"))


def test_the_float_run_is_that_of_torch(quantised: Quantised) -> None:
    x = images(5, 1)
    with torch.no_grad():
        expected = network()(torch.tensor(x)).numpy()
    found = emulate.run(quantised.graph, x)
    assert found["output"].dtype == np.float64
    np.testing.assert_allclose(found["output"][:, :, 0, 0], expected, atol=1e-5)
    assert found["input"].shape == x.shape


def test_clustered_weights_replace_those_of_the_graph(quantised: Quantised) -> None:
    module = network()
    with torch.no_grad():
        module[8].weight[:] = torch.tensor(quantised.weights["8"].dense()[:, :, 0, 0])
        module[8].bias[:] = torch.tensor(quantised.weights["8"].bias)
        expected = module(torch.tensor(images(3))).numpy()
    found = emulate.run(quantised.graph, images(3), {"8": quantised.weights["8"]})
    np.testing.assert_allclose(found["output"][:, :, 0, 0], expected, atol=1e-5)


def test_every_tensor_holds_only_values_of_its_codebook(quantised: Quantised) -> None:
    found = emulate.run(quantised.graph, images(4), quantised.weights, quantised.tensors)
    for name, meaning in quantised.tensors.items():
        integers = found[name] / meaning.scale
        np.testing.assert_allclose(integers, np.rint(integers), atol=1e-6)
        if isinstance(meaning, Codebook):
            assert set(np.rint(integers).astype(int).ravel()) <= set(meaning.values.tolist())


def test_radix_values_round_to_nearest_and_saturate() -> None:
    x = np.array([-99.0, -1.3, -0.25, 0.2, 0.3, 99.0])
    np.testing.assert_array_equal(emulate.rounded(x, Radix(0.5, 4, 1)),
                                  [-4.0, -1.5, 0.0, 0.0, 0.5, 3.5])


def test_pieces_hold_all_images(quantised: Quantised, monkeypatch: pytest.MonkeyPatch) -> None:
    per_image = sum(int(np.prod(node.shape)) for node in quantised.graph)
    monkeypatch.setattr(emulate, "MOST_ELEMENTS", 3 * per_image + 1)
    x = images(8)
    found = list(emulate.pieces(quantised.graph, x))
    assert [len(piece) for piece in found] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(found), x)


def test_tensors_are_dropped_when_they_have_been_read(quantised: Quantised) -> None:
    graph: Graph = quantised.graph
    step = emulate.execute(graph, images(1), {}, {})
    frames = step.gi_frame  # type: ignore[attr-defined]
    most = 0
    for _ in step:
        most = max(most, len(frames.f_locals["held"]))
    assert most <= 3


def test_explain_tells_the_loss_of_every_step(quantised: Quantised) -> None:
    x = images(20, 3)
    coded = emulate.run(quantised.graph, x, quantised.weights, quantised.tensors)
    noise = np.random.default_rng(0)
    machine = {name: y + noise.normal(size=y.shape) * np.sqrt(np.square(y).mean()) * 1e-2
               for name, y in coded.items() if name != "5"}
    rows = {row.name: row for row in emulate.explain(quantised, x, machine)}
    assert list(rows) == [node.name for node in quantised.graph
                          if node.name not in ("input", "output")]
    for row in rows.values():
        assert 15 < row.weights and 10 < row.activations < row.weights + 1
    assert rows["5"].integer is None and rows["5"].fixed_point is None
    assert rows["8"].fixed_point == pytest.approx(40, abs=2.5)
    assert rows["8"].integer == pytest.approx(rows["8"].activations, abs=0.5)
    last = emulate.run(quantised.graph, x)["8"]
    assert rows["8"].activations == pytest.approx(emulate.sqnr(last, coded["8"]))


def test_sqnr() -> None:
    x = np.array([3.0, 4.0])
    assert emulate.sqnr(x, x) == np.inf
    assert emulate.sqnr(np.zeros(2), x) == -np.inf
    assert emulate.sqnr(x, np.array([3.0, 4.5])) == pytest.approx(20.0)
