"""Sums, differences, products and quotients: of two values, or of a value and constants.

With a constant they are y = x * scale + shift for every channel, a batch norm, which the passes
fold into the layers around it. Two values are added only; x * sigmoid(x) is a function of x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Add, BatchNorm
from .functions import activation, gated, rescaled
from .site import Site, Value

Floats = NDArray[np.float64]
Operand = Value | Floats


def combine(site: Site, a: Operand, b: Operand, first: float = 1.0, second: float = 1.0) -> Value:
    """first * a + second * b, of which one may be constant, as torch broadcasts it."""
    if not isinstance(b, Value):
        return affine(site, _value(site, a), np.array(first), second * b)
    if not isinstance(a, Value):
        return affine(site, b, np.array(second), first * a)
    if a.sizes != b.sizes or a.shape != b.shape:
        raise site.refuse(f"its tensors have the shapes {a.sizes} and {b.sizes}; they must be "
                          "equal")
    values = [_scaled(site, a, first), _scaled(site, b, second)]
    return site.add(Add(), values, a.shape, a.sizes)


def multiply(site: Site, a: Operand, b: Operand) -> Value:
    if not isinstance(b, Value):
        return affine(site, _value(site, a), b, np.array(0.0))
    if not isinstance(a, Value):
        return affine(site, b, a, np.array(0.0))
    for x, gate in ((a, b), (b, a)):
        found = gated(site.graph, x, gate)
        if found is not None:
            return _scaled(site, activation(site, x, found[0]), found[1])
    raise site.refuse("it multiplies two tensors that depend on the input; a product is of a "
                      "tensor and constants")


def divide(site: Site, a: Operand, b: Operand) -> Value:
    if isinstance(b, Value):
        raise site.refuse("it divides by something else than constants")
    if not b.all():
        raise site.refuse("it divides by zero")
    return affine(site, _value(site, a), 1 / b, np.array(0.0))


def affine(site: Site, x: Value, scale: Floats, shift: Floats) -> Value:
    """x * scale + shift, constants as torch broadcasts them."""
    op = BatchNorm(_channels(site, x, scale), _channels(site, x, shift))
    if not op.shift.any():
        known = rescaled(site, x, op.scale)
        if known is not None:
            return known
    return site.add(op, [x], x.shape, x.sizes)


def _value(site: Site, operand: Operand) -> Value:
    if not isinstance(operand, Value):
        raise site.refuse("its tensors are constants")
    return operand


def _channels(site: Site, x: Value, constant: Floats) -> Floats:
    """One number a channel of a number or an array that broadcasts to the value."""
    given = (1,) * (x.dimensions - constant.ndim) + constant.shape
    whole = (given[0], *x.sizes)
    if len(given) > x.dimensions or any(g not in (1, n) for g, n in zip(given, whole, strict=True)):
        raise site.refuse("its constant has more elements than the tensor")
    constant = constant.reshape(given)
    if any(np.ptp(constant, axis=axis).any() for axis in range(x.dimensions) if axis != 1):
        raise site.refuse("its constant differs within a channel; a constant has one number for "
                          "all, or one a channel")
    numbers = constant[tuple(slice(None) if axis == 1 else 0 for axis in range(x.dimensions))]
    if len(numbers) > 1 and x.sizes[0] != x.shape[0]:
        raise site.refuse("its constant differs between parts of the channels; join them before")
    return np.broadcast_to(numbers, x.shape[0]).copy()


def _scaled(site: Site, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    channels = x.shape[0]
    op = BatchNorm(np.full(channels, float(factor)), np.zeros(channels))
    return site.after(x, "scaled").add(op, [x], x.shape, x.sizes)
