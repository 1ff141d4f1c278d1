"""A preprocess as data."""

import numpy as np
import pytest
from kcnn.arch import preprocess
from kcnn.arch.meta import Meta
from kcnn.arch.preprocess import Affine

SWAPPED = Affine((2, 1, 0), (0.5, 1.0, 2.0), (0.0, -1.0, 0.25), 3)


def test_channels_are_ordered_scaled_and_moved():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    y = SWAPPED(x)
    assert y.dtype == np.float32 and y.shape == x.shape
    assert y[1, 0].tolist() == (0.5 * x[1, 2]).tolist()
    assert y[0, 1].tolist() == (x[0, 1] - 1).tolist()
    assert y[1, 2].tolist() == (2 * x[1, 0] + 0.25).tolist()


def test_channels_may_come_last_and_pixels_be_bytes():
    x = np.arange(120, dtype=np.uint8).reshape(2, 4, 5, 3)
    last = Affine(*list(vars(SWAPPED).values())[:4], True)
    assert (last(x) == SWAPPED(x.transpose(0, 3, 1, 2).astype(np.float32))).all()
    assert last.takes((3, 4, 5)) == (4, 5, 3) and SWAPPED.takes((3, 4, 5)) == (3, 4, 5)


def test_pixels_get_their_channels_first():
    x = np.arange(24, dtype=np.uint8)
    assert preprocess.pixel_planes(x.reshape(2, 3, 4)).shape == (2, 1, 3, 4)
    found = preprocess.pixel_planes(x.reshape(2, 2, 2, 3))
    assert found.shape == (2, 3, 2, 2) and found[1, 2, 1, 0] == x.reshape(2, 2, 2, 3)[1, 1, 0, 2]


def test_results_are_rounded_once():
    x = np.array([1 + 2.0 ** -23], np.float32).reshape(1, 1, 1, 1)
    assert Affine((0,), (1e8,), (-1e8,), 1)(x).ravel()[0] == np.float32(1e8 * 2.0 ** -23)
    assert np.isinf(Affine((0,), (1e300,), (0.0,), 1)(x)).all()        # refused by who reads


@pytest.mark.parametrize("kept", [SWAPPED, preprocess.OTHER, None])
def test_metadata_hold_it(kept):
    meta = Meta(preprocess=preprocess.to_plain(kept))
    assert preprocess.from_plain(meta.preprocess) == kept


def test_it_can_be_read():
    assert str(SWAPPED) == "0.5 * x[2], 1 * x[1] - 1, 2 * x[0] + 0.25"
    assert str(Affine((0,), (2.0,), (1.0,), 1, True)) == "2 * x[0] + 1, x with channels last"
