"""What the page tells of networks in integers."""

from __future__ import annotations

import numpy as np
import torch
from kcnn.compiler import pipeline
from scripts import script
from torch import nn

bench = script("bench/compression/imagenet_accuracy")


def test_integers_are_near_the_float_network() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 1, 4, 4)).astype(np.float32)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 7)).eval()
    program = pipeline.compile(module, (torch.from_numpy(x[:1]),), x, bench.machine(8)).program
    floats, found = bench.real(module, x), bench.integers(program, x)
    assert found.shape == floats.shape == (6, 7)
    assert bench.decibels(found, floats) > 25
    np.testing.assert_array_equal(found.argmax(1), floats.argmax(1))


def test_decibels_are_those_of_what_varies() -> None:
    floats = np.array([[101.0], [99.0]])
    assert np.isclose(bench.decibels(floats + [[0.1], [-0.1]], floats), 20)


def test_the_page_tells_what_is_lost() -> None:
    one = {"float": (0.8, 0.95), "integers": (0.78, 0.935), "same": 0.9, "decibels": 12.0,
           "bytes": 3e6, "cycles": 20e6}
    (table,) = bench.tables({"mobilenet,5,16": one})
    (line,) = table.rows
    assert line[:3] == ["mobilenet", 5, 16]
    assert np.allclose(line[3:9], [80, 78, 95, 93.5, 1.5, 2])
