"""Channels of unequal range: what is gained, what is left alone, what is told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import spread
import torch
from kcnn.arch import host, reference
from kcnn.arch.config import Config
from kcnn.compiler import pipeline
from kcnn.compiler.equalise.equalise import Equalised, Uneven, equalise
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv, Graph
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from kcnn.compiler.quantise.quantise import quantise
from networks import randomise
from torch import nn

SHAPE = (3, 12, 12)
TINY = Config.preset("tiny")


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


def calibration() -> np.ndarray:
    return images(32, 1).astype(np.float64)


def graph_of(module: nn.Module) -> Graph:
    return canonicalise(trace(module, (torch.zeros(1, *SHAPE),)))


def made(module: nn.Module) -> Equalised:
    return equalise(graph_of(module), calibration(), TINY)


def centred(exact: np.ndarray, found: np.ndarray) -> float:
    """SQNR in dB, each channel less its mean."""
    return emulate.sqnr(*(y - y.mean(axis=(0, 2, 3), keepdims=True) for y in (exact, found)))


def compiled(spread_of: float, config: str) -> float:
    """SQNR in integers, on images that were not seen."""
    module, x = spread.plain(spread_of), images(40, 2)
    program = pipeline.compile(module, (torch.zeros(1, *SHAPE),), images(40, 1),
                               Config.preset(config)).program
    (port,), (out,) = program.inputs, program.outputs
    codes = host.encode(x, program.tensors[port.tensor], program.config)
    found = host.decode(reference.outputs(program, [codes])[0], program.tensors[out.tensor],
                        program.config)
    return emulate.sqnr(module(torch.tensor(x)).detach().numpy(), found)


@pytest.mark.parametrize("config", ["tiny", "small"])
def test_a_spread_of_channels_costs_at_most_3_dB(config: str) -> None:
    plain = compiled(1, config)
    assert plain > 20
    for spread_of in (10, 100, 1000):
        assert compiled(spread_of, config) > plain - 3


def clustered(graph: Graph) -> float:
    """SQNR with clustered weights and tensors, on images that were not seen."""
    x = images(24, 3).astype(np.float64)
    quantised = quantise(graph, calibration(), TINY)
    found = emulate.run(graph, x, quantised.weights, quantised.tensors)
    return centred(emulate.run(graph, x)["output"], found["output"])


@pytest.mark.parametrize("network", [spread.Residual, spread.Fire, spread.depthwise])
def test_residual_blocks_concatenations_and_depthwise_layers(
        network: Callable[[float], nn.Module]) -> None:
    wanted = clustered(graph_of(network(1)))
    lost = graph_of(network(100))
    found = equalise(lost, calibration(), TINY)
    assert clustered(lost) < wanted - 4
    assert clustered(found.graph) > wanted - 3
    assert not found.uneven


def test_the_float_network_stays_the_same_bit_by_bit() -> None:
    graph, x = graph_of(spread.Residual(1000)), images(4, 5).astype(np.float64)
    found = equalise(graph, calibration(), TINY)
    assert set(found.exponents) >= {"first", "inner", "outer"}
    np.testing.assert_array_equal(emulate.run(graph, x)["output"],
                                  emulate.run(found.graph, x)["output"])


def test_what_gains_nothing_is_left_alone() -> None:
    module = randomise(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)), 1)
    graph = graph_of(module)
    found = equalise(graph, calibration(), TINY)
    assert not found.exponents and not found.uneven
    assert all(found.graph[node.name] is node for node in graph)


def test_shared_magnitudes_are_not_parted() -> None:
    module = spread.plain(100)
    with torch.no_grad():
        module[2].weight.sign_().mul_(100 ** torch.linspace(0.5, -0.5, 8)[:, None, None])
    found = made(module)
    assert not found.exponents
    assert [str(one) for one in found.uneven] == [
        f"2: the channels that it reads differ in range, which costs about {_told(found):.0f} dB, "
        "and cannot be equalised, since the weights of 2 share their magnitudes"]


def _told(found: Equalised) -> float:
    (one,) = found.uneven
    assert one.loss > 6
    return one.loss


def test_a_function_that_is_not_proportional_is_told() -> None:
    module = spread.plain(100)
    module[1] = nn.ReLU6()
    found = made(module)
    assert not found.exponents
    assert str(found.uneven[0]) == (
        f"2: the channels that it reads differ in range, which costs about {_told(found):.0f} dB, "
        "and cannot be equalised, since 0 ends in relu6, which is not proportional")


def test_channels_of_the_input_are_told() -> None:
    module = spread.plain(1)
    r = 100 ** torch.linspace(-0.5, 0.5, 3)
    with torch.no_grad():
        module[0].weight.div_(r[:, None, None])
    found = equalise(graph_of(module), calibration() * r[:, None, None].numpy(), TINY)
    assert str(found.uneven[0]) == (
        f"0: the channels that it reads differ in range, which costs about {_told(found):.0f} dB, "
        "and cannot be equalised, since input comes from the host, which can scale it (preprocess)")


def test_channels_that_are_always_zero_do_no_harm() -> None:
    module = spread.plain(100)
    with torch.no_grad():
        module[0].weight[3] = 0
        module[0].bias[3] = -1
        module[2].weight[:, 5] = 0
    found = made(module)
    assert found.exponents["0"][[3, 5]].tolist() == [0, 0] and np.ptp(found.exponents["0"]) >= 4


def test_a_network_that_becomes_infinite_is_left_to_quantise() -> None:
    module = nn.Sequential(*spread.plain(1), *(nn.Conv2d(4, 4, 1) for _ in range(4)))
    with torch.no_grad():
        for conv in module:
            if isinstance(conv, nn.Conv2d):
                conv.weight.fill_(3e38)
    graph = graph_of(module)
    assert equalise(graph, 1e33 * np.ones((2, *SHAPE)), TINY).graph is graph


def test_the_text_tells_what_is_scaled_and_what_could_not_be() -> None:
    graph = graph_of(spread.plain(1))
    name = next(node.name for node in graph if isinstance(node.op, Conv))
    count = graph[name].shape[0]
    uneven = Uneven("left", 7.0, "an output shows them")
    text = str(Equalised(graph, {name: np.arange(count) - 1, "x": np.zeros(4, np.int64)},
                         (uneven,)))
    assert text.startswith(str(graph))
    assert text.splitlines()[-3].split() == [name, str(count - 1), str(count), f"-1..{count - 2}"]
    assert text.splitlines()[-1] == str(uneven)
    assert str(Equalised(graph)).splitlines()[-1] == "no channel is scaled"
