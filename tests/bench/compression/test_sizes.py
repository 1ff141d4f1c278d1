"""Size tables: bytes of real files."""

from __future__ import annotations

import numpy as np
from codings import layer
from kcnn.compress.formats import FORMATS
from kcnn.compress.formats.coded import eight_bit
from kcnn.compress.formats.file import write
from scripts import script

sizes = script("bench/compression/sizes")

LAYERS = {"conv": layer((8, 4, 3, 3), 5, 0.3, 0), "fc": layer((40, 90, 1, 1), 4, 0.08, 1)}


def test_every_size_is_that_of_a_file() -> None:
    rows = sizes.table(LAYERS)
    for row, (name, coded) in zip(rows, LAYERS.items(), strict=True):
        assert (row.layer, row.weights, row.nonzero) == (name, coded.codes.size, coded.nonzero)
        assert {form for form, _ in row.files} == set(FORMATS)
        for (form, coder), size in row.files.items():
            if coder != "entropy":
                assert size == len(write(coded, form, coder))


def test_totals_add_up_and_leave_out_what_a_layer_does_not_fit() -> None:
    wide = eight_bit(np.ones((1, 1, 20, 3), np.float32))
    rows = sizes.table({**LAYERS, "wide": wide}, ["none"])
    whole = sizes.total(rows)
    assert "ccoo" not in {form for form, _ in whole.files}
    assert whole.files["csr", "none"] == sum(row.files["csr", "none"] for row in rows)
    assert whole.float_bytes == 4 * (288 + 3600 + 60)


def test_the_smallest_is_found() -> None:
    (row,) = sizes.table({"fc": LAYERS["fc"]}, ["none"])
    form, size = sizes.smallest(row, "none")
    assert size == row.files[form, "none"] == min(
        size for (_, coder), size in row.files.items() if coder == "none")
    assert form in ("csc", "index", "release", "bitmap")
