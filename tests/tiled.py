"""One network on ever smaller memories: what is tiled must compute what is not.

    python tests/tiled.py --first 0 --count 500      random networks, as many as are wanted
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import traceback
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from kcnn.arch import reference
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import Program, memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.quantised import Quantised
from kcnn.compiler.stages import Stage
from kcnn.tlm.machine import simulate as tlm
from networks import Builder, randomise
from numpy.typing import NDArray
from strategies import random_inputs
from torch import nn
from wild import Rolled, check_sentence

ROOMY = 1 << 17
MACHINES = (
    Config("p4", lanes=4, share=2, drain=1, code_bits=4, memory_codes=ROOMY, tap_slots=1024,
           base_entries=256, port_bits=32),
    Config("p8", lanes=8, share=2, drain=2, code_bits=5, memory_codes=ROOMY, tap_slots=1024,
           base_entries=64, port_bits=64),
    Config("p16", lanes=16, share=4, drain=4, code_bits=4, memory_codes=ROOMY, tap_slots=512,
           base_entries=128, port_bits=128, burst=8))
Tensors = dict[str, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A network, quantised, on a machine with room for all of it."""

    quantised: Quantised
    config: Config
    batch: int
    seed: int


def case(seed: int) -> Case:
    """The random case of a number; CompileError where even a large machine refuses it."""
    roll = Rolled(np.random.default_rng(seed))
    shape = (roll.number(1, 3), roll.number(4, 14), roll.number(4, 14))
    builder = Builder(roll, shape)
    body = [builder.layer() for _ in range(roll.number(1, 6))]
    module = randomise(nn.Sequential(*body, builder.end()), seed)
    images = roll.rng.normal(size=(3, *shape)).astype(np.float32)
    config = roll.choose(MACHINES)
    settings = pipeline.Settings(config, (torch.zeros(1, *shape),), images)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same'")
        quantised = next(form for stage, form in pipeline.walk(module, settings)
                         if stage == Stage.QUANTISE)
    return Case(quantised, config, roll.number(1, 3), seed)


def on_less(case: Case) -> Iterator[Program]:
    """Its programs for half the memory, a quarter and so on, down to the least that will do."""
    config = case.config
    while config.memory_codes > 4 * config.lanes:
        config = dataclasses.replace(config, memory_codes=config.memory_codes // 2)
        try:
            yield pipeline.back(case.quantised, config, case.batch)
        except CompileError as error:
            check_sentence(str(error))
            assert error.needs, error
            return


def tiled(program: Program) -> int:
    """Tensors that have a home in external memory."""
    return sum(not tensor.places[0].whole for tensor in program.tensors)


def computed(program: Program, codes: list[NDArray[np.int64]]) -> Tensors:
    """What the reference makes of every tensor that stands for a node."""
    found = reference.run(program, codes)
    return {node: found[i] for i, node in enumerate(program.meta.nodes) if node}


def agree(case: Case) -> int:
    """Assert that programs for all memories compute the same, on the reference and on the TLM.
    Returns the most tensors with homes that one of them has."""
    whole = pipeline.back(case.quantised, case.config, case.batch)
    codes = random_inputs(whole, case.seed)
    expected, homes = computed(whole, codes), [0]
    for program in on_less(case):
        assert_equal(computed(program, codes), expected)
        if tiled(program):
            assert_runs(program, codes, case.seed)
            homes.append(tiled(program))
    return max(homes)


def assert_runs(program: Program, codes: list[NDArray[np.int64]], seed: int) -> None:
    """The TLM, with random waits, makes every tensor that the reference makes."""
    found = tlm(program, memory_image(program, codes), MemoryModel.random(seed))
    for index, tensor in reference.run(program, codes).items():
        np.testing.assert_array_equal(found.tensors[index], tensor, program.tensors[index].name)


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert set(found) == set(expected)
    for node, codes in expected.items():
        np.testing.assert_array_equal(found[node], codes, node)


def main() -> int:
    parser = argparse.ArgumentParser(description="random networks on ever smaller memories")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = homes = refused = 0
    for seed in range(options.first, options.first + options.count):
        try:
            homes += agree(case(seed)) > 0
        except CompileError as error:
            refused += 1
            print(f"{seed}: refused: {error}", flush=True)
        except Exception as error:
            failed += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            print(f"{seed}: {type(error).__name__} in {place.filename}:{place.lineno}: "
                  f"{str(error)[:300]}", flush=True)
    print(f"{options.count} networks, {homes} of them tiled, {refused} refused, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
