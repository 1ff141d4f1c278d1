"""Images that are unlike others are told, images that are not are not."""

import dataclasses

import numpy as np
import pytest
from kcnn.arch import likeness
from kcnn.arch.meta import Meta


def images(count, seed=0, channels=3):
    """Smooth images 0..1 of various brightness, with dark and bright spots."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, channels, 16, 16)).cumsum(axis=2).cumsum(axis=3)
    x -= x.min(axis=(1, 2, 3), keepdims=True)
    x /= x.max(axis=(1, 2, 3), keepdims=True)
    return (x ** rng.uniform(0.7, 1.5, (count, 1, 1, 1))).astype(np.float32)


KNOWN = likeness.measure(images(40))


@pytest.mark.parametrize("count", [1, 2, 10, 100])
@pytest.mark.parametrize("seed", range(1, 6))
def test_new_images_of_the_same_kind_are_alike(count, seed):
    assert likeness.unlike(KNOWN, images(count, seed)) is None


@pytest.mark.parametrize("change, feature", [
    (lambda x: 255 * x, "greatest value"), (lambda x: (x - 0.5) / 0.25, "least value"),
    (lambda x: x / 255, "greatest value"), (lambda x: 0 * x, "greatest value"),
    (lambda x: -x, "least value"),
    (lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(x.shape), "step down")])
def test_what_was_forgotten_is_seen(change, feature):
    said = likeness.unlike(KNOWN, change(images(30, 7)))
    assert said is not None and said.isprintable() and ", there " in said
    assert feature in said or feature == "step down" and "step" in said


def test_the_sentence_names_the_channel():
    x = images(30, 3)
    x[:, 1] = 0.5 + 0.1 * (x[:, 1] - 0.5)
    x[:, 1] += 0.4 - x[:, 1].mean()
    known = dataclasses.replace(KNOWN, mean=KNOWN.mean[:5] + (0.1, -9.0, 0.1),
                                spread=(1.0,) * 5 + (1.0, 0.01, 1.0))
    assert likeness.unlike(known, x) == ("the mean value of channel 1 of an image is 0.4 on "
                                         "average, there -9, varying by 0.01")


def test_features_by_hand():
    x = np.array([[[[0.0, 1.0, 3.0], [2.0, 2.0, -4.0]]]], np.float32)
    least, greatest, deviation, across, down, mean = likeness.features(x)[0]
    assert (least, greatest, mean) == (-4, 3, pytest.approx(4 / 6))
    assert deviation == pytest.approx(np.std(x)) and across == 9 / 4 and down == 10 / 3


def test_narrow_images_and_many_channels_have_features_too():
    assert likeness.features(np.ones((2, 1, 1, 1), np.float32)).tolist() == 2 * [[1, 1, 0, 0, 0, 1]]
    assert likeness.features(np.ones((2, 17, 3, 3), np.float32)).shape == (2, 6)
    assert likeness.unlike(KNOWN, images(3, channels=1)) is None      # of another network


def test_metadata_hold_it_in_a_few_digits():
    meta = Meta(likeness=likeness.to_plain(KNOWN))
    assert likeness.Likeness(**meta.likeness) == KNOWN
    assert all(len(f"{value}".replace("-", "")) <= 11 for value in KNOWN.mean)
