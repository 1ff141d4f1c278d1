"""The cells that a RUN reads and writes."""

import dataclasses

import numpy as np
import strategies
from hypothesis import given, settings
from kcnn.arch import effects, isa


@settings(max_examples=40)
@given(strategies.shapes())
def test_effects_against_a_walk_over_all_positions(shape):
    """Cells read and written, position by position as `isa.Run` tells it."""
    program = strategies.small_program(shape)
    memory = program.config.memory_codes
    run = next(ins for ins in program.instructions if isinstance(ins, isa.Run))
    run = dataclasses.replace(run, split=3, x_start=2, x_mod=2, x_wrap=5, y_start=1, y_mod=1,
                              y_wrap=memory - 7)
    starts = np.array([3, 50, memory - 1])
    read, written = set(), []
    for n, y, x in np.ndindex(run.images, run.height, run.width):
        raster = (n * run.image_rows + y) * run.pitch + x
        read |= {(int(s) + run.origin + raster) % memory for s in starts}
    for k, j, n in np.ndindex(run.channels, run.digits, run.images):
        row, phase_y = run.dst + k * run.dst_channel + j * run.dst_plane + n * run.dst_image, 1
        for _ in range(run.height):
            at, phase_x = row, 2
            for _ in range(run.width):
                written.append(at % memory)
                phase_x += run.x_mod
                at += run.x_step + (run.x_wrap if phase_x >= 3 else 0)
                phase_x %= 3
            phase_y += run.y_mod
            row += run.y_step + (run.y_wrap if phase_y >= 3 else 0)
            phase_y %= 3
    assert set(np.flatnonzero(effects.reads(run, starts, memory)).tolist()) == read
    assert effects.writes(run, memory).ravel().tolist() == written
