"""Bands load what they read, store what they make, and a FILL stands behind every STORE."""

import dataclasses

import canonical
import pytest
from kcnn.arch import isa
from kcnn.arch.region import Space
from kcnn.compiler import pipeline
from kcnn.compiler.emit.verify import verify
from kcnn.compiler.errors import InternalError
from kcnn.compiler.stages import Stage

MACHINE = canonical.config(memory_codes=256)


def made(stage=Stage.PLAN):
    """A network whose first two layers work in bands of lines."""
    net = canonical.Builder(MACHINE, (1, 12, 7))
    first = net.conv("x", 4, padding=(1, 1, 1, 1))
    down = net.conv(first, 3, stride=(2, 2), padding=(1, 1, 1, 1))
    net.output(net.conv(down, 2, (6, 4), radix=True, kind="Linear"))
    return dict(pipeline.walk(net.quantised(), pipeline.Settings(MACHINE)))[stage]


PLAN = made()


def test_no_load_follows_a_store_at_once():
    users = [step.instruction.OP for step in PLAN.steps
             if step.instruction.OP in (isa.Op.LOAD, isa.Op.STORE, isa.Op.FILL, isa.Op.RUN)]
    assert (isa.Op.STORE, isa.Op.LOAD) not in set(zip(users, users[1:], strict=False))
    assert (isa.Op.STORE, isa.Op.FILL) in set(zip(users, users[1:], strict=False))


def test_lines_are_loaded_with_their_halos_and_stored_once():
    placed = made(Stage.ALLOCATE)
    number = next(n for n, home in enumerate(placed.homes) if home.value == "lines" and n)
    name = placed.split.net.values[number].name
    area = next(n for n, found in enumerate(PLAN.areas) if found.name == name)
    loaded, stored = [], []
    for step in PLAN.steps:
        for regions, rows in ((step.reads, loaded), (step.writes, stored)):
            rows += [range(r.first, r.end) for r in regions
                     if r.space == Space.EXTERNAL and r.part == area]
    assert sorted(b for rows in stored for b in rows) == list(range(PLAN.areas[area].size))
    assert set(b for rows in loaded for b in rows) == set(range(PLAN.areas[area].size))
    assert sum(map(len, loaded)) > PLAN.areas[area].size


def test_windows_are_told_with_the_steps_that_fill_and_read_them():
    steps = PLAN.steps
    for number, tensor in enumerate(PLAN.tensors):
        for place in tensor.places[1:]:
            assert place.space == Space.ROWS and 0 <= place.since < place.until
            made_here = any(layer.output == number and steps[place.since].layer == n
                            for n, layer in enumerate(PLAN.layers))
            since, until = (steps[i].instruction.OP for i in (place.since, place.until))
            assert (since, until) == ((isa.Op.RUN, isa.Op.STORE) if made_here else
                                      (isa.Op.LOAD, isa.Op.RUN))


@pytest.mark.parametrize("kind", [isa.Op.LOAD, isa.Op.STORE])
def test_no_move_can_be_left_out(kind):
    verify(PLAN)
    at = next(n for n, step in enumerate(PLAN.steps)
              if step.instruction.OP == kind and step.area is not None)
    with pytest.raises(InternalError):
        verify(dataclasses.replace(PLAN, steps=PLAN.steps[:at] + PLAN.steps[at + 1:]))
