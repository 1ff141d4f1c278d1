"""What networks keep: the rows of the page, on a small case."""

from __future__ import annotations

import numpy as np
import pytest
from scripts import script

kept = script("bench/compression/kept")


def test_rare_large_values_are_cut_off_in_the_row_that_says_so() -> None:
    case = ("three convolutions, rare large values", kept.plain(), kept.rare(100), "small", 16)
    told: list[str] = []
    table = kept.table(iter([case]), told.append)
    plain, cut = table.rows
    assert plain[0] == f"{cut[0]}, nothing cut off" and len(told) == 2
    assert min(cut[2:4]) > min(plain[2:4]) + 1
    assert len(plain) == len(table.columns) and "of 20" in plain[5]


def test_rare_values_are_rare_and_large() -> None:
    x = np.abs(kept.rare(400))
    assert 2 <= (x > 10).sum() <= 40 and x.max() > 50
    np.testing.assert_array_equal(kept.rare(20), kept.rare(20))


def test_the_examples_are_found() -> None:
    module = kept._example("odd")
    assert not module.training


@pytest.mark.long
def test_resnet8_recognises_pictures() -> None:
    torch = pytest.importorskip("torch")
    if "KCNN_DATA" not in kept.folder.__globals__["os"].environ:
        pytest.skip("KCNN_DATA does not name the folder of the data sets")
    with np.load(kept.folder() / kept.DATA["cifar10"].test) as file:
        x, y = file["images"][::50].transpose(0, 3, 1, 2), file["labels"][::50]
    with torch.no_grad():
        found = kept.Resnet8().eval()(torch.tensor(x.astype(np.float32))).numpy().argmax(1)
    assert (found == y).mean() > 0.6
