"""Uniform quantisation: weights on the integers of one scale a layer, maps likewise.

Symmetric, as the second paper has it in 8 bits: the largest magnitude is 127 steps. Zero weights
stay zero; small ones become zero. What layers read has one scale a map, found on calibration
images; a map without negative values has no sign, so twice the steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from kcnn.compress.clusters import weighted
from kcnn.compress.errors import CompressError
from kcnn.compress.hooks import reading
from kcnn.compress.maps import inputs
from torch import Tensor, nn

BITS = 8


@dataclasses.dataclass(frozen=True)
class Grid:
    """The numbers scale * i, -most <= i <= most."""

    scale: float
    most: int

    def __call__(self, values: Tensor) -> Tensor:
        """The nearest of them."""
        return (values / self.scale).round().clamp(-self.most, self.most) * self.scale


def grid(values: Tensor, bits: int, signed: bool = True) -> Grid:
    """The grid of so many bits that reaches the largest magnitude. Raises CompressError."""
    if not 2 <= bits <= 16:
        raise CompressError(f"numbers cannot be quantised to {bits} bits; give 2 to 16")
    most = (1 << bits - signed) - 1
    return Grid(float(values.detach().abs().max()) / most or 1.0, most)


def quantise_weights(module: nn.Module, bits: int = BITS) -> dict[str, Grid]:
    """Put the weights of all layers on their grids, in place; returns the grids."""
    grids = {}
    with torch.no_grad():
        for name, part in weighted(module).items():
            grids[name] = grid(part.weight, bits)
            part.weight.copy_(grids[name](part.weight))
    return grids


def map_grids(module: nn.Module, calibration: Tensor, bits: int = BITS) -> dict[str, Grid]:
    """A grid for what each layer reads."""
    seen = {name: torch.from_numpy(found) for name, found in inputs(module, calibration).items()}
    return {name: grid(values, bits, bool((values < 0).any())) for name, values in seen.items()}


def quantised_maps(module: nn.Module, grids: Mapping[str, Grid]) -> AbstractContextManager[None]:
    """While inside, the layers named read maps on their grids."""
    return reading(weighted(module), grids)
