"""Parts of tensors, channels by number, and zero padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Conv
from ..ir.slices import picking
from .site import Site, Value

Ints = NDArray[np.int64]


def part(site: Site, x: Value, dim: int, lines: range) -> Value:
    """Some channels (dim 1), rows or columns of a value."""
    if dim == 0:
        raise site.refuse("it takes some of the images")
    if not x.whole:
        raise site.refuse("it does not read whole maps; slice before the flattening")
    if not lines:
        raise site.refuse("nothing is left of its tensor")
    sizes = (*x.sizes[:dim - 1], len(lines), *x.sizes[dim:])
    if dim == 1:
        return _picked(site, x, np.array(lines), sizes)
    start, steps, count = [0, 0], [1, 1], list(x.shape[1:])
    start[dim - 2], steps[dim - 2], count[dim - 2] = lines.start, lines.step, len(lines)
    op = picking(np.arange(x.shape[0]), x.shape, (start[0], start[1]), (steps[0], steps[1]),
                 (count[0], count[1]))
    return site.add(op, [x], (x.shape[0], count[0], count[1]), sizes)


def pick(site: Site, x: Value, dim: int, numbers: Ints) -> Value:
    """Channels by number; negative numbers count from the end."""
    if dim != 1 or not x.whole:
        raise site.refuse("it picks something else than channels (dim=1)")
    if numbers.ndim != 1:
        raise site.refuse("it picks channels by something else than a list of numbers")
    return _picked(site, x, numbers % x.shape[0], (len(numbers), *x.sizes[1:]))


def _picked(site: Site, x: Value, channels: Ints, sizes: tuple[int, ...]) -> Value:
    return site.add(picking(channels, x.shape), [x], (len(channels), *x.shape[1:]), sizes)


def channel_shuffle(site: Site, x: Value, groups: int) -> Value:
    channels = np.arange(site.maps(x)[0]).reshape(groups, -1)
    return pick(site, x, 1, channels.T.ravel())


def pad(site: Site, x: Value, amounts: list[int], value: float = 0) -> Value:
    """Zeros around maps; amounts: left, right, top, bottom, front, back (of the channels).

    Around height and width it is an identity convolution with padding, until a pass folds it.
    """
    if value != 0:
        raise site.refuse("it pads with something else than zeros")
    left, right, top, bottom, front, back = (*amounts, 0, 0, 0, 0, 0, 0)[:6]
    if any(amounts[6:]) or min(amounts, default=0) < 0 or len(x.sizes) != 3:
        raise site.refuse("only channels, height and width can be padded, and not cropped")
    channels, height, width = site.maps(x)
    if front or back:
        numbers = np.concatenate([np.full(front, -1), np.arange(channels), np.full(back, -1)])
        x = _picked(site, x, numbers, (len(numbers), height, width))
    if not (left or right or top or bottom):
        return x
    channels = x.shape[0]
    op = Conv(np.ones((channels, 1, 1, 1)), np.zeros(channels), padding=(top, left, bottom, right),
              groups=channels, kind="Pad")
    return site.add(op, [x], (channels, height + top + bottom, width + left + right))
