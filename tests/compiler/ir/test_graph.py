"""The text of a graph: a line a node, weights summarised."""

from __future__ import annotations

import canonical
import numpy as np
import pytest
from kcnn.compiler.ir.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    MaxPool,
    Op,
    Skip,
)


def test_a_line_a_node() -> None:
    assert str(canonical.two_layers().graph) == """\
node     operation                                   reads  makes  weights  not zero  range            from
x        Input                                              2x6x5                  -
conv1    Conv2d 3x3, stride 2, padding 1, then relu  x      4x3x3  4x2x3x3        52  -0.3634..0.3634  net.conv1
conv2    Conv2d 2x1                                  conv1  3x2x3  3x4x2x1        16  -0.4682..0.5284  net.conv2
output3  Output                                      conv2  3x2x3                  -                   net.output3"""  # noqa: E501


@pytest.mark.parametrize(("op", "text"), [
    (Input(), "Input"), (Concat(), "Concat"), (Add(), "Add"), (Add("relu"), "Add, then relu"),
    (Activation("relu6"), "relu6"), (MaxPool((3, 2), (2, 2)), "MaxPool 3x2, stride 2"),
    (MaxPool((2, 2), (1, 1), (0, 1, 0, 1), (2, 2)), "MaxPool 2x2, padding 0,1,0,1, dilation 2"),
    (AvgPool((2, 2), (2, 1), (1, 1, 1, 1), count_padding=False),
     "AvgPool 2x2, stride 2,1, padding 1, padding is not counted"),
    (AvgPool((2, 2), (1, 1), divisor=3, function="relu"), "AvgPool 2x2, divided by 3, then relu"),
    (Conv(np.ones((4, 1, 3, 3)), np.zeros(4), dilation=(1, 2), groups=4, kind="Slice"),
     "Slice 3x3, dilation 1,2, groups 4"),
    (Conv(np.ones((4, 1, 1, 1)), np.zeros(4), skip=Skip((2, 2), (1, 0), np.arange(4))),
     "Conv2d 1x1, skip every 2, skip from 1,0, skip of some channels"),
])
def test_operations(op: Op, text: str) -> None:
    assert str(op) == text
