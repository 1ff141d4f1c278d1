"""From when until when tensors are kept."""

from __future__ import annotations

import canonical
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.scaling import scale
from kcnn.compiler.place.lives import Life, lives


def test_a_life_ends_with_the_last_reader() -> None:
    net = scale(lower(canonical.two_layers()), canonical.TINY, 1)
    assert lives(net, [7, 8, 9]) == [Life(-1, 0, 7), Life(0, 1, 8), Life(1, 2, 9)]


def test_lives_that_share_a_layer_meet() -> None:
    assert Life(0, 2, 1).meets(Life(2, 3, 1)) and Life(2, 3, 1).meets(Life(0, 2, 1))
    assert not Life(0, 1, 1).meets(Life(2, 3, 1))
