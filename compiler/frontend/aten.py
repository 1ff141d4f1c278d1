"""What each ATen operation becomes: a handler each, which gives the name of the result's node."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CompileError
from ..ir.graph import (
    Activation,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    MaxPool,
    Padding,
    Shape,
)
from ..ir.layers import MOST_STRIDE, cells, parametric
from ..ir.slices import picking
from .calls import Call, Fx, arguments, operation

TRAINING = "it was exported in training mode; call eval() before torch.export"


def _pair(value: Any) -> tuple[int, int]:
    items = [value] if isinstance(value, int) else list(value)
    return (items[0], items[-1])


# ---- layers with weights -------------------------------------------------------------------
def conv2d(call: Call) -> str:
    source = call.source()
    weight = call.parameter("weight")
    assert weight is not None
    bias = call.parameter("bias")
    dilation = _pair(call["dilation"])
    op = Conv(weight, np.zeros(len(weight)) if bias is None else bias, _pair(call["stride"]),
              _conv_padding(call, weight.shape, dilation), dilation, call["groups"])
    if call.dimensions != 4:
        raise call.refuse("its input has no batch dimension")
    return call.add(op, [source])


def _conv_padding(call: Call, weight: tuple[int, ...], dilation: tuple[int, int]) -> Padding:
    padding = call["padding"]
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        high, wide = (d * (k - 1) for d, k in zip(dilation, weight[2:], strict=True))
        return high // 2, wide // 2, high - high // 2, wide - wide // 2
    top, left = _pair(padding)
    return top, left, top, left


def linear(call: Call) -> str:
    source = call.source()
    weight = call.parameter("weight")
    assert weight is not None
    bias = call.parameter("bias")
    if call.dimensions != 2:
        raise call.refuse(f"its input has {call.dimensions} dimensions, 2 are needed: flatten it "
                          "before")
    source = flattened(call, source)
    op = Conv(weight[:, :, None, None], np.zeros(len(weight)) if bias is None else bias,
              kind="Linear")
    return call.add(op, [source])


def flattened(call: Call, source: str) -> str:
    """The node itself where its map is 1x1, else a Flatten of it."""
    c, h, w = call.shape(source)
    if h * w == 1:
        return source
    return call.walk.add(call.node, Flatten(), [source], (c * h * w, 1, 1), f"{source}.flatten")


def batch_norm(call: Call) -> str:
    mean, variance = call.parameter("running_mean"), call.parameter("running_var")
    if mean is None or variance is None:
        raise call.refuse("it has no running statistics; train it with track_running_stats=True")
    if call.get("training", False):
        raise call.refuse(TRAINING)
    weight, bias = call.parameter("weight"), call.parameter("bias")
    scale = 1 / np.sqrt(variance + call["eps"])
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    shift = shift if bias is None else shift + bias
    if not np.isfinite(scale).all() or not np.isfinite(shift).all():
        raise CompileError(f"{call.walk.where(call.node)}: its running variance is not positive; "
                           "train or load the network again")
    source = call.source()
    return call.add(BatchNorm(scale, shift), [source], call.shape(source))


def training_batch_norm(call: Call) -> str:
    raise call.refuse(TRAINING)


# ---- elementwise ---------------------------------------------------------------------------
def _activation(call: Call, function: str) -> str:
    source = call.source()
    return call.add(Activation(function), [source], call.shape(source))


def plain(function: str) -> Callable[[Call], str]:
    """Handler of a function without parameters."""
    return lambda call: _activation(call, function)


def gelu(call: Call) -> str:
    return _activation(call, "gelu_tanh" if call["approximate"] == "tanh" else "gelu")


def leaky_relu(call: Call) -> str:
    return _activation(call, parametric("leaky_relu", call["negative_slope"]))


def prelu(call: Call) -> str:
    weight = call.parameter("weight")
    if weight is None or weight.size != 1:
        raise call.refuse("it has a slope for every channel; use one slope")
    return _activation(call, parametric("leaky_relu", float(weight.ravel()[0])))


def elu(call: Call) -> str:
    if call["scale"] != 1 or call["input_scale"] != 1:
        raise call.refuse("it is scaled; use ELU")
    return _activation(call, parametric("elu", call["alpha"]))


def hardtanh(call: Call) -> str:
    return _activation(call, _clamp_name(call["min_val"], call["max_val"]))


def clamp(call: Call) -> str:
    low, high = call.get("min", -math.inf), call.get("max", math.inf)
    if isinstance(low, Fx) or isinstance(high, Fx):
        raise call.refuse("its limits are tensors; use numbers")
    return _activation(call, _clamp_name(low, high))


def _clamp_name(low: float, high: float) -> str:
    names: dict[tuple[float, float], str] = {(0, math.inf): "relu", (0, 6): "relu6"}
    return names.get((low, high)) or parametric("clamp", low, high)


# ---- pools ---------------------------------------------------------------------------------
def _pool_arguments(call: Call) -> tuple[tuple[int, int], tuple[int, int], Padding]:
    kernel = _pair(call["kernel_size"])
    top, left = _pair(call["padding"])
    if call.dimensions != 4:
        raise call.refuse("its input has no batch dimension")
    return kernel, _pair(call["stride"] or kernel), (top, left, top, left)


def _pool(call: Call, op: MaxPool | AvgPool, source: str, shape: Shape) -> str:
    """The pool's node, or its source where every window is one element."""
    divides = isinstance(op, AvgPool) and op.divisor > 1
    if op.kernel == op.stride == (1, 1) and not any(op.padding) and not divides:
        return source
    return call.add(op, [source], shape)


def max_pool2d(call: Call) -> str:
    source = call.source()
    kernel, stride, padding = _pool_arguments(call)
    op = MaxPool(kernel, stride, padding, _pair(call["dilation"]))
    value = call.node.meta["val"]
    shape = tuple((value[0] if isinstance(value, tuple | list) else value).shape[1:])
    if not cells(op, call.shape(source), shape).all():
        raise call.refuse("some windows lie wholly in the padding; use less padding")
    return _pool(call, op, source, shape)


def avg_pool2d(call: Call) -> str:
    source = call.source()
    kernel, stride, padding = _pool_arguments(call)
    op = AvgPool(kernel, stride, padding, call["count_include_pad"],
                 call.get("divisor_override", 0))
    if not op.count_padding and not cells(op, call.shape(source), call.result).all():
        raise call.refuse("some windows lie wholly in the padding; use less padding")
    return _pool(call, op, source, call.result)


def _adaptive_kernel(call: Call, source: str) -> tuple[int, int]:
    sizes = call.shape(source)[1:]
    value = call.node.meta["val"]
    outputs = (value[0] if isinstance(value, tuple | list) else value).shape[-2:]
    if any(size % out for size, out in zip(sizes, outputs, strict=True)):
        raise call.refuse(f"its output {tuple(outputs)} does not divide its input {tuple(sizes)}; "
                          "choose an output size that does")
    steps = [size // out for size, out in zip(sizes, outputs, strict=True)]
    if any(step > MOST_STRIDE and out > 1 for step, out in zip(steps, outputs, strict=True)):
        raise call.refuse(f"its output {tuple(outputs)} takes a step of {max(steps)} over its "
                          f"input {tuple(sizes)}, and steps go up to {MOST_STRIDE}; pool before it "
                          "or choose a larger output")
    return steps[0], steps[1]


def adaptive_avg_pool2d(call: Call) -> str:
    source = call.source()
    kernel = _adaptive_kernel(call, source)
    return _pool(call, AvgPool(kernel, kernel), source, call.result)


def adaptive_max_pool2d(call: Call) -> str:
    source = call.source()
    kernel = _adaptive_kernel(call, source)
    c, h, w = call.shape(source)
    return _pool(call, MaxPool(kernel, kernel), source, (c, h // kernel[0], w // kernel[1]))


def _reduced(call: Call, source: str) -> tuple[int, int]:
    """The window of a reduction over height, width or both."""
    _, h, w = call.shape(source)
    dims = call.get("dim", [])
    dims = {d % call.dimensions for d in ([dims] if isinstance(dims, int) else dims)}
    if call.get("dtype") is not None or not dims or not dims <= {2, 3}:
        raise call.refuse("it does not reduce height and width (dimensions 2 and 3)")
    if call.dimensions == 3:
        return h, w
    return (h if 2 in dims else 1), (w if 3 in dims else 1)


def mean(call: Call) -> str:
    return _average(call, 0)


def sum_(call: Call) -> str:
    return _average(call, 1)


def _average(call: Call, divisor: int) -> str:
    source = call.source()
    kernel = _reduced(call, source)
    c, h, w = call.shape(source)
    op = AvgPool(kernel, kernel, divisor=divisor)
    return _pool(call, op, source, (c, h // kernel[0], w // kernel[1]))


def amax(call: Call) -> str:
    source = call.source()
    kernel = _reduced(call, source)
    c, h, w = call.shape(source)
    return _pool(call, MaxPool(kernel, kernel), source, (c, h // kernel[0], w // kernel[1]))


# ---- joins and shapes ----------------------------------------------------------------------
def cat(call: Call) -> str:
    sources = [call.source(value) for value in call["tensors"]]
    if call["dim"] % len(call["tensors"][0].meta["val"].shape) != 1:
        raise call.refuse("it does not join channels (dim=1)")
    if len(sources) == 1:
        return sources[0]
    if len(call["tensors"][0].meta["val"].shape) == 2:
        sources = [flattened(call, source) for source in sources]
    shapes = [call.shape(source) for source in sources]
    if len({shape[1:] for shape in shapes}) != 1:
        raise call.refuse(f"its maps differ in size: {', '.join(map(str, shapes))}")
    return call.add(Concat(), sources, (sum(s[0] for s in shapes), *shapes[0][1:]))


def reshape(call: Call) -> str:
    """Any change of shape: nothing to do, or a Flatten."""
    source = call.source()
    batch = call.first.meta["val"].shape[0]
    c, h, w = call.shape(source)
    value = call.node.meta["val"].shape
    if len(value) >= 2 and value[0] == batch and len(value) <= 4:
        out = call.result
        if out in ((c, h, w), (c, h * w, 1)):
            return source
        if out == (c * h * w, 1, 1):
            return call.add(Flatten(), [source])
    raise call.refuse(f"it makes {tuple(value)} of {(batch, c, h, w)}; a reshape may only flatten "
                      "everything behind the batch")


def same(call: Call) -> str:
    """Operations that change nothing in inference."""
    if call.get("train", False):
        raise call.refuse("it was exported in training mode; call eval() before torch.export, and "
                          "hand self.training to a dropout that is a function")
    return call.source()


def cast(call: Call) -> str:
    if not call.node.meta["val"].is_floating_point():
        raise call.refuse("it casts to integers")
    return call.source()


def getitem(call: Call) -> str:
    """The first result of an operation, or a part of a chunk or split."""
    node, index = call["0"], call["1"]
    if operation(node) in PARTS:
        given, sizes = arguments(node), [value.shape for value in node.meta["val"]]
        dim = given["dim"] % len(sizes[0])
        first = sum(size[dim] for size in sizes[:index])
        return _part(call, given["self"], dim, range(first, first + sizes[index][dim]))
    if index != 0:
        raise call.refuse("only the first result of an operation can be used")
    return call.source()


def pad(call: Call) -> str:
    """Zero padding is an identity convolution with padding, until a pass folds it."""
    source = call.source()
    value = call.get("value", 0)
    if call.get("mode", "constant") != "constant" or value != 0:
        raise call.refuse("it pads with something else than zeros")
    amounts = [*call["pad"], 0, 0, 0, 0, 0, 0]
    left, right, top, bottom, front, back = amounts[:6]
    if any(amounts[6:]) or min(amounts) < 0 or call.dimensions != 4:
        raise call.refuse("only channels, height and width can be padded, and not cropped")
    channels, height, width = call.shape(source)
    if front or back:
        zeros = np.full(front, -1), np.full(back, -1)
        op = picking(np.concatenate([zeros[0], np.arange(channels), zeros[1]]),
                     (channels, height, width))
        channels += front + back
        source = call.add(op, [source], (channels, height, width))
    if not (left or right or top or bottom):
        return source
    op = Conv(np.ones((channels, 1, 1, 1)), np.zeros(channels), padding=(top, left, bottom, right),
              groups=channels, kind="Pad")
    return call.add(op, [source])


def slice_(call: Call) -> str:
    """Every so many channels, rows or columns."""
    dim = call["dim"] % call.dimensions
    first, end, step = call.get("start", 0), call.get("end", sys.maxsize), call["step"]
    if not all(isinstance(number, int) for number in (first, end, step)):
        raise call.refuse("its limits are computed; use numbers")
    size = call.first.meta["val"].shape[dim]
    if (first, step) == (0, 1) and (end == sys.maxsize or dim > 0 and end >= size):
        return call.source()
    return _part(call, call.first, dim, range(size)[first:end:step] if dim else range(0))


def narrow(call: Call) -> str:
    dim, first, length = call["dim"] % call.dimensions, call["start"], call["length"]
    if not isinstance(first, int) or not isinstance(length, int):
        raise call.refuse("its limits are computed; use numbers")
    return _part(call, call.first, dim, range(first, first + length))


def _part(call: Call, node: Fx, dim: int, lines: range) -> str:
    """Some channels (dim 1), rows or columns of a node of torch's graph."""
    source = call.source(node)
    shape = call.shape(source)
    if dim == 0:
        raise call.refuse("it takes some of the images")
    if call.walk.shape(node) != shape:
        raise call.refuse("it does not read whole maps; slice before the flattening")
    if not lines:
        raise call.refuse("nothing is left of its tensor")
    if dim == 1:
        return _picked(call, source, np.array(lines))
    start, steps, count = [0, 0], [1, 1], list(shape[1:])
    start[dim - 2], steps[dim - 2], count[dim - 2] = lines.start, lines.step, len(lines)
    op = picking(np.arange(shape[0]), shape, (start[0], start[1]), (steps[0], steps[1]),
                 (count[0], count[1]))
    return call.add(op, [source], (shape[0], count[0], count[1]))


def _picked(call: Call, source: str, channels: NDArray[np.int64]) -> str:
    _, height, width = shape = call.shape(source)
    return call.add(picking(channels, shape), [source], (len(channels), height, width))


def index_select(call: Call) -> str:
    """Channels by number."""
    source = call.source()
    if call["dim"] % call.dimensions != 1 or call.result[1:] != call.shape(source)[1:]:
        raise call.refuse("it picks something else than channels (dim=1)")
    return _picked(call, source, _numbers(call, call.constant("index"), call.shape(source)[0]))


def index(call: Call) -> str:
    """x[:, numbers]."""
    source = call.source()
    given = [i for i, value in enumerate(call["indices"]) if value is not None]
    if given != [1] or call.result[1:] != call.shape(source)[1:]:
        raise call.refuse("it picks something else than channels, or what the network computes")
    numbers = call.walk.parameter(call["indices"][1])
    return _picked(call, source, _numbers(call, numbers, call.shape(source)[0]))


def _numbers(call: Call, numbers: NDArray[np.float64], channels: int) -> NDArray[np.int64]:
    if numbers.ndim != 1 or len(numbers) != call.result[0]:
        raise call.refuse("it picks channels by something else than a list of numbers")
    return numbers.astype(np.int64) % channels


def channel_shuffle(call: Call) -> str:
    source = call.source()
    channels = np.arange(call.shape(source)[0]).reshape(call["groups"], -1)
    return _picked(call, source, channels.T.ravel())


# torch may trace these anew where they are read, so they do not take the name of a layer
VIEWS = ("flatten", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze")

# operations of several results that _part makes one by one
PARTS = ("split", "split_with_sizes", "chunk")
