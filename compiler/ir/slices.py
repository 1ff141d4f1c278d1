"""Slices: identity convolutions that pick rows, columns and channels, and may add zero channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InternalError
from .graph import Conv, Op, Padding, Shape

Ints = NDArray[np.int64]


def picking(channels: Ints, source: Shape, start: tuple[int, int] = (0, 0),
            step: tuple[int, int] = (1, 1), count: tuple[int, int] | None = None) -> Conv:
    """Channel k is channels[k] of the source, zero where that is -1.

    Row i is row start + i * step of the source, columns alike; count: how many of them there are.
    """
    inputs, *lines = source
    ends = [s + (n - 1) * q + 1 - size
            for s, q, n, size in zip(start, step, count or lines, lines, strict=True)]
    padding: Padding = (-start[0], -start[1], ends[0], ends[1])
    if np.array_equal(channels, np.arange(inputs)):
        weight, groups = np.ones((inputs, 1, 1, 1)), inputs
    else:
        weight = (channels[:, None] == np.arange(inputs)).astype(np.float64)[:, :, None, None]
        groups = 1
    return Conv(weight, np.zeros(len(channels)), step, padding, groups=groups, kind="Slice")


def picked(op: Op) -> Ints | None:
    """The channel that each channel of a Slice is (-1: zero); None for any other operation.

    None too for a Slice that padding, a function or a batch norm has gone into.
    """
    if not isinstance(op, Conv) or op.kind != "Slice" or op.function != "identity":
        return None
    if op.bias.any() or not ((op.weight == 0) | (op.weight == 1)).all() or max(op.padding) > 0:
        return None
    if op.groups > 1:
        return np.arange(op.groups)
    weight = op.weight[:, :, 0, 0]
    return np.where(weight.any(axis=1), weight.argmax(axis=1), -1)


def merged(first: Op, second: Op, source: Shape, output: Shape) -> Conv:
    """Two Slices in one: the second never reads outside the first."""
    a, b = picked(first), picked(second)
    if a is None or b is None or not isinstance(first, Conv) or not isinstance(second, Conv):
        raise InternalError("only slices can be merged")
    start = [second.padding[i] * first.stride[i] + first.padding[i] for i in range(2)]
    step = first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]
    return picking(np.where(b < 0, -1, a[b]), source, (-start[0], -start[1]), step, output[1:])
