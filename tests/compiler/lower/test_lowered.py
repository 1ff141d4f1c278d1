"""The text of lowered steps: a line a value, a line a step."""

from __future__ import annotations

import canonical
import numpy as np
from kcnn.compiler.lower.lower import lower, taps
from kcnn.compiler.lower.lowered import Terms


def test_values_and_steps() -> None:
    assert str(lower(canonical.two_layers())) == """\
value  makes  integers                          node
x      2x6x5  8 bits in 2 planes of 0.007874
conv1  4x3x3  16 values 0..124 of 0.007874
conv2  3x2x3  16 bits in 4 planes of 0.0003333

step   kind    op   reads   makes  taps  coefficients     bias              then      areas  MACs
conv1  Conv2d  sum  x /2,2  conv1   104  0.01291..0.3634  -0.1835..0.047    relu          1   468
conv2  Conv2d  sum  conv1   conv2    16  0.06789..0.5284  -0.04554..0.2878  identity      1    96"""


def test_points_are_each_once_in_order_and_those_that_are_read() -> None:
    both = Terms.join([taps(np.array([0, 1]), np.array([3, 1])),
                       taps(np.array([2]), np.array([3]))])
    some = both.take(np.array([0, 2])).sorted()
    assert some.k.tolist() == [0, 2] and some.channel.tolist() == [3, 3]
    assert some.points.channel.tolist() == [3]
    assert both.sorted().points.channel.tolist() == [1, 3]
    assert both.sorted().channel.tolist() == both.channel.tolist() == [3, 1, 3]
