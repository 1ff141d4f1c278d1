"""What a model's preprocess does to images, as data: a factor and an offset for every channel.

Every other preprocess is a function that only the model has; of it a binary says OTHER.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

OTHER = "other"


@dataclasses.dataclass(frozen=True)
class Affine:
    """y[n, c] = scale[c] * x[n, order[c]] + offset[c], rounded to float32.

    channels: of x, which is (N, C, H, W), or (N, H, W, C) with channels_last.
    """

    order: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    channels: int
    channels_last: bool = False

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """float32 (N, C, H, W) of uint8 or float32 images."""
        planes = planes_first(x) if self.channels_last else x
        scale, offset = (np.array(v)[:, None, None] for v in (self.scale, self.offset))
        found = planes[:, list(self.order)].astype(np.float64) * scale + offset
        with np.errstate(over="ignore"):
            return found.astype(np.float32)

    def takes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an image x whose y has the shape (C, H, W)."""
        _, height, width = shape
        return ((height, width, self.channels) if self.channels_last
                else (self.channels, height, width))

    def __str__(self) -> str:
        parts = (f"{scale:.4g} * x[{channel}]{_added(offset)}" for channel, scale, offset in zip(
            self.order, self.scale, self.offset, strict=True))
        return ", ".join(parts) + (", x with channels last" if self.channels_last else "")


def _added(offset: float) -> str:
    return f" {'-' if offset < 0 else '+'} {abs(offset):.4g}" if offset else ""


def planes_first(x: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) of images (N, H, W, C)."""
    return np.ascontiguousarray(np.moveaxis(x, 3, 1))


def pixel_planes(images: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) of images (N, H, W) or (N, H, W, C)."""
    return planes_first(images.reshape(*images.shape[:3], -1))


def to_plain(kept: Affine | str | None) -> Mapping[str, Any] | str | None:
    """As metadata hold it."""
    return dataclasses.asdict(kept) if isinstance(kept, Affine) else kept


def from_plain(plain: Mapping[str, Any] | str | None) -> Affine | str | None:
    """Inverse of to_plain."""
    return Affine(**plain) if isinstance(plain, Mapping) else plain
