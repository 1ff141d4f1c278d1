"""Corrected biases: means of the float network come back."""

from __future__ import annotations

import dataclasses

import numpy as np
from kcnn.arch.config import Config
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv, Graph
from kcnn.compiler.ir.quantised import ClusteredWeight, Quantised
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from kcnn.compiler.quantise.correct import correct_biases, shift
from kcnn.compiler.quantise.exact import Exact
from kcnn.compiler.quantise.quantise import quantise
from networks import Residual, randomise
from torch import nn, zeros

TINY = Config.preset("tiny")


def graph() -> Graph:
    branch = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 1))
    module = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), Residual(branch, nn.ReLU()),
                           nn.Conv2d(6, 5, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                           nn.Linear(5, 4))
    return canonicalise(trace(randomise(module, 3), (zeros(1, 2, 9, 9),)))


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (count, 2, 9, 9))


def biased(quantised: Quantised, keep: bool) -> dict[str, ClusteredWeight]:
    return {name: weight if keep else dataclasses.replace(weight, bias=None)
            for name, weight in quantised.weights.items()}


def test_means_of_every_layer_come_back() -> None:
    net, x = graph(), images(200)
    quantised = quantise(net, x, TINY, 3)
    exact = emulate.run(net, x)
    found, without = (emulate.run(net, x, biased(quantised, keep), quantised.tensors)
                      for keep in (True, False))
    convs = [node.name for node in net if isinstance(node.op, Conv)]

    def lost(run: dict[str, np.ndarray], name: str) -> float:
        return float(np.abs((run[name] - exact[name]).mean(axis=(0, 2, 3))).max())

    assert len(convs) == 5
    assert lost(found, convs[-1]) < 0.2 * lost(without, convs[-1])
    assert all(lost(found, name) < lost(without, name) for name in convs)


def test_other_images_gain_too() -> None:
    net = graph()
    quantised = quantise(net, images(200), TINY, 3)
    x = images(200, 1)
    exact = emulate.run(net, x)["output"]
    found, without = (emulate.sqnr(exact, emulate.run(
        net, x, biased(quantised, keep), quantised.tensors)["output"]) for keep in (True, False))
    assert found > without + 0.5


def test_one_image_says_nothing_about_means() -> None:
    net = graph()
    quantised = quantise(net, images(1), TINY, 3)
    for node in net:
        if isinstance(node.op, Conv):
            np.testing.assert_array_equal(quantised.weights[node.name].bias, node.op.bias)


def test_corrected_biases_are_corrected_from_the_start() -> None:
    net, x = graph(), images(8)
    quantised = quantise(net, x, TINY, 16)
    again = correct_biases(Exact(net, x), quantised.weights, quantised.tensors)
    for name, weight in quantised.weights.items():
        assert weight.bias is not None
        np.testing.assert_array_equal(weight.bias, again[name].bias)


def test_errors_without_a_mean_move_a_bias_by_less_than_they_seem_to() -> None:
    errors = np.random.default_rng(0).normal(size=(20, 5000))
    assert np.abs(shift(errors)).mean() < 0.45 * np.abs(errors.mean(axis=0)).mean()
    np.testing.assert_allclose(shift(errors + 3), errors.mean(axis=0) + 3, rtol=0.02)


def test_errors_too_small_to_be_squared_move_nothing():
    for size in (0.0, 5e-324, 1e-170, 1e-150):
        errors = np.array([[size], [2 * size]])
        assert shift(errors) == 0
