"""Layers with weights: convolution, linear layer, batch norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import BatchNorm, Conv, Padding
from ..ir.layers import output_size
from .site import Site, Value

Floats = NDArray[np.float64]
Pair = tuple[int, int]


def conv2d(site: Site, x: Value, weight: Floats, bias: Floats | None = None, *,
           stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1),
           groups: int = 1) -> Value:
    """A convolution. weight: (K, C / groups, kh, kw)."""
    shape = site.maps(x)
    if weight.ndim != 4:
        raise site.refuse(f"its weights have {weight.ndim} dimensions, 4 are needed: maps have "
                          "two dimensions")
    if weight.shape[1] * groups != shape[0] or len(weight) % groups:
        raise site.refuse(f"its weights {weight.shape} in {groups} groups do not read "
                          f"{shape[0]} channels")
    op = Conv(weight, _bias(site, weight, bias), stride, padding, dilation, groups)
    height, width = output_size(op, shape)
    if min(height, width) < 1:
        raise site.refuse(f"its kernel is larger than its map {shape[1:]}")
    return site.add(op, [x], (len(weight), height, width))


def same_padding(kernel: Pair, dilation: Pair) -> Padding:
    """The padding with which a convolution of stride 1 keeps the size of its maps."""
    high, wide = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return high // 2, wide // 2, high - high // 2, wide - wide // 2


def linear(site: Site, x: Value, weight: Floats, bias: Floats | None = None) -> Value:
    """x @ weight.T + bias. weight: (K, features)."""
    if len(x.sizes) != 1:
        raise site.refuse(f"its input has {x.dimensions} dimensions, 2 are needed: flatten it "
                          "before")
    if weight.ndim != 2 or weight.shape[1] != x.sizes[0]:
        raise site.refuse(f"its weights {weight.shape} do not read {x.sizes[0]} features")
    op = Conv(weight[:, :, None, None], _bias(site, weight, bias), kind="Linear")
    return site.add(op, [x], (len(weight), 1, 1), (len(weight),))


def _bias(site: Site, weight: Floats, bias: Floats | None) -> Floats:
    if bias is None:
        return np.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise site.refuse(f"its bias has the shape {bias.shape}, and it has {len(weight)} outputs")
    return bias


def batch_norm(site: Site, x: Value, mean: Floats | None, variance: Floats | None,
               weight: Floats | None, bias: Floats | None, epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, a number a channel each."""
    if mean is None or variance is None:
        raise site.refuse("it has no running statistics; train it with track_running_stats=True")
    if mean.shape != x.shape[:1] or x.sizes[0] != x.shape[0]:
        raise site.refuse(f"it has {len(mean)} channels, and its input {x.sizes[0]}")
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(variance + epsilon)
        scale = scale if weight is None else scale * weight
        shift = -mean * scale
        shift = shift if bias is None else shift + bias
    if not np.isfinite(scale).all() or not np.isfinite(shift).all():
        raise site.wrong("its running variance is not positive; train or load the network again")
    return site.add(BatchNorm(scale, shift), [x], x.shape, x.sizes)
