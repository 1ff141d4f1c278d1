"""What is supported: torch's layers, the ATen operations that they export to, and their limits.

The one table of it: the front end looks handlers up here, its refusals and docs/supported.md list
the names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..construct.functions import Sign
from ..construct.site import Value
from ..ir.layers import MOST_STRIDE
from . import aten
from .calls import Call

Handler = Callable[[Call], Value | Sign]


@dataclasses.dataclass(frozen=True)
class Layer:
    """Something that a network may be made of.

    name: torch's word. operations: what it exports to, by the first of which nodes of functions
    are named. limits: what holds of it.
    """

    name: str
    handler: Handler
    operations: tuple[str, ...]
    limits: str = ""


def _function(name: str, operation: str, limits: str = "") -> Layer:
    return Layer(name, aten.plain(operation), (operation,), limits)


VIEWS = ("flatten", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze")

LAYERS = (
    Layer("Conv2d", aten.conv2d, ("conv2d", "convolution"),
          "kernels as large as torch allows, any dilation, groups and zero padding (numbers, "
          f"`same`, `valid`), strides up to {MOST_STRIDE} where there are several outputs; weights "
          "are constants, or computed of constants (weight norm, spectral norm, masks)"),
    Layer("Linear", aten.linear, ("linear",), "of (N, features): flatten before"),
    Layer("Linear", aten.addmm, ("addmm",)),
    Layer("Linear", aten.matmul, ("matmul", "mm"), "also written x @ constant"),
    Layer("BatchNorm1d/2d", aten.batch_norm,
          ("batch_norm", "_native_batch_norm_legit_no_training"),
          "with running statistics, in inference mode"),
    Layer("Dropout", aten.same,
          ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"),
          "all kinds, in inference mode, where they do nothing"),
    _function("ReLU", "relu"),
    _function("ReLU6", "relu6"),
    Layer("LeakyReLU", aten.leaky_relu, ("leaky_relu",)),
    Layer("LeakyReLU", aten.where, ("where",), "also written where(x > 0, x, constant * x)"),
    Layer("LeakyReLU", aten.greater, ("gt", "ge")),
    Layer("LeakyReLU", aten.less, ("lt", "le")),
    Layer("PReLU (one slope)", aten.prelu, ("prelu",)),
    Layer("ELU", aten.elu, ("elu",), "any alpha"),
    Layer("Hardtanh/clamp", aten.hardtanh, ("hardtanh",)),
    Layer("Hardtanh/clamp", aten.clamp, ("clamp", "clamp_min", "clamp_max", "clip"),
          "limits are numbers"),
    _function("Hardswish", "hardswish", "also written x * hardsigmoid(x) or x * relu6(x + 3) / 6"),
    _function("Hardsigmoid", "hardsigmoid", "also written relu6(x + 3) / 6"),
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
    Layer("channels by number", aten.permute, ("permute",),
          "also written view, transpose and view of channels in groups"),
    Layer("channels by number", aten.transpose, ("transpose",)),
    Layer("sums and differences of two tensors", aten.add, ("add",),
          "of equal shapes, with any alpha"),
    Layer("sums and differences of two tensors", aten.sub, ("sub",)),
    Layer("constants added and multiplied with", aten.rsub, ("rsub",),
          "one number, or one a channel; also to add, sub and x - constant"),
    Layer("constants added and multiplied with", aten.mul, ("mul",)),
    Layer("constants added and multiplied with", aten.div, ("div",), "constant divisors"),
    Layer("constants added and multiplied with", aten.neg, ("neg",)),
    Layer("cat over channels", aten.cat, ("cat",), "maps of one size"),
    Layer("Flatten/view", aten.reshape, VIEWS,
          "of everything behind the batch, or what changes no order"),
    Layer("", aten.same, ("contiguous", "clone", "alias", "detach", "detach_copy",
                          "lift_fresh_copy")),
    Layer("", aten.expand, ("expand",)),
    Layer("", aten.cast, ("to", "_to_copy")),
    Layer("", aten.training_batch_norm,
          ("_native_batch_norm_legit_functional", "_native_batch_norm_legit")),
)

# what networks have that cannot be compiled, and what to do
ONE_DIMENSION = "use its 2-d kind on maps of height 1, (N, C, 1, L)"
THREE_DIMENSIONS = "maps have two dimensions; use its 2-d kind"
RECURRENT = "recurrent layers cannot be compiled"
ATTENTION = "attention cannot be compiled"
STATISTICS = "its statistics come from the input; train with BatchNorm2d"
SQUARES = ("it divides by sums of its input's squares; put nn.Identity() in its place to leave it "
           "out, and train again or measure what that costs")
LOGITS = "it keeps the order of the logits; leave it to whoever reads the output"
READER = "leave it to whoever reads the output"
ADVICE: dict[str, str] = {
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), LOGITS),
    **dict.fromkeys(("conv1d", "max_pool1d", "max_pool1d_with_indices", "avg_pool1d",
                     "adaptive_avg_pool1d", "adaptive_max_pool1d"), ONE_DIMENSION),
    **dict.fromkeys(("conv3d", "max_pool3d", "avg_pool3d"), THREE_DIMENSIONS),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), RECURRENT),
    "scaled_dot_product_attention": ATTENTION,
    **dict.fromkeys(("layer_norm", "native_layer_norm", "group_norm", "native_group_norm",
                     "instance_norm", "rms_norm"), STATISTICS),
    **dict.fromkeys(("argmax", "topk", "sort"), READER),
    "conv_transpose2d": aten.TRANSPOSED,
    "select": "it takes a dimension away; keep it with a slice, x[:, i:i + 1]",
    "max": "use amax over height and width, or MaxPool2d",
}
# the same of layers that an export may take apart into operations
ADVICE_OF_LAYERS: dict[str, str] = {
    **dict.fromkeys(("Softmax", "LogSoftmax"), LOGITS),
    **dict.fromkeys(("Conv1d", "MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d", "AdaptiveMaxPool1d"),
                    ONE_DIMENSION),
    **dict.fromkeys(("Conv3d", "MaxPool3d", "AvgPool3d"), THREE_DIMENSIONS),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), RECURRENT),
    "MultiheadAttention": ATTENTION,
    **dict.fromkeys(("InstanceNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"), STATISTICS),
    "LocalResponseNorm": SQUARES,
    "ConvTranspose2d": aten.TRANSPOSED,
}

_ENTRIES: dict[str, Layer] = {
    operation: layer for layer in LAYERS for operation in layer.operations}
HANDLERS: dict[str, Handler] = {
    operation: layer.handler for operation, layer in _ENTRIES.items()}
# what nodes of an operation are called where no layer names them
NAMES: dict[str, str] = {
    operation: layer.operations[0] for operation, layer in _ENTRIES.items()}
# operations that make no node by which a layer could be named
SILENT = {operation for operation, handler in HANDLERS.items()
          if handler in (aten.same, aten.cast, aten.reshape, aten.expand, aten.getitem)}

SUPPORTED = tuple(dict.fromkeys(layer.name for layer in LAYERS if layer.name))
