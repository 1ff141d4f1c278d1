"""Scales tried with real codebooks and clusters."""

from __future__ import annotations

import numpy as np
import pytest
import spread
import torch
from kcnn.arch.config import Config
from kcnn.compiler.equalise.trial import Trial
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate

SHAPE = (3, 10, 10)
TINY = Config.preset("tiny")


@pytest.fixture(scope="module")
def trial() -> Trial:
    graph = canonicalise(trace(spread.plain(100), (torch.zeros(1, *SHAPE),)))
    x = np.random.default_rng(0).normal(size=(8, *SHAPE))
    return Trial(graph, x, {"2": np.ones(4)}, TINY, 16)


def test_no_scales_gain_nothing(trial: Trial) -> None:
    assert trial.gain(["2"], ["0"], {}) == 0
    assert trial.gain(["2"], ["0"], {"0": np.full(8, 3)}) == pytest.approx(0, abs=1e-9)


def test_scales_that_undo_the_spread_gain_and_others_lose(trial: Trial) -> None:
    undone = np.rint(np.log2(100) * np.linspace(-0.5, 0.5, 8)).astype(np.int64)
    assert trial.gain(["2"], ["0"], {"0": undone}) > 10
    assert trial.gain(["2"], ["0"], {"0": -undone}) < -5


def test_exact_tensors_and_magnitudes_leave_no_noise(trial: Trial) -> None:
    exact = Trial(trial._graph, np.zeros((1, *SHAPE)), {"2": np.zeros(4)}, TINY, 16)
    assert exact.gain(["2"], ["0"], {"0": np.arange(8)}) == 0


def test_as_many_images_as_memory_holds(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulate, "MOST_ELEMENTS", 4000)
    x = np.random.default_rng(0).normal(size=(8, *SHAPE))
    some = Trial(trial._graph, x, {"2": np.ones(4)}, TINY, 16)
    assert len(some._exact["0"]) < 8
