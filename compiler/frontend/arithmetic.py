"""Sums, differences, products and quotients: of two tensors, or of a tensor and constants.

With a constant they are y = x * scale + shift for every channel, a batch norm, which the passes
fold into the layers around it. Two tensors are added only; x * sigmoid(x) is a function of x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Activation, Add, BatchNorm, Graph
from .calls import Call

Floats = NDArray[np.float64]


def add(call: Call) -> str:
    return _sum(call, 1.0, float(call.get("alpha", 1)))


def sub(call: Call) -> str:
    return _sum(call, 1.0, -float(call.get("alpha", 1)))


def rsub(call: Call) -> str:
    return _sum(call, -float(call.get("alpha", 1)), 1.0)


def neg(call: Call) -> str:
    return _affine(call, "self", np.array(-1.0), np.array(0.0))


def _sum(call: Call, first: float, second: float) -> str:
    """first * self + second * other."""
    if call.is_constant("other"):
        return _affine(call, "self", np.array(first), second * call.constant("other"))
    if call.is_constant("self"):
        return _affine(call, "other", np.array(second), first * call.constant("self"))
    sources = [call.source(call["self"]), call.source(call["other"])]
    shapes = [call.shape(source) for source in sources]
    if shapes[0] != shapes[1]:
        raise call.refuse(f"its tensors have the shapes {shapes[0]} and {shapes[1]}; they must be "
                          "equal")
    sources = [_scaled(call, source, factor)
               for source, factor in zip(sources, (first, second), strict=True)]
    return call.add(Add(), sources, shapes[0])


def mul(call: Call) -> str:
    if call.is_constant("other"):
        return _affine(call, "self", call.constant("other"), np.array(0.0))
    if call.is_constant("self"):
        return _affine(call, "other", call.constant("self"), np.array(0.0))
    a, b = call.source(call["self"]), call.source(call["other"])
    gated = _gate(call.walk.graph, a, b) or _gate(call.walk.graph, b, a)
    if gated is None:
        raise call.refuse("it multiplies two tensors that depend on the input; a product is of a "
                          "tensor and constants")
    source, function, factor = gated
    made = call.add(Activation(function), [source], call.shape(source))
    return _scaled(call, made, factor)


def div(call: Call) -> str:
    if call.get("rounding_mode") is not None or not call.is_constant("other"):
        raise call.refuse("it divides by something else than constants, or rounds")
    divisor = call.constant("other")
    if not divisor.all():
        raise call.refuse("it divides by zero")
    return _affine(call, "self", 1 / divisor, np.array(0.0))


# ---- constants -----------------------------------------------------------------------------
def _affine(call: Call, name: str, scale: Floats, shift: Floats) -> str:
    """x * scale + shift of the argument `name`; constants as torch broadcasts them."""
    source = call.source(call[name])
    shape = call.shape(source)
    if call.result != call.walk.shape(call[name]):
        raise call.refuse("its constant has more elements than the tensor")
    op = BatchNorm(_channels(call, scale, shape[0]), _channels(call, shift, shape[0]))
    return call.add(op, [source], shape)


def _channels(call: Call, value: Floats, channels: int) -> Floats:
    """One number a channel of a number or an array that broadcasts to torch's result."""
    dimensions = len(call.node.meta["val"].shape)
    value = value.reshape((1,) * (dimensions - value.ndim) + value.shape)
    if any(np.ptp(value, axis=axis).any() for axis in range(dimensions) if axis != 1):
        raise call.refuse("its constant differs within a channel; a constant has one number for "
                          "all, or one a channel")
    one = tuple(slice(None) if axis == 1 else 0 for axis in range(dimensions))
    return np.broadcast_to(value[one], channels).copy()


def _scaled(call: Call, source: str, factor: float) -> str:
    if factor == 1:
        return source
    shape = call.shape(source)
    op = BatchNorm(np.full(shape[0], float(factor)), np.zeros(shape[0]))
    return call.walk.add(call.node, op, [source], shape, f"{source}.scaled")


# ---- products that are a function ------------------------------------------------------------
def _gate(graph: Graph, x: str, gate: str) -> tuple[str, str, float] | None:
    """(x, function, factor) where x * gate is factor * function(x), else None."""
    op, factor = graph[gate].op, 1.0
    if isinstance(op, BatchNorm) and not op.shift.any() and not np.ptp(op.scale):
        factor = float(op.scale[0])
        (gate,) = graph.inputs(gate)
        op = graph[gate].op
    if not isinstance(op, Activation):
        return None
    (source,) = graph.inputs(gate)
    if source == x and op.function in ("sigmoid", "hardsigmoid"):
        return x, {"sigmoid": "silu", "hardsigmoid": "hardswish"}[op.function], factor
    before = graph[source].op
    if op.function == "relu6" and isinstance(before, BatchNorm) and graph.inputs(source) == [x] \
            and (before.scale == 1).all() and (before.shift == 3).all():
        return x, "hardswish", 6 * factor
    return None
