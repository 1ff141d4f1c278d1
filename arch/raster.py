"""Where the positions of a RUN lie: in its raster, and in the memory where it writes.

A position is (image, row, column): arrays of one shape, or of shapes that broadcast to one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .isa import Run

Ints = NDArray[np.int64]


def positions(run: Run, starts: Ints, lanes: int) -> tuple[Ints, NDArray[np.bool_]]:
    """The positions of every chunk, (3, chunks, P), and which lie inside the rectangle.

    starts: first position of each chunk, (chunks, 3).
    """
    raster = raster_of(run, starts.T)[:, None] + np.arange(lanes)
    row, column = np.divmod(raster, run.pitch)
    image, row = np.divmod(row, run.image_rows)
    inside = (image < run.images) & (row < run.height) & (column < run.width)
    return np.stack([image, row, column]), inside


def raster_of(run: Run, position: Sequence[Ints] | Ints) -> Ints:
    """Raster position of each."""
    return (position[0] * run.image_rows + position[1]) * run.pitch + position[2]


def destinations(run: Run, position: Sequence[Ints] | Ints) -> Ints:
    """Destination of channel 0, digit 0 at each; not yet modulo the memory's size."""
    image, row, column = position
    return (run.dst + image * run.dst_image
            + _walked(row, run.split, run.y_start, run.y_mod, run.y_step, run.y_wrap)
            + _walked(column, run.split, run.x_start, run.x_mod, run.x_step, run.x_wrap))


def _walked(at: Ints, split: int, start: int, mod: int, step: int, wrap: int) -> Ints:
    """Address steps to row or column `at`: the wrap is added each time the phase wraps."""
    return at * step + (start + at * mod) // split * wrap


def bases(run: Run) -> Ints:
    """What channel and digit add to a destination, (digits, K)."""
    return (np.arange(run.digits)[:, None] * run.dst_plane
            + np.arange(run.channels) * run.dst_channel)
