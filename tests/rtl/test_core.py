"""The whole core against a plain model of docs/machine.md: every write, every cycle."""

from __future__ import annotations

import copy
import dataclasses
import random

import pytest
from core_bench import Driver, expected, make, random_jobs, random_state, simulate, unpack
from kcnn.arch.config import Config
from kcnn.arch.isa import Run
from replay import replay

SMALL = {"memory_codes": 1024, "base_entries": 16, "tap_slots": 64, "port_bits": 32}
MACHINES = [
    {"lanes": 4, "share": 2},
    {"lanes": 4, "share": 1, "drain": 4},
    {"lanes": 4, "share": 4, "code_bits": 8},
    {"lanes": 8, "share": 2, "drain": 2, "base_entries": 64},
    {"lanes": 8, "share": 1, "drain": 2, "code_bits": 5},
    {"lanes": 8, "share": 2, "drain": 4, "factor_bits": 12, "value_bits": 12, "sum_bits": 18},
    {"lanes": 16, "share": 4, "drain": 4, "code_bits": 6},
    {"lanes": 16, "share": 16, "total_bits": 32},
    {"lanes": 32, "share": 8},
]


def config_of(fields: dict[str, int]) -> Config:
    return dataclasses.replace(Config.preset("tiny"), **{**SMALL, **fields})


def work_of(config, name, count):
    """Tables and memory, and jobs for them."""
    rng = random.Random(name)
    state = random_state(config, rng)
    return state, random_jobs(config, rng, count, state.home)


def check(config, driver, writes, rows):
    """The jobs of a driver whose state is as it was before them."""
    model, jobs = copy.deepcopy(driver.state), driver.jobs
    wanted, ends = expected(model, jobs)
    assert [job.ended for job in jobs] == ends
    assert sorted(writes, key=str) == sorted(wanted, key=str)
    assert unpack(config, rows) == model.memory.tolist()


@pytest.mark.parametrize("fields", MACHINES, ids=lambda fields: "-".join(
    f"{name[:5]}{value}" for name, value in fields.items()))
def test_every_write_and_end_stamp_is_that_of_the_model(fields):
    config = config_of(fields)
    driver = Driver(config, *work_of(config, f"{fields}", 2), rest=0.2 * (config.lanes > 4))
    check(config, driver, *simulate(config, driver, 1))


@pytest.mark.parametrize("cycles", [300, 317, 339])
def test_a_reset_of_one_cycle_leaves_nothing_behind(cycles):
    config = config_of({"lanes": 4, "share": 2, "drain": 2})
    stopped = Driver(config, *work_of(config, f"stopped{cycles}", 6))
    driver = Driver(config, *work_of(config, "after", 2), resets=1)
    check(config, driver, *simulate(config, driver, cycles, before=stopped, cycles=cycles))
    assert stopped.jobs[0].taken >= 0


def test_verilog_and_vhdl_do_the_same():
    config = config_of({"lanes": 4, "share": 2})
    state, jobs = work_of(config, "both", 1)
    assert isinstance(jobs[0].instruction, Run)
    recording = replay(make(config), 330, Driver(config, state, jobs), tools=("iverilog", "ghdl"))
    assert sum(recording.of("trace_write")) > config.rows
