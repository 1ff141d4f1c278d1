"""Differences are found, in order, and told in a sentence."""

from __future__ import annotations

import dataclasses

import bands
import hand
import pytest
import strategies
from kcnn.compiler.emit.assemble import assemble
from kcnn.engines import compare
from kcnn.engines import execute as engines
from kcnn.engines.batches import encode

PROGRAM = hand.program()


@pytest.fixture
def pair() -> tuple[engines.Outcome, engines.Outcome]:
    """The same batch on the TLM, twice, with its writes."""
    codes = encode(PROGRAM, [hand.images(1)])
    first, second = (engines.execute("tlm", PROGRAM, codes, engines.memory_model(PROGRAM, None),
                                     trace=True) for _ in range(2))
    return first, second


def test_equal_outcomes_have_no_differences(pair) -> None:
    assert compare.differences(PROGRAM, *pair) == []
    assert compare.mistiming(PROGRAM, pair[0].result, pair[1].result) is None


def test_a_difference_has_its_first_element_and_cycle(pair) -> None:
    base, other = pair
    other.tensors[1][0, 0, 1, 2, 3] ^= 1
    (found,) = compare.differences(PROGRAM, base, other)
    assert (found.tensor, found.name, found.element) == (1, "first", (0, 0, 1, 2, 3))
    assert found.differing == 1 and found.cycle is not None
    assert str(found) == (
        "tlm: tensor 'first' differs in 1 elements, first at image 0, channel 1, row 2, column 3, "
        f"plane 0: code {found.found} instead of {found.expected}, written in cycle {found.cycle}")


def test_elements_of_bands_have_the_cycle_of_the_window_that_they_were_written_to() -> None:
    program = assemble(bands.Bands(10, 4).plan())
    done = engines.execute("tlm", program, strategies.random_inputs(program),
                           engines.memory_model(program, None), trace=True).result
    assert done is not None
    for tensor, layer in ((1, 0), (2, 1)):
        for line, run in ((0, 0), (3, 0), (4, 1), (9, 2)):
            at = program.layers[layer].runs[run]
            cycle = compare.written_in(program, done, tensor, (0, 0, 0, line, 7))
            assert cycle is not None and done.starts[at] < cycle <= done.ends[at]
    assert compare.written_in(program, done, 0, (0, 0, 0, 2, 0)) is not None
    unread = dataclasses.replace(program, tensors=(dataclasses.replace(
        program.tensors[0], places=program.tensors[0].places[:1]), *program.tensors[1:]))
    assert compare.written_in(unread, done, 0, (0, 0, 0, 2, 0)) is None


def test_an_output_that_is_wrong_in_external_memory_only_is_a_difference(pair) -> None:
    base, other = pair
    other.outputs[0][0, 0, 0, 0, 0] ^= 1
    (found,) = compare.differences(PROGRAM, base, other)
    assert (found.tensor, found.name, found.cycle) == (-1, "output in external memory", None)


def test_the_earliest_clock_that_differs_is_told(pair) -> None:
    base, other = (outcome.result for outcome in pair)
    other.ends[[3, 8]] += 2
    found = compare.mistiming(PROGRAM, base, other)
    assert found.index == 3 and (found.what, found.found - found.expected) == ("end", 2)
    later = dataclasses.replace(base, cycles=base.cycles + 1)
    assert str(compare.mistiming(PROGRAM, base, later)) == (
        f"tlm: done of the program in cycle {base.cycles + 1}, on tlm in cycle {base.cycles}")
