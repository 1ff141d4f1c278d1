"""The cost model against the TLM: RUNs that nothing blocks to the clock, networks within 2 %."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import wild
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import cost, isa
from kcnn.arch.config import Config
from kcnn.arch.drain import Drain
from kcnn.arch.engine import MemoryModel
from kcnn.arch.estimate import estimate, stream_of
from kcnn.arch.isa import Fill, Run, TableLoad
from kcnn.compiler.errors import CompileError
from kcnn.tlm import machine
from machine_programs import CONFIGS, random_program
from scripts import script

QUICK = [("odd", "tiny", 1), ("odd", "wide", 3)]
TOO_LARGE = {("lenet5", "tiny", 1), ("lenet5", "tiny", 3), ("resnet20", "tiny", 1),
             ("resnet20", "tiny", 3), ("resnet20", "small", 3)}


@functools.cache
def same():
    """bench/same.py, which has the networks."""
    return script("bench/same")


def even_operations(config: Config, run: Run) -> np.ndarray | None:
    """Drain clocks of a chunk in every channel, None where they differ from chunk to chunk."""
    drain = Drain(run, config)
    found = np.array([drain.operations(channel) for channel in range(run.channels)])
    return found[:, 0] if (found == found[:, :1]).all() else None


@settings(max_examples=25)
@given(st.integers(0, 1 << 30), st.sampled_from(sorted(CONFIGS)))
def test_instructions_that_nothing_blocks_take_what_the_tlm_takes(seed, name):
    config = CONFIGS[name]
    program, memory = random_program(seed, config, runs=4, positions=400)
    done = machine.simulate(program, memory, MemoryModel.fixed(config.latency))
    found = estimate(program)
    assert abs(found.cycles / done.cycles - 1) < 0.02
    assert found.ends[-1] == -1 and (found.starts[:-1] <= found.ends[:-1]).all()
    for told, clocks in zip(found.runs, done.runs, strict=True):
        ins = program.instructions[clocks.instruction]
        assert isinstance(ins, Run)
        operations = even_operations(config, ins)
        if clocks.stream == 0 and operations is not None:
            chunks = cost.Shape.of(ins).chunks(config.lanes)
            assert cost.run_clocks(config, chunks, operations, stream_of(program, ins),
                                   instruction=clocks.instruction) == clocks
            assert told == clocks
    clocks = done.ends - done.starts + 1
    for index, ins in enumerate(program.instructions[:-1]):
        if isinstance(ins, Fill) or isinstance(ins, TableLoad) and ins.kind == isa.Table.RAMP:
            assert cost.simple_cycles(config, ins) == clocks[index]
        elif not isinstance(ins, Run):                 # others may hold the port
            assert cost.simple_cycles(config, ins) <= clocks[index]


def assert_close(network: str, name: str, batch: int) -> None:
    program = same().compiled(network, same().MACHINES[name], batch)
    expected = machine.cycles(program)
    assert abs(estimate(program).cycles / expected - 1) < 0.02


@pytest.mark.parametrize("network, name, batch", QUICK)
def test_networks_within_two_percent(network, name, batch):
    assert_close(network, name, batch)


@pytest.mark.long
@pytest.mark.parametrize("network", ["digits", "odd", "lenet5", "resnet20"])
@pytest.mark.parametrize("name", ["tiny", "small", "wide"])
@pytest.mark.parametrize("batch", [1, 3])
def test_more_networks_within_two_percent(network, name, batch):
    if (network, name, batch) in TOO_LARGE:
        with pytest.raises(CompileError, match="memory_codes"):
            same().compiled(network, same().MACHINES[name], batch)
    else:
        assert_close(network, name, batch)


def test_random_networks_within_two_percent():
    for seed in range(4):
        assert_near(seed)


@pytest.mark.long
def test_many_random_networks_within_two_percent_and_most_equal():
    found = [assert_near(seed) for seed in range(4, 150)]
    equal = [each for each in found if each is not None]
    assert len(equal) > 100 and sum(equal) > 0.7 * len(equal)


def assert_near(seed: int) -> bool | None:
    """Is the estimate of a random network the TLM's to the clock? None for one that is refused."""
    try:
        program = wild.compiled(wild.case(seed))
    except CompileError:
        return None
    expected, found = machine.cycles(program), estimate(program).cycles
    assert abs(found / expected - 1) < 0.02, seed
    return found == expected
