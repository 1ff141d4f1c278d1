"""What each ATen operation becomes: a translation each of its arguments for a constructor."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..construct import arithmetic, functions, pools, shapes, slices, weighted
from ..construct.functions import Sign
from ..construct.site import Value
from ..ir.graph import Padding
from .calls import Call
from .schema import arguments, operation

Pair = tuple[int, int]

TRAINING = "it was exported in training mode; call eval() before torch.export"
TRANSPOSED = "it is a transposed convolution, which cannot be compiled"


def _pair(value: Any) -> Pair:
    items = [value] if isinstance(value, int) else list(value)
    return items[0], items[-1]


def _around(value: Any) -> Padding:
    """Padding that is the same on both sides."""
    top, left = _pair(value)
    return top, left, top, left


# ---- layers with weights -------------------------------------------------------------------
def conv2d(call: Call) -> Value:
    if call.get("transposed", False):
        raise call.refuse(TRANSPOSED)
    x, weight, dilation = call.x, call.array(call["weight"]), _pair(call["dilation"])
    padding = call["padding"]
    if padding == "same":
        padding = weighted.same_padding(_pair(weight.shape[2:]), dilation)
    else:
        padding = (0, 0, 0, 0) if padding == "valid" else _around(padding)
    return weighted.conv2d(call.site, x, weight, call.optional("bias"),
                           stride=_pair(call["stride"]), padding=padding, dilation=dilation,
                           groups=call["groups"])


def linear(call: Call) -> Value:
    return weighted.linear(call.site, call.x, call.array(call["weight"]), call.optional("bias"))


def addmm(call: Call) -> Value:
    """beta * self + alpha * mat1 @ mat2."""
    x = call.value(call["mat1"])
    weight = call["alpha"] * call.array(call["mat2"]).T
    bias = np.atleast_2d(call["beta"] * call.array(call["self"]))
    if bias.shape[0] != 1:
        raise call.refuse("its bias differs between images")
    return weighted.linear(call.site, x, weight, np.broadcast_to(bias[0], len(weight)))


def matmul(call: Call) -> Value:
    weight = call.array(call["mat2" if operation(call.node) == "mm" else "other"])
    return weighted.linear(call.site, call.x, weight.T)


def batch_norm(call: Call) -> Value:
    if call.get("training", False) and call["running_mean"] is not None:
        raise call.refuse(TRAINING)
    return weighted.batch_norm(call.site, call.x, call.optional("running_mean"),
                               call.optional("running_var"), call.optional("weight"),
                               call.optional("bias"), call["eps"])


def training_batch_norm(call: Call) -> Value:
    raise call.refuse(TRAINING)


# ---- elementwise ---------------------------------------------------------------------------
def plain(function: str) -> Callable[[Call], Value]:
    """Handler of a function without parameters."""
    return lambda call: functions.activation(call.site, call.x, function)


def gelu(call: Call) -> Value:
    return functions.gelu(call.site, call.x, call["approximate"])


def leaky_relu(call: Call) -> Value:
    return functions.leaky_relu(call.site, call.x, call["negative_slope"])


def prelu(call: Call) -> Value:
    return functions.prelu(call.site, call.x, call.array(call["weight"]))


def elu(call: Call) -> Value:
    return functions.elu(call.site, call.x, call["alpha"], call["scale"], call["input_scale"])


def hardtanh(call: Call) -> Value:
    return functions.clamp(call.site, call.x, call["min_val"], call["max_val"])


def clamp(call: Call) -> Value:
    low, high = call.get("min", -math.inf), call.get("max", math.inf)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise call.refuse("its limits are tensors; use numbers")
    return functions.clamp(call.site, call.x, low, high)


def greater(call: Call) -> Sign:
    return functions.compare(call.site, call.x, True, _bound(call))


def less(call: Call) -> Sign:
    return functions.compare(call.site, call.x, False, _bound(call))


def _bound(call: Call) -> float:
    bound = call.operand(call["other"])
    if isinstance(bound, Value) or bound.size != 1:
        raise call.refuse("it compares with something else than zero")
    return float(bound.flat[0])


def where(call: Call) -> Value:
    sign = call.sign(call["condition"])
    if sign is None:
        raise call.refuse("it chooses by something else than a comparison")
    return functions.choose(call.site, sign, call.value(call["self"]), call.value(call["other"]))


# ---- arithmetic ----------------------------------------------------------------------------
def add(call: Call) -> Value:
    return _combined(call, 1.0, float(call.get("alpha", 1)))


def sub(call: Call) -> Value:
    return _combined(call, 1.0, -float(call.get("alpha", 1)))


def rsub(call: Call) -> Value:
    return _combined(call, -float(call.get("alpha", 1)), 1.0)


def _combined(call: Call, first: float, second: float) -> Value:
    return arithmetic.combine(call.site, call.operand(call["self"]), call.operand(call["other"]),
                              first, second)


def neg(call: Call) -> Value:
    return arithmetic.affine(call.site, call.x, np.array(-1.0), np.array(0.0))


def mul(call: Call) -> Value:
    return arithmetic.multiply(call.site, call.operand(call["self"]), call.operand(call["other"]))


def div(call: Call) -> Value:
    if call.get("rounding_mode") is not None:
        raise call.refuse("it divides by something else than constants, or rounds")
    return arithmetic.divide(call.site, call.operand(call["self"]), call.operand(call["other"]))


# ---- pools ---------------------------------------------------------------------------------
def max_pool2d(call: Call) -> Value:
    kernel = _pair(call["kernel_size"])
    return pools.max_pool2d(call.site, call.x, kernel, _pair(call["stride"] or kernel),
                            _around(call["padding"]), _pair(call["dilation"]), call["ceil_mode"])


def avg_pool2d(call: Call) -> Value:
    kernel = _pair(call["kernel_size"])
    return pools.avg_pool2d(call.site, call.x, kernel, _pair(call["stride"] or kernel),
                            _around(call["padding"]), call["ceil_mode"],
                            call["count_include_pad"], call.get("divisor_override", 0))


def adaptive_avg_pool2d(call: Call) -> Value:
    return pools.adaptive_avg_pool2d(call.site, call.x, _pair(call["output_size"]))


def adaptive_max_pool2d(call: Call) -> Value:
    return pools.adaptive_max_pool2d(call.site, call.x, _pair(call["output_size"]))


def mean(call: Call) -> Value:
    return pools.mean(call.site, call.x, _dims(call), call.get("keepdim", False))


def sum_(call: Call) -> Value:
    return pools.total(call.site, call.x, _dims(call), call.get("keepdim", False))


def amax(call: Call) -> Value:
    return pools.amax(call.site, call.x, _dims(call), call.get("keepdim", False))


def _dims(call: Call) -> list[int]:
    if call.get("dtype") is not None:
        raise call.refuse("it casts what it reduces")
    dims = call.get("dim", [])
    return [dims] if isinstance(dims, int) else list(dims)


# ---- joins and shapes ----------------------------------------------------------------------
def cat(call: Call) -> Value:
    return shapes.cat(call.site, [call.value(value) for value in call["tensors"]], call["dim"])


def reshape(call: Call) -> Value:
    """Any change of shape: nothing to do, or a Flatten."""
    made, read = call.node.meta["val"].shape, call.first.meta["val"].shape
    if len(made) < 2 or made[0] != read[0]:
        raise call.refuse(f"it makes {tuple(made)} of {tuple(read)}; a reshape may only flatten "
                          "everything behind the batch")
    return shapes.reshape(call.site, call.x, tuple(made[1:]))


def expand(call: Call) -> Value:
    return shapes.expand(call.site, call.x, tuple(call.node.meta["val"].shape[1:]))


def permute(call: Call) -> Value:
    return shapes.permute(call.site, call.x, call["dims"])


def transpose(call: Call) -> Value:
    x, order = call.x, list(range(call.x.dimensions))
    a, b = (call[name] % x.dimensions for name in ("dim0", "dim1"))
    order[a], order[b] = b, a
    return shapes.permute(call.site, x, order)


def same(call: Call) -> Value:
    """Operations that change nothing in inference."""
    if call.get("train", False):
        raise call.refuse("it was exported in training mode; call eval() before torch.export, and "
                          "hand self.training to a dropout that is a function")
    return call.x


def cast(call: Call) -> Value:
    if not call.node.meta["val"].is_floating_point():
        raise call.refuse("it casts to integers")
    return call.x


# ---- slices --------------------------------------------------------------------------------
# operations of several results that getitem takes one by one
PARTS = ("split", "split_with_sizes", "chunk")


def getitem(call: Call) -> Value:
    """The first result of an operation, or a part of a chunk or split."""
    node, index = call["0"], call["1"]
    if operation(node) in PARTS:
        sizes = [value.shape for value in node.meta["val"]]
        dim = arguments(node)["dim"] % len(sizes[0])
        first = sum(size[dim] for size in sizes[:index])
        return slices.part(call.site, call.x, dim, range(first, first + sizes[index][dim]))
    if index != 0:
        raise call.refuse("only the first result of an operation can be used")
    return call.x


def slice_(call: Call) -> Value:
    """Every so many channels, rows or columns."""
    x = call.x
    dim, first, end, step = (call["dim"] % x.dimensions, call.get("start", 0),
                             call.get("end", sys.maxsize), call["step"])
    _check_limits(call, first, end, step)
    if dim == 0:
        return x if (first, end, step) == (0, sys.maxsize, 1) else _part(call, dim, range(0))
    lines = range(x.sizes[dim - 1])
    return x if lines[first:end:step] == lines else _part(call, dim, lines[first:end:step])


def narrow(call: Call) -> Value:
    first, length = call["start"], call["length"]
    _check_limits(call, first, length)
    return _part(call, call["dim"] % call.x.dimensions, range(first, first + length))


def _part(call: Call, dim: int, lines: range) -> Value:
    return slices.part(call.site, call.x, dim, lines)


def _check_limits(call: Call, *limits: Any) -> None:
    if not all(isinstance(number, int) for number in limits):
        raise call.refuse("its limits are computed; use numbers")


def index_select(call: Call) -> Value:
    """Channels by number."""
    dim = call["dim"] % call.x.dimensions
    return slices.pick(call.site, call.x, dim, call.array(call["index"]).astype(np.int64))


def index(call: Call) -> Value:
    """x[:, numbers]."""
    given = [i for i, value in enumerate(call["indices"]) if value is not None]
    if given != [1] or not call.is_constant(call["indices"][1]):
        raise call.refuse("it picks something else than channels, or what the network computes")
    return slices.pick(call.site, call.x, 1, call.array(call["indices"][1]).astype(np.int64))


def pad(call: Call) -> Value:
    if call.get("mode", "constant") != "constant":
        raise call.refuse("it pads with something else than zeros")
    return slices.pad(call.site, call.x, list(call["pad"]), call.get("value", 0))


def channel_shuffle(call: Call) -> Value:
    return slices.channel_shuffle(call.site, call.x, call["groups"])
