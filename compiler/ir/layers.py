"""Elementwise functions, what layers are called, and the arithmetic of windows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import InternalError
from .graph import AvgPool, Conv, MaxPool, Padding, Shape, Skip

Floats = NDArray[np.float64]

# steps of a window over its source: a tensor has at most 4 x 4 phases
MOST_STRIDE = 4


@dataclasses.dataclass(frozen=True)
class Function:
    """An elementwise function of real numbers.

    apply: float64 array to float64 array. turns: the places where it changes between not falling
    and not rising, ascending; before the first of them it falls. Without turns it never falls.
    """

    apply: Callable[[Floats], Floats]
    turns: tuple[float, ...] = ()

    @property
    def monotone(self) -> bool:
        """It never falls, so it commutes with a maximum."""
        return not self.turns


def _of_torch(name: str, **options: str) -> Callable[[Floats], Floats]:
    """torch's own function, whose last bits no other has; torch comes with the first call."""
    def apply(x: Floats) -> Floats:
        import torch
        given = torch.tensor(x, dtype=torch.float64)
        y: Floats = getattr(torch.nn.functional, name)(given, **options).numpy()
        return y

    return apply


FUNCTIONS: dict[str, Function] = {
    "identity": Function(lambda x: x),
    "relu": Function(lambda x: np.maximum(x, 0.0)),
    "relu6": Function(lambda x: np.clip(x, 0.0, 6.0)),
    "hardsigmoid": Function(lambda x: np.clip(x / 6 + 0.5, 0.0, 1.0)),
    "hardswish": Function(lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0), (-1.5,)),
    "sigmoid": Function(_of_torch("sigmoid")),
    "tanh": Function(np.tanh),
    "silu": Function(_of_torch("silu"), (-1.2784645427610738,)),
    "gelu": Function(_of_torch("gelu"), (-0.7517915246935645,)),
    "gelu_tanh": Function(_of_torch("gelu", approximate="tanh"), (-0.7524614220710162,)),
}


def _leaky_relu(slope: float) -> Function:
    return Function(lambda x: np.where(x < 0, slope * x, x), (0.0,) if slope < 0 else ())


def _clamp(low: float, high: float) -> Function:
    return Function(lambda x: np.minimum(np.maximum(x, low), high))


def _elu(alpha: float) -> Function:
    return Function(lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x),
                    (0.0,) if alpha < 0 else ())


FAMILIES: dict[str, Callable[..., Function]] = {
    "leaky_relu": _leaky_relu,
    "clamp": _clamp,
    "elu": _elu,
}


def parametric(family: str, *parameters: float) -> str:
    """The name of a function of a family: parametric("leaky_relu", 0.1) is "leaky_relu(0.1)"."""
    return f"{family}({','.join(repr(float(p)) for p in parameters)})"


def parsed(name: str) -> tuple[str, tuple[float, ...]]:
    """(family, parameters) of a name such as "clamp(-1.0,1.0)"; (name, ()) of a fixed function."""
    match = re.fullmatch(r"(\w+)\((.*)\)", name)
    if match is None:
        return name, ()
    return match[1], tuple(float(p) for p in match[2].split(","))


def function(name: str) -> Function:
    """The function of a name such as "relu" or "clamp(-1.0,1.0)"."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    family, parameters = parsed(name)
    if family not in FAMILIES or not parameters:
        raise InternalError(f"no function is called {name}")
    return FAMILIES[family](*parameters)


def nonnegative(name: str) -> bool:
    """The function's values are never below zero."""
    grid = np.concatenate([np.linspace(-30, 30, 6001), [-1e9, 1e9]])
    return bool(function(name).apply(grid).min() >= 0)


def homogeneous(name: str) -> bool:
    """The function of s * x is s times that of x for every s > 0.

    Twice as much makes twice as much everywhere from 2^-200 to 2^200, on both sides of zero.
    """
    powers = np.exp2(np.arange(-200.0, 201.0))
    apply = function(name).apply
    return all(np.array_equal(2 * apply(x[:-1]), apply(x[1:])) for x in (powers, -powers))


def columns(op: Conv) -> NDArray[np.int64]:
    """The input channel that each column of a row of weights reads: int64 (K, C / groups)."""
    out, per_group = op.weight.shape[:2]
    group = np.arange(out) // (out // op.groups)
    return group[:, None] * per_group + np.arange(per_group)


# ---- windows -------------------------------------------------------------------------------
def window(op: Conv | MaxPool | AvgPool) -> tuple[tuple[int, int], tuple[int, int]]:
    """(kernel, dilation) of an operation that walks over maps."""
    if isinstance(op, Conv):
        return (op.weight.shape[2], op.weight.shape[3]), op.dilation
    return op.kernel, op.dilation if isinstance(op, MaxPool) else (1, 1)


def output_size(op: Conv | MaxPool | AvgPool, source: Shape) -> tuple[int, int]:
    """Height and width of the output (pools: without ceil mode)."""
    (kh, kw), (dh, dw) = window(op)
    top, left, bottom, right = op.padding
    return ((source[1] + top + bottom - dh * (kh - 1) - 1) // op.stride[0] + 1,
            (source[2] + left + right - dw * (kw - 1) - 1) // op.stride[1] + 1)


def cells(op: Conv | MaxPool | AvgPool, source: Shape, output: Shape) -> NDArray[np.int64]:
    """Elements of the source (no padding) in every window: int64 (height, width) of the output."""
    (kh, kw), (dh, dw) = window(op)
    rows = _inside(output[1], op.stride[0], op.padding[0], kh, dh, source[1])
    columns = _inside(output[2], op.stride[1], op.padding[1], kw, dw, source[2])
    return rows[:, None] * columns


def _inside(count: int, stride: int, pad: int, kernel: int, dilation: int, size: int
            ) -> NDArray[np.int64]:
    at = np.arange(count)[:, None] * stride - pad + np.arange(kernel) * dilation
    return ((at >= 0) & (at < size)).sum(axis=1)


def skipped(skip: Skip, x: Floats, output: Shape) -> Floats:
    """What a skip tensor x (n, C, H, W) adds to an output of this shape."""
    (sy, sx), (oy, ox) = skip.stride, skip.offset
    x = x[:, :, oy:oy + sy * output[1]:sy, ox:ox + sx * output[2]:sx]
    if skip.channels is None:
        return x
    return np.where((skip.channels < 0)[:, None, None], 0.0, x[:, skip.channels])


def divisors(op: AvgPool, source: Shape, output: Shape) -> NDArray[np.int64]:
    """What the sum of every window is divided by: int64 (height, width) of the output."""
    if op.divisor:
        return np.full(output[1:], op.divisor, np.int64)
    if not op.count_padding:
        return cells(op, source, output)
    _, _, bottom, right = op.padding
    rows = _counted(output[1], op.stride[0], op.padding[0], op.kernel[0], source[1] + bottom)
    columns = _counted(output[2], op.stride[1], op.padding[1], op.kernel[1], source[2] + right)
    return rows[:, None] * columns


def _counted(count: int, stride: int, pad: int, kernel: int, end: int) -> NDArray[np.int64]:
    start = np.arange(count) * stride - pad
    return np.minimum(start + kernel, end) - start


def covering(op: Conv | MaxPool | AvgPool, source: Shape, output: Shape) -> Padding:
    """Padding with which the windows of the output end exactly at the padded map's border.

    Bottom and right are negative where the last window ends before the map does.
    """
    (kh, kw), (dh, dw) = window(op)
    top, left = op.padding[:2]
    bottom = (output[1] - 1) * op.stride[0] + dh * (kh - 1) + 1 - top - source[1]
    right = (output[2] - 1) * op.stride[1] + dw * (kw - 1) + 1 - left - source[2]
    return top, left, bottom, right
