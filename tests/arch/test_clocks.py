"""Clocks by cause: sums, bounds, and layers from stamps."""

from __future__ import annotations

import dataclasses

import pytest
import strategies
from kcnn.arch.clocks import BOUNDS, LayerClocks, RunClocks, layer_clocks, run_spans
from kcnn.arch.estimate import estimate

PROGRAM = strategies.small_program(strategies.Shape(stride=2, images=2))
NONE = LayerClocks(0, 0, 0, 0, 0, 0, 0, 0)


def test_causes_add_up():
    assert RunClocks(9, 1, 2, 3, 4, 5, 6, 7).cycles == 28
    assert LayerClocks(1, 2, 3, 4, 5, 6, 7, 8).cycles == 36


@pytest.mark.parametrize("cause, bound", BOUNDS.items())
def test_the_largest_cause_bounds_a_layer(cause, bound):
    assert dataclasses.replace(NONE, **{"taps": 1} | {cause: 2}).bound == bound


def test_layers_share_the_time_from_the_first_run_to_the_last():
    found = estimate(PROGRAM)
    spans, clocks = run_spans(PROGRAM, found), layer_clocks(PROGRAM, found)
    order = [spans[index] for index in sorted(spans)]
    assert order[0][0] == found.starts[PROGRAM.layers[0].runs[0]]
    assert order[-1][1] == max(found.ends[list(spans)]) + 1
    assert all(end == start for (_, end), (start, _) in zip(order, order[1:], strict=False))
    assert sum(clocks[number].cycles for number in clocks) == order[-1][1] - order[0][0]
    for number, layer in enumerate(PROGRAM.layers):
        runs = [run for run in found.runs if run.instruction in layer.runs]
        assert clocks[number].cycles == sum(spans[index][1] - spans[index][0]
                                            for index in layer.runs)
        assert clocks[number].taps == sum(run.taps for run in runs)


def test_no_layers_take_no_time():
    assert layer_clocks(dataclasses.replace(PROGRAM, layers=()), estimate(PROGRAM)) == {}
