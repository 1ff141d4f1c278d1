"""Tokens: every conflict is ordered, no token is superfluous, and plans come to their end."""

import dataclasses
import itertools

import bands
import canonical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import check, hazards, isa, order, reference
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Unit
from kcnn.arch.program import memory_image
from kcnn.arch.region import Region, Space
from kcnn.compiler.emit import tokens
from kcnn.compiler.emit.assemble import assemble
from kcnn.compiler.emit.step import Step
from kcnn.compiler.errors import InternalError
from kcnn.engines.execute import outputs
from kcnn.tlm.machine import simulate

INSTRUCTIONS = {Unit.LOAD: isa.TableLoad(isa.Table.RAMP, 0, 0, 1),
                Unit.COMPUTE: isa.Fill(0, 1, 0), Unit.STORE: isa.Store(0, 0, 1)}
ROWS = Region(Space.ROWS, 0, 0, 4)


def a_step(unit, reads=(), writes=()):
    return Step(INSTRUCTIONS[unit], tuple(reads), tuple(writes))


def fill():
    return a_step(Unit.COMPUTE, (), [ROWS])


def stretches(space, parts):
    """Regions of a memory."""
    return st.builds(lambda part, first, count: Region(space, part, first, first + count),
                     st.sampled_from(parts), st.integers(0, 3), st.integers(1, 3))


OUTSIDE, INSIDE = stretches(Space.EXTERNAL, [0, 1]), stretches(Space.ROWS, [0])
BANKS = stretches(Space.BASE, [0, 1])
ANY_STEP = st.one_of(
    st.builds(lambda a, b: a_step(Unit.LOAD, [a], [b]), OUTSIDE, INSIDE),
    st.builds(lambda a: a_step(Unit.LOAD, [], [a]), BANKS),
    st.builds(lambda a, b: a_step(Unit.STORE, [a], [b]), INSIDE, OUTSIDE),
    st.builds(lambda reads, b: a_step(Unit.COMPUTE, reads, [b]),
              st.lists(BANKS | INSIDE, max_size=3), INSIDE))


@st.composite
def steps(draw):
    """Any steps; the compute unit stands between any two of the other units."""
    found = []
    for step in draw(st.lists(ANY_STEP, max_size=20)):
        if found and {found[-1].unit, step.unit} == {Unit.LOAD, Unit.STORE}:
            found.append(fill())
        found.append(step)
    return found


def conflicts(first, second):
    """What may not overlap in time, by the words of docs/machine.md."""
    if first.unit == second.unit:
        return False
    touched = [[(region, True) for region in step.writes] + [(region, False) for region
                                                             in step.reads]
               for step in (first, second)]
    return any((a.space == b.space == Space.ROWS) or ((written or w) and a.meets(b))
               for (a, written), (b, w) in itertools.product(*touched))


def ordered(found, waited):
    """Those pairs of steps that conflict and are ordered, and those that are not."""
    flags = tokens.flags(found, waited)
    instructions = [dataclasses.replace(step.instruction, **flag)
                    for step, flag in zip(found, flags, strict=True)]
    known = order.order([*instructions, isa.End()])
    pairs = [(a, b) for a, b in itertools.combinations(range(len(found)), 2)
             if conflicts(found[a], found[b])]
    return [known.ended(a, found[a].unit, b) for a, b in pairs]


def without(waited):
    """Every way to leave one token out."""
    for taker, givers in enumerate(waited):
        for giver in givers:
            yield [[g for g in others if (g, at) != (giver, taker)]
                   for at, others in enumerate(waited)]


@settings(max_examples=60)
@given(steps())
def test_every_conflict_is_ordered_and_no_token_is_superfluous(found):
    waited = tokens.waits(found)
    assert all(ordered(found, waited))
    for less in without(waited):
        assert not all(ordered(found, less))


def test_a_step_waits_for_the_last_one_that_it_conflicts_with():
    table, bank = Region(Space.BASE, 0, 0, 4), Region(Space.BASE, 0, 3, 9)
    other = Region(Space.BASE, 1, 0, 9)
    load, run = [], []
    for region in (table, other):
        load.append(a_step(Unit.LOAD, (), [region]))
        run.append(a_step(Unit.COMPUTE, [region], [ROWS]))
    found = [load[0], run[0], load[1], run[1], run[0], load[1], load[0], a_step(Unit.STORE, [ROWS]),
             a_step(Unit.LOAD, (), [bank])]
    assert tokens.waits(found) == [[], [0], [], [2], [], [3], [4], [4], []]


def test_a_step_may_wait_for_both_neighbours_and_names_the_earlier_first():
    bank, outside = Region(Space.BASE, 0, 0, 4), Region(Space.EXTERNAL, 0, 0, 64)
    found = [fill(), a_step(Unit.STORE, [ROWS], [outside]), a_step(Unit.LOAD, (), [bank]),
             a_step(Unit.COMPUTE, [bank], [ROWS])]
    assert tokens.waits(found) == [[], [0], [], [1, 2]]


def test_a_step_between_leads_from_store_to_load():
    outside = Region(Space.EXTERNAL, 0, 0, 64)
    store = a_step(Unit.STORE, [ROWS], [outside])
    load = a_step(Unit.LOAD, [outside], [ROWS])
    assert tokens.waits([fill(), store, fill(), load]) == [[], [0], [1], [2]]
    with pytest.raises(InternalError, match=r"step 2 \(TABLE\) must follow step 1 \(STORE\), and "
                                            "no token leads from one to the other; put a FILL "
                                            "between them"):
        tokens.waits([fill(), store, load])
    # a compute step that ends before the STORE begins does not lead anywhere
    with pytest.raises(InternalError, match=r"step 2 \(STORE\) must follow step 1 \(TABLE\)"):
        tokens.waits([fill(), load, store])


def test_tokens_of_networks_are_all_needed():
    """In the words of the hazards, which look at cells and entries one by one."""
    machine = canonical.config()
    net = canonical.Builder(machine, (1, 6, 6))
    first = net.conv("x", 2, padding=(1, 1, 1, 1), density=1.0)
    second = net.conv(first, 2, (3, 3), (2, 2), (1, 1, 1, 1), density=1.0)
    net.output(net.conv(second, 3, (3, 3), radix=True, kind="Linear", density=1.0))
    plan = canonical.planned(net.quantised(), machine)
    refused_without_any(plan)


# ---- bands through external memory -----------------------------------------------------------
def accesses(plan):
    """Order and hazards of its program."""
    program = assemble(plan)
    known = order.order(program.instructions)
    hazards.Accesses(program, known, check._check_streams(program)).walk()
    return program


def refused_without_any(plan):
    accesses(plan)
    changed = [dataclasses.replace(plan) for _ in without(plan.waits)]
    assert changed
    for other, less in zip(changed, without(plan.waits), strict=True):
        other.__dict__["waits"] = less
        with pytest.raises(FormatError, match="without a token that orders it after"):
            accesses(other)


@pytest.mark.parametrize("lines, height, early", [
    (10, 4, False), (9, 3, False), (7, 7, False), (10, 4, True)])
def test_bands_through_external_memory_compute_what_the_reference_does(lines, height, early):
    program = assemble(bands.Bands(lines, height, early=early).plan())
    check.verify(program)
    x = np.random.default_rng(lines).integers(0, 16, (1, 1, 1, lines, bands.LINE - 2))
    expected = reference.run(program, [x])[2]
    for latency in (1, 40):
        result = simulate(program, memory_image(program, [x]), MemoryModel.fixed(latency))
        np.testing.assert_array_equal(outputs(program, result.memory)[0], expected)
        np.testing.assert_array_equal(result.tensors[2], expected)
    assert len(np.unique(expected)) > 8


@pytest.mark.parametrize("early", [False, True])
def test_every_token_of_bands_is_needed(early):
    refused_without_any(bands.Bands(9, 4, early=early).plan())


def test_bands_without_a_step_that_leads_are_refused():
    with pytest.raises(InternalError, match=r"step 8 \(LOAD\) must follow step 7 \(STORE\)"):
        assemble(bands.Bands(9, 4, lead=False).plan())
