"""Joins, and changes of shape and order."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..ir.graph import Concat, Flatten
from ..ir.slices import picking
from .site import Site, Value, padded

ORDER = ("attention and pixel shuffles cannot be compiled, and maps stay (N, C, H, W): for another "
         "order of a flattened map reorder its Linear's weights")


def cat(site: Site, values: list[Value], dim: int) -> Value:
    """Channels of several values behind one another; dim counts the batch as 0."""
    if dim % values[0].dimensions != 1 or any(x.sizes[0] != x.shape[0] for x in values):
        raise site.refuse("it does not join channels (dim=1)")
    if len(values) == 1:
        return values[0]
    shapes = [x.shape for x in values]
    if len({(shape[1:], x.sizes[1:]) for shape, x in zip(shapes, values, strict=True)}) != 1:
        raise site.refuse(f"its maps differ in size: {', '.join(map(str, shapes))}")
    channels = sum(shape[0] for shape in shapes)
    return site.add(Concat(), values, (channels, *shapes[0][1:]), (channels, *values[0].sizes[1:]))


def reshape(site: Site, x: Value, sizes: tuple[int, ...]) -> Value:
    """The same elements in the same order, seen with other sizes behind the batch.

    Maps may be flattened, wholly or in their height and width, and their channels may be seen as
    several dimensions.
    """
    channels, height, width = x.shape
    if sizes == x.sizes:
        return x
    if padded(sizes) in (x.shape, (channels, height * width, 1)):
        return dataclasses.replace(x, sizes=sizes)
    if padded(sizes) == (math.prod(x.shape), 1, 1):
        return site.after(x, "flatten").add(Flatten(), [x], (math.prod(x.shape), 1, 1), sizes)
    if len(sizes) > 3 and sizes[-2:] == (height, width) and math.prod(sizes[:-2]) == channels:
        return dataclasses.replace(x, sizes=sizes)
    raise site.refuse(f"it makes (N, {', '.join(map(str, sizes))}) of (N, {channels}, {height}, "
                      f"{width}); a reshape may only flatten everything behind the batch")


def permute(site: Site, x: Value, order: list[int]) -> Value:
    """Dimension i of the result is dimension order[i]; only those of channels may change places."""
    order = [dim % x.dimensions for dim in order]
    if order == sorted(order):
        return x
    kept = [0, x.dimensions - 2, x.dimensions - 1]
    if x.dimensions < 5 or [order[i] for i in kept] != kept or x.sizes[-2:] != x.shape[1:]:
        raise site.refuse(ORDER)
    parts = [dim - 1 for dim in order[1:-2]]
    channels = np.arange(x.shape[0]).reshape(x.sizes[:-2]).transpose(parts)
    sizes = (*channels.shape, *x.shape[1:])
    return site.add(picking(channels.ravel(), x.shape), [x], x.shape, sizes)


def expand(site: Site, x: Value, sizes: tuple[int, ...]) -> Value:
    if sizes != x.sizes:
        raise site.refuse("it repeats values; maps keep their size")
    return x
