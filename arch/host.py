"""The host's side of inputs and outputs: real numbers to codes and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import fixed
from .config import Config
from .errors import KcnnError
from .program import Tensor

Ints = NDArray[np.int64]


def encode(x: NDArray[np.floating], tensor: Tensor, config: Config) -> Ints:
    """Codes (planes, N, C, H, W) of real values (N, C, H, W).

    Radix tensors: x / scale to the nearest integer (halves to even), saturated to the tensor's
    bits. Others: the nearest value of the codebook (halves to the larger value). N is free; raises
    KcnnError for another C, H or W and for values that are not finite.
    """
    x = np.asarray(x)
    kind = tensor.kind
    if x.ndim != 4 or x.shape[1:] != kind.shape[1:]:
        raise KcnnError(f"input {tensor.name!r}: the shape is {x.shape}, but the network takes "
                        f"(N, {', '.join(map(str, kind.shape[1:]))}); reshape the data")
    if not np.isfinite(x).all():
        raise KcnnError(f"input {tensor.name!r}: a value is NaN or infinite; "
                        "give finite numbers")
    scaled = x.astype(np.float64) / kind.scale
    if not kind.values:
        limit = float(1 << (kind.bits - 1))
        whole = np.rint(np.clip(scaled, -limit, limit)).astype(np.int64)
        return fixed.radix_digits(whole, kind.planes, kind.bits, config.code_bits)
    values, codes = np.unique(np.array(kind.values, np.int64), return_index=True)
    middles = (values[1:] + values[:-1]) / 2
    return codes[np.searchsorted(middles, scaled, side="right")][None].astype(np.int64)


def raw(codes: Ints, tensor: Tensor, config: Config) -> Ints:
    """Integer values (N, C, H, W) of codes (planes, N, C, H, W)."""
    if tensor.kind.values:
        return np.array(tensor.kind.values, np.int64)[np.asarray(codes)[0]]
    return fixed.radix_value(codes, config.code_bits)


def decode(codes: Ints, tensor: Tensor, config: Config) -> NDArray[np.float32]:
    """Real values (N, C, H, W), float32, of codes (planes, N, C, H, W)."""
    return (raw(codes, tensor, config) * tensor.kind.scale).astype(np.float32)


# ---- what is lost at the limits ----------------------------------------------------------------
def span(tensor: Tensor) -> tuple[float, float]:
    """The least and the greatest real value that a tensor can hold."""
    low, high = _limits(tensor)
    return low * tensor.kind.scale, high * tensor.kind.scale


def cut(x: NDArray[np.floating], tensor: Tensor) -> int:
    """How many real values lie outside the span of a tensor, by more than rounding: a radix tensor
    holds the nearest integer, a codebook what is within half the distance of its last two."""
    scaled = x.astype(np.float64) / tensor.kind.scale
    low, high = _limits(tensor)
    if not tensor.kind.values:
        return int(np.count_nonzero((np.rint(scaled) < low) | (np.rint(scaled) > high)))
    values = sorted(set(tensor.kind.values))
    below, above = (values[:2][-1] - low) / 2, (high - values[-2:][0]) / 2
    return int(np.count_nonzero((scaled < low - below) | (scaled > high + above)))


def at_limit(x: NDArray[np.floating], tensor: Tensor) -> int:
    """How many decoded values of a radix tensor are its least or greatest one, so may have been
    cut; those of codebooks are meant to be nearest."""
    if tensor.kind.values:
        return 0
    low, high = np.array(span(tensor), np.float32)
    return int(np.count_nonzero((x <= low) | (x >= high)))


def _limits(tensor: Tensor) -> tuple[int, int]:
    """The least and the greatest integer of a tensor."""
    if tensor.kind.values:
        return min(tensor.kind.values), max(tensor.kind.values)
    half = 1 << (tensor.kind.bits - 1)
    return -half, half - 1
