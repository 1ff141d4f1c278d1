"""The cells that a RUN reads and writes."""

import dataclasses

import numpy as np
import strategies
from hypothesis import given, settings
from kcnn.arch import effects, isa
from kcnn.arch.region import Region, Space


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


def test_regions_are_those_that_the_fields_name():
    config = strategies.small_program().config
    rows = Region(Space.ROWS, 0, 5, 8)
    outside = Region(Space.EXTERNAL, 2, 64, 64 + 3 * config.row_bytes)
    assert effects.regions(isa.Load(4, 5, 3), config, 2) == ((outside,), (rows,))
    assert effects.regions(isa.Store(4, 5, 3), config, 2) == ((rows,), (outside,))
    assert effects.regions(isa.Fill(5, 3, 1), config) == ((), (rows,))
    assert effects.regions(isa.TableLoad(isa.Table.DECODE, 1, 2, 6), config) == (
        (), (Region(Space.DECODE, 1, 2, 8),))
    assert effects.regions(isa.End(), config) == ((), ())


def test_only_codes_are_found_in_a_cluster_bank():
    for mode, count in ((isa.Mode.CODE, 5), (isa.Mode.RADIX, 4), (isa.Mode.PASS, 4)):
        program = strategies.small_program(strategies.Shape(mode=mode))
        run = next(ins for ins in program.instructions if isinstance(ins, isa.Run))
        found = effects.banks(run, [1, 0], program.config)
        assert len(found) == count and [r.part for r in found[2:4]] == [0, 1]
        assert all(region.first == 0 for region in found)
        assert found[0].end == program.config.base_entries
