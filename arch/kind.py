"""What a tensor is, wherever it lies."""

from __future__ import annotations

import dataclasses
import math

Shape = tuple[int, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Kind:
    """Codes or radix planes of N images. real value = scale * integer value.

    Codes: values[code] is the integer value (2^AB entries). Radix: values is empty, the integer is
    fixed.radix_value of its planes.
    """

    images: int               # N
    channels: int             # C
    height: int               # H
    width: int                # W
    scale: float = 1.0
    values: tuple[int, ...] = ()
    planes: int = 1           # radix planes; 1 also for a tensor of codes
    bits: int = 0             # w of a radix tensor, 0 for a tensor of codes
    pad: int = 0              # code of the cells around the elements
    order: int = 0            # number of codes below zero

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.images, self.channels, self.height, self.width

    @property
    def codes(self) -> Shape:
        """The shape of its codes: (planes, N, C, H, W)."""
        return self.planes, *self.shape

    @property
    def size(self) -> int:
        """Elements of all planes."""
        return math.prod(self.codes)
