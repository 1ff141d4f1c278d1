"""What a network costs: operations of one image and bytes of its weights, layer by layer.

The one source of these figures. An operation is a multiplication or an addition; a layer without
any compression takes one of each per multiply-accumulate, those of zero padding included.

A layer whose weights have K values takes, whatever their number of zeros, at most K multiplications
an output: activations that meet equal weights are added first (clustered()). Operations on zeros
are left out where a machine can see them: zero activations only, or zero weights too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .hooks import hooked, inference

FLOAT_BITS = 32


@dataclasses.dataclass(frozen=True)
class Operations:
    """Multiplications and additions."""

    multiplications: float = 0
    additions: float = 0

    @property
    def both(self) -> float:
        """All operations."""
        return self.multiplications + self.additions

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.multiplications + other.multiplications,
                          self.additions + other.additions)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution or fully connected layer, as far as costs go.

    kind: "conv" or "fc". shape: of the weight, (K, C / groups, kh, kw), with a kernel of 1x1 if fc.
    positions: outputs of each channel for one image. nonzero: weights that are not zero.
    active, matched: multiply-accumulates of one image, on average, whose activation is not zero,
    and whose activation and weight are both not zero. inputs, nonzero_inputs: values that the layer
    reads for one image, and the mean number of them that are not zero.
    """

    name: str
    kind: str
    shape: tuple[int, int, int, int]
    positions: int
    nonzero: int
    active: float
    matched: float
    inputs: int
    nonzero_inputs: float

    @classmethod
    def of_densities(cls, name: str, kind: str, shape: tuple[int, int, int, int], positions: int,
                     inputs: int, weight: float = 1.0, activation: float = 1.0) -> Layer:
        """A layer known by the densities of its weight and of its input, taken as independent."""
        macs = math.prod(shape) * positions
        return cls(name, kind, shape, positions, round(weight * math.prod(shape)),
                   macs * activation, macs * activation * weight, inputs, inputs * activation)

    @property
    def weights(self) -> int:
        """Weights, zeros included."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """Share of the weights that are not zero."""
        return self.nonzero / self.weights

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, nothing skipped."""
        return self.weights * self.positions

    @property
    def used_macs(self) -> int:
        """Multiply-accumulates of one image without those of zero weights."""
        return self.nonzero * self.positions

    @property
    def outputs(self) -> int:
        """Values that the layer makes for one image."""
        return self.shape[0] * self.positions


def total(parts: Iterable[Operations]) -> Operations:
    """The sum over layers."""
    return sum(parts, Operations())


# ---- operations ----------------------------------------------------------------------------
def original(layer: Layer) -> Operations:
    """Nothing skipped, nothing clustered."""
    return Operations(layer.macs, layer.macs)


def skipping(layer: Layer, zero_weights: bool) -> Operations:
    """Zero activations skipped, zero weights too if said; every product formed by itself."""
    left = layer.matched if zero_weights else layer.active
    return Operations(left, left)


def clustered(layer: Layer, values: int, zero_weights: bool) -> Operations:
    """Activations added per weight value, then one multiplication and addition a value and output.

    values: distinct non-zero weight values, or magnitudes where signs go into the additions.
    """
    left = layer.matched if zero_weights else layer.active
    return Operations(values * layer.outputs, left + values * layer.outputs)


# ---- storage -------------------------------------------------------------------------------
def dense_bytes(layer: Layer, bits: int = FLOAT_BITS) -> int:
    """Every weight, zeros included, in `bits` bits."""
    return -(-layer.weights * bits // 8)


def index_bits(values: int, zero: bool) -> int:
    """Bits of an index to one of `values` values, and to zero if that needs a code of its own."""
    return max(1, (values + zero - 1).bit_length())


def codebook_bytes(layer: Layer, values: int, value_bits: int = 16, zero: bool = False) -> int:
    """A table of `values` values and an index to it for every weight, packed."""
    return -(-layer.weights * index_bits(values, zero) // 8) + -(-values * value_bits // 8)


# ---- measuring -----------------------------------------------------------------------------
def measure(module: nn.Module, x: Tensor) -> list[Layer]:
    """The Conv2d and Linear layers of a module in the order in which they run.

    x: images (N, C, H, W) as the network takes them; active and matched are means over them. A
    layer that runs several times for an image counts once, with the sum of its work.
    """
    found: dict[str, Layer] = {}
    handles = [part.register_forward_hook(_counter(name, found))
               for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    with hooked(handles), inference(module), torch.no_grad():
        module(x)
    return list(found.values())


def _counter(name: str, found: dict[str, Layer]) -> Callable[..., None]:
    def count(part: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layer = (_conv if isinstance(part, nn.Conv2d) else _linear)(name, part, inputs[0], output)
        before = found.get(name)
        if before is not None:
            layer = dataclasses.replace(
                layer, positions=layer.positions + before.positions,
                active=layer.active + before.active, matched=layer.matched + before.matched,
                inputs=layer.inputs + before.inputs,
                nonzero_inputs=layer.nonzero_inputs + before.nonzero_inputs)
        found[name] = layer
    return count


def _conv(name: str, part: nn.Conv2d, x: Tensor, output: Tensor) -> Layer:
    """Counts by two convolutions: of what is not zero with the kernels' numbers of weights."""
    used = (part.weight != 0).float()
    groups = part.groups
    nonzero = used.unflatten(0, (groups, -1)).sum(1)          # (groups, C / groups, kh, kw)
    every = torch.full_like(nonzero, len(used) // groups)
    matched, active = (_convolved(part, x, kernel) for kernel in (nonzero, every))
    k, c, height, width = used.shape
    return Layer(name, "conv", (k, c, height, width), output[0, 0].numel(),
                 int(used.sum().item()), active, matched, x[0].numel(), _nonzero(x))


def _nonzero(x: Tensor) -> float:
    """Mean number of values of an image that are not zero."""
    return int(torch.count_nonzero(x)) / len(x)


def _convolved(part: nn.Conv2d, x: Tensor, kernel: Tensor) -> float:
    """Mean over images of all outputs of the convolution of (x != 0) with the kernel."""
    counts = part._conv_forward((x != 0).float(), kernel, None)
    return float(counts.double().sum() / len(x))


def _linear(name: str, part: nn.Linear, x: Tensor, output: Tensor) -> Layer:
    used = (part.weight != 0).float()
    nonzero = (x != 0).float().flatten(0, -2)
    matched = float((nonzero @ used.sum(0)).double().sum() / len(x))
    active = float(nonzero.double().sum() / len(x)) * len(used)
    return Layer(name, "fc", (*used.shape, 1, 1), output[0].numel() // len(used),
                 int(used.sum().item()), active, matched, x[0].numel(), _nonzero(x))
