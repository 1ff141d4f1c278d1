"""The text of a quantised graph: a line a tensor, a line for all weights of a layer."""

from __future__ import annotations

import canonical


def test_tensors_and_weights() -> None:
    assert str(canonical.two_layers()) == """\
tensor  makes  integers                          seen
x       2x6x5  8 bits in 2 planes of 0.007874    -
conv1   4x3x3  16 values 0..124 of 0.007874      -
conv2   3x2x3  16 bits in 4 planes of 0.0003333  -

weights of  shape    not zero  magnitudes  from..to       scales of channels
conv1       4x2x3x3        52           5  0.1314..1.645  0.09827..0.2209
conv2       3x4x2x1        16           5  0.2195..1.514  0.2802..0.3491"""
