"""The clocks of layers in bands stand beside those of the same layers whole."""

from __future__ import annotations

import dataclasses

import canonical
from kcnn.compiler import pipeline
from kcnn.compiler.stages import Stage
from scripts import script

tiling = script("bench/compression/tiling")


def both(codes: int) -> tuple[dict[str, int], dict[str, int]]:
    machine = dataclasses.replace(canonical.TINY, memory_codes=codes)
    net = canonical.chain(machine, 4, 8)
    made = dict(pipeline.walk(net.quantised(), pipeline.Settings(machine)))
    return tiling.clocks(made[Stage.ASSEMBLE]), tiling.unlimited(made[Stage.LAYOUTS])


def test_what_fits_costs_hardly_more_than_its_runs() -> None:
    program, whole = both(1 << 14)
    assert all(0 <= program[name] - whole[name] < 700 for name in whole)


def test_what_does_not_fit_costs_more() -> None:
    assert both(1 << 14)[1] == both(1024)[1]
    assert sum(both(1024)[0].values()) > sum(both(1 << 14)[0].values())
