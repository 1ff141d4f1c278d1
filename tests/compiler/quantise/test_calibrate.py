"""Ranges and histograms of calibration data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import calibrate, emulate
from kcnn.compiler.quantise.calibrate import Histogram, Magnitudes, check_calibration, fill, ranges
from kcnn.compiler.quantise.exact import Exact
from networks import randomise
from torch import nn


@pytest.fixture
def graph() -> Graph:
    module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 1))
    return canonicalise(trace(randomise(module, 0), (torch.zeros(1, 1, 4, 5),)))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 1, 4, 5)).astype(np.float32)


def test_ranges_are_those_of_all_images(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = emulate.run(graph, images(9))
    monkeypatch.setattr(emulate, "MOST_ELEMENTS", 200)
    found = ranges(Exact(graph, images(9)))
    assert found.keys() == whole.keys()
    for name, (low, high) in found.items():
        assert low == pytest.approx(whole[name].min(), rel=1e-6)
        assert high == pytest.approx(whole[name].max(), rel=1e-6)


def test_histograms_count_everything_but_zeros(graph: Graph) -> None:
    seen = ranges(Exact(graph, images(9)))
    histogram = Histogram(*seen["0"])
    fill(Exact(graph, images(9)), {"0": histogram})
    values = emulate.run(graph, images(9))["0"]
    points = histogram.points()
    assert points.counts.sum() == (values != 0).sum() < values.size
    assert (points.counts * points.values).sum() == pytest.approx(values.sum(), rel=1e-5)
    assert (np.diff(points.values) > 0).all()


def test_bins_are_narrow() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    histogram = Histogram(values.min(), values.max())
    histogram.add(values)
    points = histogram.points()
    width = (values.max() - values.min()) / calibrate.MOST_POINTS
    nearest = np.abs(points.values[:, None] - values).min(axis=0)
    assert nearest.max() <= width


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.0), (2.5, 2.5, 2.5)])
def test_constant_tensors(value: float, low: float, high: float) -> None:
    histogram = Histogram(low, high)
    histogram.add(np.full(7, value))
    assert histogram.points().values.tolist() == ([value] if value else [])


@pytest.mark.parametrize(("x", "sentence"), [
    (np.zeros((2, 1, 4, 4), np.float32),
     r"calibration: images of shape \(1, 4, 5\) are needed, found an array of shape "
     r"\(2, 1, 4, 4\); give float32 \(n, C, H, W\)"),
    (np.zeros((1, 4, 5), np.float32), r"found an array of shape \(1, 4, 5\);"),
    (np.zeros((0, 1, 4, 5), np.float32), "calibration: there is no image; give at least one"),
    (np.zeros((2, 1, 4, 5), np.uint8), "calibration: float32 values are needed, found uint8;"),
    (np.full((2, 1, 4, 5), np.nan, np.float32), "calibration: 40 of 40 values are NaN or infinite"),
    (np.full((1, 1, 4, 5), np.inf, np.float32), "calibration: 20 of 20 values are NaN or infinite"),
])
def test_unfit_data_are_refused(graph: Graph, x: np.ndarray, sentence: str) -> None:
    with pytest.raises(CompileError, match=sentence):
        check_calibration(graph, x)


def test_networks_that_overflow_are_refused() -> None:
    module = nn.Conv2d(1, 3, 2)
    nn.init.constant_(module.weight, 1e38)
    graph = canonicalise(trace(nn.Sequential(nn.ReLU(), module), (torch.zeros(1, 1, 4, 5),)))
    with pytest.raises(CompileError, match="^1: its values become infinite or NaN on the calibr"):
        ranges(Exact(graph, images(2) + 10))


def test_limits_of_magnitudes_leave_at_most_a_share_above() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=99_000), 500 * rng.normal(size=1000), np.zeros(10)])
    size = Magnitudes()
    for part in np.array_split(values, 7):
        size.add(part)
    for share in (0.3, 1e-2, 1e-3):
        limit = size.limit(share)
        exact = np.quantile(np.abs(values[values != 0]), 1 - share)
        assert exact <= limit <= exact * 2 ** (1 / 16)
        assert (np.abs(values) > limit).sum() <= share * 100_000


def test_nothing_is_limited_where_nothing_is_cut() -> None:
    size = Magnitudes()
    assert size.limit(0.1) == np.inf
    size.add(np.array([1.0, -2.0, 1e300, 1e-300, 0.0]))
    assert size.limit(0) == np.inf and size.limit(0.3) < np.inf
