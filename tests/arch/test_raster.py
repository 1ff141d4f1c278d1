"""Positions of a RUN: every one inside lies in one chunk. Destinations: test_effects.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import isa, raster, timing


def reduced(run: isa.Run, lanes: int) -> isa.Run:
    """The RUN with the fields of its chunks for so many lanes."""
    fields = isa.chunk_fields(lanes, run.pitch, run.image_rows)
    return dataclasses.replace(run, **{name: value % (1 << isa.Run.field(name).width)
                                       for name, value in fields.items()})


@settings(max_examples=60)
@given(strategies.runs(), st.sampled_from([4, 16, 64]))
def test_every_position_inside_lies_in_one_chunk(run, lanes):
    small = dataclasses.replace(
        run, pitch=run.pitch % 9 + 1, image_rows=run.image_rows % 7 + 1, images=run.images % 4 + 1,
        width=1, height=1, chunk_rows=0, chunk_columns=0)
    small = reduced(dataclasses.replace(small, width=run.width % small.pitch + 1,
                                        height=run.height % small.image_rows + 1), lanes)
    position, inside = raster.positions(small, timing.chunk_starts(small), lanes)
    found = position[:, inside].T.tolist()
    assert found == [[n, y, x] for n in range(small.images) for y in range(small.height)
                     for x in range(small.width)]
    place = raster.raster_of(small, position)
    assert (np.diff(place, axis=1) == 1).all()
