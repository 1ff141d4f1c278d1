"""The float network is computed once where memory holds it, and is the same where it does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv, Graph, without
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate, exact
from kcnn.compiler.quantise.exact import Exact, most_images
from networks import Residual, randomise
from torch import nn

IMAGES = np.random.default_rng(0).normal(size=(9, 2, 5, 6))


@pytest.fixture
def graph() -> Graph:
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), Residual(nn.Conv2d(3, 3, 1), nn.ReLU()),
                           nn.MaxPool2d(2))
    return canonicalise(trace(randomise(module, 0), (torch.zeros(1, 2, 5, 6),)))


@pytest.fixture(params=[1 << 24, 200, 20])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Memory for all images, for some of them, for less than one."""
    monkeypatch.setattr(emulate, "MOST_ELEMENTS", request.param)
    return request.param


def test_tensors_are_those_of_a_plain_run(graph: Graph, most: int) -> None:
    parts: dict[str, list[np.ndarray]] = {node.name: [] for node in graph}
    for name, y in Exact(graph, IMAGES).tensors():
        parts[name].append(y)
    wanted = emulate.run(graph, IMAGES)
    assert parts.keys() == wanted.keys()
    for name, y in wanted.items():
        np.testing.assert_array_equal(np.concatenate(parts[name]), y)


def test_sums_are_those_before_functions(graph: Graph, most: int) -> None:
    count = min(len(IMAGES), most_images(graph))
    tensors = emulate.run(graph, IMAGES[:count])
    seen = []
    for node, sums in Exact(graph, IMAGES).sums():
        seen.append(node)
        wanted = tensors[node.name]
        if isinstance(node.op, Conv):
            wanted = emulate.compute(without(node), [tensors[n] for n in graph.inputs(node.name)])
        np.testing.assert_array_equal(sums, wanted)
    assert seen == list(graph) and (count == len(IMAGES)) == (most > 200)


def test_what_memory_holds_is_computed_once(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def compute(*arguments: object) -> Iterator[np.ndarray]:
        computed.append(arguments)
        return emulate.compute(*arguments)      # type: ignore[arg-type, return-value]

    monkeypatch.setattr(exact, "compute", compute)
    found = Exact(graph, IMAGES)
    assert computed
    del computed[:]
    assert list(found.tensors()) and list(found.sums()) and not computed
