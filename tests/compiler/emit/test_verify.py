"""Plans that break a rule are a defect of ours, and the sentence names the step."""

import dataclasses

import bands
import pytest
from kcnn.arch import isa
from kcnn.arch.isa import Unit
from kcnn.compiler.emit import step
from kcnn.compiler.emit.verify import verify
from kcnn.compiler.errors import InternalError

PLAN = bands.Bands(6, 3).plan()
LOAD = next(at for at, s in enumerate(PLAN.steps) if isinstance(s.instruction, isa.Load))
RUN = LOAD + 1


def changed(**steps):
    """The plan with other steps, or without those that are None."""
    found = list(PLAN.steps)
    for at, other in steps.items():
        found[int(at[1:])] = other
    return dataclasses.replace(PLAN, steps=tuple(s for s in found if s is not None))


def refused(plan, sentence):
    with pytest.raises(InternalError) as error:
        verify(plan)
    assert str(error.value) == sentence


def test_bands_obey_the_rules():
    verify(PLAN)


def test_steps_stay_in_their_memory():
    rows, size = bands.SMALL.rows, PLAN.areas[0].size
    refused(changed(**{f"s{LOAD}": step.move(isa.Load(0, rows - 4, 5), 0, bands.SMALL)}),
            f"step {LOAD} (LOAD) writes rows {rows - 4}..{rows}, and there are {rows}")
    refused(changed(**{f"s{LOAD}": step.move(isa.Load(4, 0, 5), 0, bands.SMALL)}),
            f"step {LOAD} (LOAD) reads x 64..143, and there are {size}")


def test_what_is_read_was_written():
    refused(changed(**{f"s{LOAD}": step.move(isa.Load(2, 0, 5), 1, bands.SMALL)}),
            f"step {LOAD} (LOAD) reads mid 32..111, which nothing before it wrote")
    refused(changed(**{f"s{LOAD}": step.move(isa.Load(0, 1, 5), 0, bands.SMALL),
                       f"s{LOAD - 1}": None}),
            f"step {RUN - 1} (RUN) reads rows 0..4, which nothing before it wrote")
    refused(changed(s2=None),
            f"step {RUN - 1} (RUN) reads DECODE 0: 0..15, which nothing before it wrote")


def test_outputs_are_stored_whole():
    assert PLAN.steps[-1].unit == Unit.STORE
    refused(dataclasses.replace(PLAN, steps=PLAN.steps[:-1]), "output y is not stored whole")


def test_tokens_order_it():
    with pytest.raises(InternalError, match="must follow step"):
        verify(bands.Bands(6, 3, lead=False).plan())
