"""What moves for each layer is counted where it is wanted or made."""

from __future__ import annotations

import bands
from kcnn.arch.moved import kept, moved
from kcnn.compiler.emit.assemble import assemble

PROGRAM = assemble(bands.Bands(9, 3).plan())
LINE = bands.SMALL.row_bytes


def test_bands_load_their_lines_and_halos_and_store_what_they_make():
    first, second = moved(PROGRAM)
    assert (first.bands, second.bands) == (3, 3)
    assert first.loaded == second.loaded == 3 * (3 + 2) * LINE
    # the pads of the second layer's output are stored before its first RUN
    assert (first.stored, second.stored) == ((2 + 9 + 2) * LINE, 9 * LINE)


def test_a_tensor_is_on_chip_or_outside_by_lines():
    assert [kept(tensor) for tensor in PROGRAM.tensors] == ["lines"] * 3
