"""Elementwise functions, also those that are written as several operations."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Activation, BatchNorm, Graph
from ..ir.layers import parametric, parsed
from .site import Site, Value

Floats = NDArray[np.float64]


def activation(site: Site, x: Value, function: str) -> Value:
    """y = function(x), by its name in ir/layers.py."""
    return site.add(Activation(function), [x], x.shape, x.sizes)


def leaky_relu(site: Site, x: Value, slope: float) -> Value:
    return activation(site, x, parametric("leaky_relu", slope))


def prelu(site: Site, x: Value, slopes: Floats) -> Value:
    if np.ptp(slopes):
        raise site.refuse("it has a slope for every channel; use one slope")
    return leaky_relu(site, x, float(slopes.flat[0]))


def elu(site: Site, x: Value, alpha: float, scale: float = 1, input_scale: float = 1) -> Value:
    if scale != 1 or input_scale != 1:
        raise site.refuse("it is scaled; use ELU")
    return activation(site, x, parametric("elu", alpha))


def gelu(site: Site, x: Value, approximate: str = "none") -> Value:
    return activation(site, x, "gelu_tanh" if approximate == "tanh" else "gelu")


# ---- limits --------------------------------------------------------------------------------
NAMED = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}


def clamp(site: Site, x: Value, low: float = -math.inf, high: float = math.inf) -> Value:
    """min(max(x, low), high); of a value that has limits already both limits in one."""
    before = _limits(site.graph, x)
    if before is not None:
        (source,) = site.graph.inputs(x.node)
        x = Value(source, x.shape, x.sizes)
        low, high = (min(max(limit, low), high) for limit in before)
    return activation(site, x, NAMED.get((low, high)) or parametric("clamp", low, high))


def _limits(graph: Graph, x: Value) -> tuple[float, float] | None:
    """The limits that a value has, None where no function of limits makes it."""
    op = graph[x.node].op
    if not isinstance(op, Activation):
        return None
    named = {name: limits for limits, name in NAMED.items()}
    family, parameters = parsed(op.function)
    if family == "clamp":
        return parameters[0], parameters[1]
    return named.get(op.function)


# ---- choices -------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Sign:
    """Where a value is positive, or negative; zero is on either side."""

    of: Value
    positive: bool


def compare(site: Site, x: Value, greater: bool, bound: float) -> Sign:
    """x > bound, or x < bound."""
    if bound != 0:
        raise site.refuse("it compares with something else than zero")
    return Sign(x, greater)


def choose(site: Site, sign: Sign, first: Value, second: Value) -> Value:
    """`first` where the sign holds, else `second`: x and slope * x are a leaky ReLU."""
    kept, other = (first, second) if sign.positive else (second, first)
    op = site.graph[other.node].op
    if kept != sign.of or not isinstance(op, BatchNorm) or op.shift.any() \
            or site.graph.inputs(other.node) != [kept.node]:
        raise site.refuse("it chooses between tensors; by the sign of x it may choose x or a "
                          "constant times x, as a leaky ReLU does")
    return prelu(site, kept, op.scale)


# ---- functions of several operations -------------------------------------------------------
def gated(graph: Graph, x: Value, gate: Value) -> tuple[str, float] | None:
    """(function, factor) where x * gate is factor * function(x), else None."""
    made = _unscaled(graph, gate.node)
    op = graph[made[0]].op
    if x.sizes != gate.sizes or not isinstance(op, Activation):
        return None
    node, factor = made
    if graph.inputs(node) == [x.node] and op.function in ("sigmoid", "hardsigmoid"):
        return {"sigmoid": "silu", "hardsigmoid": "hardswish"}[op.function], factor
    if _shifted_relu6(graph, node) == x.node:
        return "hardswish", 6 * factor
    return None


def rescaled(site: Site, x: Value, scale: Floats) -> Value | None:
    """x * scale where that is a function already: hardsigmoid, or what x was scaled from."""
    before = _shifted_relu6(site.graph, x.node)
    if before is not None and (scale == 1 / 6).all():
        return activation(site, Value(before, x.shape, x.sizes), "hardsigmoid")
    source, factor = _unscaled(site.graph, x.node)
    op = site.graph[source].op
    if source == x.node or not isinstance(op, Activation) or (scale * factor != 1).any():
        return None
    (read,) = site.graph.inputs(source)
    return activation(site, Value(read, x.shape, x.sizes), op.function)


def _unscaled(graph: Graph, node: str) -> tuple[str, float]:
    """(source, factor) where the node is factor * source, else the node itself."""
    op = graph[node].op
    if isinstance(op, BatchNorm) and not op.shift.any() and not np.ptp(op.scale):
        return graph.inputs(node)[0], float(op.scale[0])
    return node, 1.0


def _shifted_relu6(graph: Graph, node: str) -> str | None:
    """x where the node is relu6(x + 3)."""
    op = graph[node].op
    if not isinstance(op, Activation) or op.function != "relu6":
        return None
    (source,) = graph.inputs(node)
    before = graph[source].op
    if isinstance(before, BatchNorm) and (before.scale == 1).all() and (before.shift == 3).all():
        return graph.inputs(source)[0]
    return None
