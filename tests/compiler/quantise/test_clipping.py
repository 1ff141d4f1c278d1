"""Rare large values: cut off where that rescues, left where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.arch.config import Config
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph
from kcnn.compiler.ir.quantised import Quantised
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import clipping
from kcnn.compiler.quantise.calibrate import Magnitudes
from kcnn.compiler.quantise.clipping import Cut, clipped
from kcnn.compiler.quantise.exact import Exact
from kcnn.compiler.quantise.quantise import quantise
from networks import randomise
from torch import nn

TINY = Config.preset("tiny")
SHAPE = (1, 12, 12)


@pytest.fixture(scope="module")
def graph() -> Graph:
    module = randomise(nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(96, 5)), 0)
    return canonicalise(trace(module, (torch.zeros(1, *SHAPE),)))


def images(count: int, rare: float, seed: int) -> np.ndarray:
    """Normal values; this share of them a hundred times larger."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *SHAPE))
    return np.where(rng.random(x.shape) < rare, 100 * x, x)


def kept(quantised: Quantised, x: np.ndarray) -> float:
    return clipping._kept(quantised, x, clipping._outputs(quantised.graph, x))


def typical(quantised: Quantised, x: np.ndarray) -> float:
    graph = quantised.graph
    exact, found = clipping._outputs(graph, x), clipping._outputs(graph, x, quantised)
    return clipping.closeness(exact["output"], found["output"]).typical


def test_typical_images_are_rescued_from_rare_large_values(graph: Graph) -> None:
    x = images(100, 1e-4, 1)
    plain, cut = quantise(graph, x[:80], TINY), quantise(graph, x[:80], TINY, 16, x[80:])
    new = images(100, 0, 2)
    assert typical(plain, new) < 4 and typical(cut, new) > 10
    assert kept(cut, x[80:]) > kept(plain, x[80:]) + clipping.GAIN


def test_a_network_that_keeps_enough_is_taken_as_it_is(graph: Graph) -> None:
    x = images(40, 0, 1)
    plain, found = quantise(graph, x, TINY), quantise(graph, x, TINY, 16, images(10, 0, 2))
    assert plain.tensors["input"] == found.tensors["input"]
    for name in ("0", "2"):
        np.testing.assert_array_equal(plain.tensors[name].values, found.tensors[name].values)


def test_what_cannot_be_rescued_is_not_cut(graph: Graph) -> None:
    x = images(4, 0, 1)
    plain, found = quantise(graph, x, TINY), quantise(graph, x, TINY, 16, 40 * images(10, 0, 2))
    assert plain.tensors["input"] == found.tensors["input"]
    assert kept(found, 40 * images(10, 0, 2)) < 3


def test_images_held_back_are_checked(graph: Graph) -> None:
    x = images(4, 0, 1)
    bad = x[:1].copy()
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(CompileError, match="^calibration: 1 of 144 values are NaN"):
        quantise(graph, x, TINY, 16, bad)
    quantise(graph, x, TINY, 16, x[:0])


def test_limits_are_asked_for_every_tensor(graph: Graph) -> None:
    sizes = {node.name: Magnitudes() for node in graph}
    for size in sizes.values():
        size.add(np.append(np.ones(999), 100.0))
    limits = Cut(0, 1e-2).limits(graph, sizes)
    assert limits["input"] == np.inf and limits["0"] < 1.1
    assert Cut(1e-2, 0).limits(graph, sizes)["input"] < 1.1


def test_the_best_cut_stands(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([3.0, 4.0, 11.0, 7.0, 11.5, 2.0])
    tried: list[object] = []
    monkeypatch.setattr(clipping, "_kept", lambda *_: next(found))
    x = images(4, 0, 1)

    def within(limits: clipping.Limits) -> Quantised:
        tried.append(limits)
        return len(tried)       # type: ignore[return-value]

    assert clipped(Exact(graph, x), x, within) == 5 and tried[0] == {} and len(tried) == 6
