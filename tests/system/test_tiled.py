"""Networks larger than the memory compute what they compute in one that holds them whole."""

from __future__ import annotations

import dataclasses
import functools

import canonical
import numpy as np
import pytest
import tiled
import torch
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import Program, memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.stages import Stage
from kcnn.rtl import hdl, toolchain
from kcnn.rtl.simulate import simulate as rtl
from kcnn.tlm.machine import simulate as tlm
from numpy.typing import NDArray
from scripts import script
from strategies import random_inputs
from tools import need
from torch import nn

imagenet = script("bench/compression/imagenet")
SMALL = Config.preset("small")
Memory = NDArray[np.uint8]

# bands that read pads alone, planes that are made line by line, additions, three images
QUICK = (16, 24, 46, 52)


@pytest.mark.parametrize("seed", QUICK)
def test_random_networks_on_ever_smaller_memories(seed: int) -> None:
    assert tiled.agree(tiled.case(seed)) > 0


def in_bands() -> tuple[Program, MemoryModel, Memory]:
    """A program of bands, random waits of its memory, and the memory before the start."""
    machine = canonical.config(memory_codes=256)
    net = canonical.Builder(machine, (1, 12, 7))
    first = net.conv("x", 4, padding=(1, 1, 1, 1))
    down = net.conv(first, 3, stride=(2, 2), padding=(1, 1, 1, 1))
    net.output(net.conv(down, 2, (6, 4), radix=True, kind="Linear"))
    program = pipeline.back(net.quantised(), machine, 1)
    assert tiled.tiled(program) >= 2
    return (program, MemoryModel.random(5),
            memory_image(program, [canonical.random_codes(program, 3)]))


ENGINES = {"myhdl": rtl, **{name: functools.partial(hdl.simulate, engine=name)
                            for name in hdl.ENGINES}}


@pytest.mark.parametrize("name", [name if name in ("myhdl", "ghdl") else
                                  pytest.param(name, marks=pytest.mark.long) for name in ENGINES])
def test_every_engine_computes_bands_in_the_same_cycles(name: str) -> None:
    if name in hdl.ENGINES:
        need(*toolchain.TOOLS[name].programs)
    program, waits, memory = in_bands()
    expected, found = tlm(program, memory, waits), ENGINES[name](program, memory, waits)
    assert found.cycles == expected.cycles
    np.testing.assert_array_equal(found.ends, expected.ends)
    np.testing.assert_array_equal(found.memory, expected.memory)
    for index, tensor in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[index], tensor)


def test_a_mean_over_a_map_larger_than_the_memory() -> None:
    """Its source is made in planes, a few channels in a pass that loads all lines again."""
    x = np.random.default_rng(0).normal(size=(3, 24, 11, 11)).astype(np.float32)
    module = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 40, 1),
                           nn.ReLU(), nn.AdaptiveAvgPool2d(1)).eval()
    settings = pipeline.Settings(tiled.MACHINES[1], (torch.from_numpy(x[:1]),), x)
    quantised = next(form for stage, form in pipeline.walk(module, settings)
                     if stage == Stage.QUANTISE)
    tight = dataclasses.replace(tiled.MACHINES[1], memory_codes=1 << 11)
    program = pipeline.back(quantised, tight, 1)
    passed = next(layer for layer in program.layers if layer.name == "2")
    assert len({program.instructions[run].stream for run in passed.runs}) > 1
    tiled.assert_runs(program, random_inputs(program, 0), 1)


@pytest.mark.long
def test_many_random_networks_on_ever_smaller_memories() -> None:
    homes = 0
    for seed in range(1000, 1100):
        case = tiled.case(seed)
        homes += tiled.agree(case) > 0
    assert homes > 50


def assert_network_agrees(name: str, size: int, memory: int, batch: int) -> None:
    """The narrow network in a small memory, on the TLM, against the same in one that holds it."""
    module = imagenet.build(name, size, narrow=8, classes=10)
    x = imagenet.noise(size, 3, 1).numpy()
    roomy = dataclasses.replace(SMALL, name="roomy", memory_codes=1 << 20)
    settings = pipeline.Settings(roomy, (torch.from_numpy(x[:1]),), x)
    quantised = next(form for stage, form in pipeline.walk(module, settings)
                     if stage == Stage.QUANTISE)
    whole = pipeline.back(quantised, roomy, batch)
    tight = dataclasses.replace(SMALL, name="tight", memory_codes=memory)
    program = pipeline.back(quantised, tight, batch)
    assert tiled.tiled(program) and not tiled.tiled(whole)
    codes = random_inputs(whole, 0)
    tiled.assert_equal(tiled.computed(program, codes), tiled.computed(whole, codes))
    tiled.assert_runs(program, codes, 1)


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", [name for name in imagenet.NETWORKS if name != "grouped_alexnet"])
def test_imagenet_networks(name: str, batch: int) -> None:
    assert_network_agrees(name, 64, 1 << 14, batch)
