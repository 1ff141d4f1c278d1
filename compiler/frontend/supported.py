"""What is supported: torch's layers, the ATen operations that they export to, and their limits.

The one table of it: the front end looks handlers up here, its refusals and docs/supported.md list
the names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..ir.layers import MOST_STRIDE
from . import arithmetic, aten
from .calls import Call

Handler = Callable[[Call], str]


@dataclasses.dataclass(frozen=True)
class Layer:
    """Something that a network may be made of.

    name: torch's word. operations: what it exports to. limits: what holds of it.
    """

    name: str
    handler: Handler
    operations: tuple[str, ...]
    limits: str = ""


def _function(name: str, operation: str, limits: str = "") -> Layer:
    return Layer(name, aten.plain(operation), (operation,), limits)


LAYERS = (
    Layer("Conv2d", aten.conv2d, ("conv2d",),
          "kernels as large as torch allows, any dilation, groups and zero padding (numbers, "
          f"`same`, `valid`), strides up to {MOST_STRIDE} where there are several outputs; weights "
          "are constants, or computed of constants (weight norm, spectral norm, masks)"),
    Layer("Linear", aten.linear, ("linear",), "of (N, features): flatten before"),
    Layer("BatchNorm1d/2d", aten.batch_norm,
          ("batch_norm", "_native_batch_norm_legit_no_training"),
          "with running statistics, in inference mode"),
    Layer("Dropout", aten.same,
          ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"),
          "all kinds, in inference mode, where they do nothing"),
    _function("ReLU", "relu"),
    _function("ReLU6", "relu6"),
    Layer("LeakyReLU", aten.leaky_relu, ("leaky_relu",)),
    Layer("PReLU (one slope)", aten.prelu, ("prelu",)),
    Layer("ELU", aten.elu, ("elu",), "any alpha"),
    Layer("Hardtanh/clamp", aten.hardtanh, ("hardtanh",)),
    Layer("Hardtanh/clamp", aten.clamp, ("clamp", "clamp_min", "clamp_max", "clip"),
          "limits are numbers"),
    _function("Hardswish", "hardswish", "also written x * hardsigmoid(x) or x * relu6(x + 3) / 6"),
    _function("Hardsigmoid", "hardsigmoid"),
    Layer("GELU", aten.gelu, ("gelu",), "exact and tanh"),
    _function("SiLU", "silu", "also written x * sigmoid(x)"),
    _function("Sigmoid", "sigmoid"),
    _function("Tanh", "tanh"),
    Layer("MaxPool2d", aten.max_pool2d, ("max_pool2d", "max_pool2d_with_indices"),
          "any kernel, dilation, padding and ceil mode, strides up to "
          f"{MOST_STRIDE} where there are several outputs; no window wholly in the padding; no "
          "indices"),
    Layer("AvgPool2d", aten.avg_pool2d, ("avg_pool2d",),
          "any kernel, padding, ceil mode and divisor, strides up to "
          f"{MOST_STRIDE} where there are several outputs"),
    Layer("AdaptiveAvgPool2d", aten.adaptive_avg_pool2d,
          ("adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
          f"the output size divides the map, into parts of at most {MOST_STRIDE} or the whole"),
    Layer("AdaptiveMaxPool2d", aten.adaptive_max_pool2d, ("adaptive_max_pool2d",),
          f"the output size divides the map, into parts of at most {MOST_STRIDE} or the whole"),
    Layer("mean, sum and amax over height and width", aten.mean, ("mean",), "both or one of them"),
    Layer("mean, sum and amax over height and width", aten.sum_, ("sum",)),
    Layer("mean, sum and amax over height and width", aten.amax, ("amax",)),
    Layer("zero padding", aten.pad, ("pad", "constant_pad_nd"),
          "of channels, height and width"),
    Layer("slices", aten.slice_, ("slice",), "of channels, rows and columns, any step of channels, "
          f"other steps up to {MOST_STRIDE}"),
    Layer("slices", aten.narrow, ("narrow",)),
    Layer("slices", aten.getitem, ("getitem",), "the parts of chunk and split too"),
    Layer("slices", aten.same, aten.PARTS),
    Layer("channels by number", aten.index_select, ("index_select",), "numbers are constants"),
    Layer("channels by number", aten.index, ("index",), "x[:, [2, 0, 1]]"),
    Layer("channels by number", aten.channel_shuffle, ("channel_shuffle",)),
    Layer("sums and differences of two tensors", arithmetic.add, ("add",),
          "of equal shapes, with any alpha"),
    Layer("sums and differences of two tensors", arithmetic.sub, ("sub",)),
    Layer("constants added and multiplied with", arithmetic.rsub, ("rsub",),
          "one number, or one a channel; also to add, sub and x - constant"),
    Layer("constants added and multiplied with", arithmetic.mul, ("mul",)),
    Layer("constants added and multiplied with", arithmetic.div, ("div",), "constant divisors"),
    Layer("constants added and multiplied with", arithmetic.neg, ("neg",)),
    Layer("cat over channels", aten.cat, ("cat",), "maps of one size"),
    Layer("Flatten/view", aten.reshape, aten.VIEWS,
          "of everything behind the batch, or what changes no order"),
    Layer("", aten.same, ("contiguous", "clone", "alias", "detach", "detach_copy",
                          "lift_fresh_copy")),
    Layer("", aten.cast, ("to", "_to_copy")),
    Layer("", aten.training_batch_norm,
          ("_native_batch_norm_legit_functional", "_native_batch_norm_legit")),
)

# what networks have that cannot be compiled, and what to do
ONE_DIMENSION = "use its 2-d kind on maps of height 1, (N, C, 1, L)"
RECURRENT = "recurrent layers cannot be compiled"
STATISTICS = "its statistics come from the input; train with BatchNorm2d"
ORDER = "it keeps the order of the logits; leave it to whoever reads the output"
ADVICE: dict[str, str] = {
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), ORDER),
    **dict.fromkeys(("conv1d", "max_pool1d", "max_pool1d_with_indices", "avg_pool1d",
                     "adaptive_avg_pool1d", "adaptive_max_pool1d"), ONE_DIMENSION),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), RECURRENT),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), STATISTICS),
    **dict.fromkeys(("argmax", "topk", "sort"), "leave it to whoever reads the output"),
    **dict.fromkeys(("permute", "transpose"), "attention cannot be compiled, and maps stay (N, C, "
                    "H, W): for another order of a flattened map reorder its Linear's weights"),
    "conv3d": "maps have two dimensions; use Conv2d",
    "select": "it takes a dimension away; keep it with a slice, x[:, i:i + 1]",
    "max": "use amax over height and width, or MaxPool2d",
}

HANDLERS: dict[str, Handler] = {
    operation: layer.handler for layer in LAYERS for operation in layer.operations}

SUPPORTED = tuple(dict.fromkeys(layer.name for layer in LAYERS if layer.name))
