"""Placements that break their rules are refused."""

from __future__ import annotations

import dataclasses

import canonical
import pytest
from kcnn.compiler import pipeline
from kcnn.compiler.errors import InternalError
from kcnn.compiler.place.layouts import Placed
from kcnn.compiler.place.verify import verify_layouts, verify_memory
from kcnn.compiler.stages import Stage


def placed() -> Placed:
    net = canonical.Builder(canonical.TINY, (2, 6, 5))
    net.output(net.conv(net.conv("x", 4, stride=(2, 2), padding=(1, 1, 1, 1)), 3, (2, 2)))
    made = dict(pipeline.walk(net.quantised(), pipeline.Settings(canonical.TINY, batch=2)))
    return made[Stage.ALLOCATE]


def moved(number: int, **fields: int) -> Placed:
    """With other fields in the layout of a tensor."""
    whole = placed()
    layouts = list(whole.layouts)
    layouts[number] = dataclasses.replace(layouts[number], **fields)
    return dataclasses.replace(whole, layouts=tuple(layouts))


def test_what_allocate_makes_passes() -> None:
    verify_memory(placed())


def test_elements_outside_the_allocation_are_refused() -> None:
    with pytest.raises(InternalError, match="x has elements outside its 1 rows"):
        verify_layouts(moved(0, rows=1))
    with pytest.raises(InternalError, match="x has elements outside"):
        verify_layouts(moved(0, base=-1))


def test_tensors_that_live_together_share_nothing() -> None:
    first = placed().layouts[0]
    with pytest.raises(InternalError, match="x and conv1 share memory while both live"):
        verify_memory(moved(1, first_row=first.first_row, base=placed().layouts[1].base
                            + (first.first_row - placed().layouts[1].first_row)
                            * canonical.TINY.row_codes))


def test_the_memory_ends_somewhere() -> None:
    shift = canonical.TINY.rows
    last = placed().layouts[2]
    with pytest.raises(InternalError, match="beyond the end of the memory"):
        verify_memory(moved(2, first_row=last.first_row + shift,
                            base=last.base + shift * canonical.TINY.row_codes))
