"""Networks larger than the memory compute what they compute in one that holds them whole."""

from __future__ import annotations

import dataclasses

import pytest
import tiled
import torch
from kcnn.arch.config import Config
from kcnn.compiler import pipeline
from kcnn.compiler.stages import Stage
from scripts import script
from strategies import random_inputs

imagenet = script("bench/compression/imagenet")
SMALL = Config.preset("small")

# bands that read pads alone, planes that are made line by line, additions, three images
QUICK = (16, 24, 46, 52)


@pytest.mark.parametrize("seed", QUICK)
def test_random_networks_on_ever_smaller_memories(seed: int) -> None:
    assert tiled.agree(tiled.case(seed)) > 0


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
