"""Pools and reductions over height and width."""

from __future__ import annotations

import dataclasses

from ..ir.graph import AvgPool, MaxPool, Padding, Shape
from ..ir.layers import MOST_STRIDE, cells, output_size
from .site import Site, Value

Pair = tuple[int, int]
Pool = MaxPool | AvgPool


def max_pool2d(site: Site, x: Value, kernel: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0),
               dilation: Pair = (1, 1), ceil: bool = False) -> Value:
    op = MaxPool(kernel, stride, padding, dilation)
    shape = _pooled(site, op, site.maps(x), ceil)
    _check_windows(site, op, x, shape)
    return _pool(site, op, x, shape)


def avg_pool2d(site: Site, x: Value, kernel: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0),
               ceil: bool = False, count_padding: bool = True, divisor: int = 0) -> Value:
    op = AvgPool(kernel, stride, padding, count_padding, divisor)
    shape = _pooled(site, op, site.maps(x), ceil)
    if not count_padding:
        _check_windows(site, op, x, shape)
    return _pool(site, op, x, shape)


def _check_windows(site: Site, op: Pool, x: Value, shape: Shape) -> None:
    if not cells(op, x.shape, shape).all():
        raise site.refuse("some windows lie wholly in the padding; use less padding")


def _pooled(site: Site, op: Pool, source: Shape, ceil: bool) -> Shape:
    """The output's shape; in ceil mode the last windows may end beyond the padding."""
    height, width = output_size(op, source)
    if ceil:
        longer = [size + stride - 1 for size, stride in zip(source[1:], op.stride, strict=True)]
        last = output_size(op, (source[0], longer[0], longer[1]))
        height, width = (
            most - int((most - 1) * stride >= size + pad)
            for most, stride, size, pad in zip(last, op.stride, source[1:], op.padding[:2],
                                               strict=True))
    if min(height, width) < 1:
        raise site.refuse(f"its window is larger than its map {source[1:]}")
    return source[0], height, width


def _pool(site: Site, op: Pool, x: Value, shape: Shape,
          sizes: tuple[int, ...] | None = None) -> Value:
    """The pool's node, or its source where every window is one element."""
    divides = isinstance(op, AvgPool) and op.divisor > 1
    if op.kernel == op.stride == (1, 1) and not any(op.padding) and not divides:
        return x if sizes is None else dataclasses.replace(x, sizes=sizes)
    return site.add(op, [x], shape, sizes)


# ---- adaptive pools ------------------------------------------------------------------------
def adaptive_avg_pool2d(site: Site, x: Value, output: Pair) -> Value:
    kernel = _parts(site, x, output)
    return _pool(site, AvgPool(kernel, kernel), x, (x.shape[0], *output))


def adaptive_max_pool2d(site: Site, x: Value, output: Pair) -> Value:
    kernel = _parts(site, x, output)
    return _pool(site, MaxPool(kernel, kernel), x, (x.shape[0], *output))


def _parts(site: Site, x: Value, output: Pair) -> Pair:
    """The window of an adaptive pool."""
    sizes = site.maps(x)[1:]
    if any(size % out for size, out in zip(sizes, output, strict=True)):
        raise site.refuse(f"its output {output} does not divide its input {sizes}; choose an "
                          "output size that does")
    steps = [size // out for size, out in zip(sizes, output, strict=True)]
    if any(step > MOST_STRIDE and out > 1 for step, out in zip(steps, output, strict=True)):
        raise site.refuse(f"its output {output} takes a step of {max(steps)} over its input "
                          f"{sizes}, and steps go up to {MOST_STRIDE}; pool before it or choose a "
                          "larger output")
    return steps[0], steps[1]


# ---- reductions ----------------------------------------------------------------------------
def mean(site: Site, x: Value, dims: list[int], keep: bool = False) -> Value:
    """The mean over dimensions of the tensor, where the batch is dimension 0."""
    kernel = _reduced(site, x, dims)
    return _reduce(site, AvgPool(kernel, kernel), x, dims, keep)


def total(site: Site, x: Value, dims: list[int], keep: bool = False) -> Value:
    """The sum over dimensions."""
    kernel = _reduced(site, x, dims)
    return _reduce(site, AvgPool(kernel, kernel, divisor=1), x, dims, keep)


def amax(site: Site, x: Value, dims: list[int], keep: bool = False) -> Value:
    """The maximum over dimensions."""
    kernel = _reduced(site, x, dims)
    return _reduce(site, MaxPool(kernel, kernel), x, dims, keep)


def _reduced(site: Site, x: Value, dims: list[int]) -> Pair:
    """The window of a reduction over height, width or both."""
    channels, height, width = x.shape
    over = {dim % x.dimensions for dim in dims}
    if not over or not over <= {2, 3} or x.dimensions > 4 or x.sizes[0] != channels:
        raise site.refuse("it does not reduce height and width (dimensions 2 and 3)")
    if len(over) == len(x.sizes) - 1:
        return height, width
    site.maps(x)
    return (height if 2 in over else 1), (width if 3 in over else 1)


def _reduce(site: Site, op: Pool, x: Value, dims: list[int], keep: bool) -> Value:
    over = {dim % x.dimensions for dim in dims}
    sizes = [1 if dim in over else size for dim, size in enumerate(x.sizes, 1)
             if keep or dim not in over]
    channels, height, width = x.shape
    return _pool(site, op, x, (channels, height // op.kernel[0], width // op.kernel[1]),
                 tuple(sizes))
