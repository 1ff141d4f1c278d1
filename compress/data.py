"""Training and test data of one network: read from `.npz` files, checked, split.

A file holds one of

    x_train, y_train, x_test, y_test    float32 (N, C, H, W), int labels
    x_train, y_train                    the same, the held-out part in a second file
    images, labels                      uint8 (N, H, W) or (N, H, W, C), with the model's preprocess

Images are what the model's preprocess takes, if it has one (then x_* may be uint8 too), else what
the network takes. A file may hold x_val, y_val besides: images to decide with that the network has
not been trained on. A file of the test split holds `x_test, y_test`, `x, y` or `images, labels`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..arch import npy
from ..arch.errors import KcnnError
from ..arch.preprocess import pixel_planes
from ..compiler.errors import CompileError
from ..compiler.frontend.preprocess import Preprocess, applied
from .errors import CompressError
from .hooks import inference

Arrays = Mapping[str, NDArray]
BATCH = 256
LABEL_MAX = 1 << 31


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """x_*: float32 (N, C, H, W), finite; y_*: int64 (N,). No part is empty.

    *_val: images that decide; None where a part of the training images has to.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    x_val: Tensor | None = None
    y_val: Tensor | None = None

    @property
    def example(self) -> Tensor:
        """One image of the training part, (1, C, H, W)."""
        return self.x_train[:1]


def load(path: Path, test: Path | None = None, preprocess: Preprocess | None = None) -> Data:
    """Both parts from one file, or the held-out part from `test`.

    Images are what preprocess takes, if there is one. Raises CompressError.
    """
    arrays = _read(path)
    train = _part(arrays, ("x_train", "images"), ("y_train", "labels"), path, preprocess)
    if test is not None:
        last = held(test, preprocess)
    elif "x_test" in arrays:
        last = _part(arrays, ("x_test",), ("y_test",), path, preprocess)
    else:
        raise CompressError(f"{path}: holds no x_test, y_test; give the held-out images in a "
                            "second file with --test")
    _alike(train[0], last[0], f"{test or path}: test images")
    if "x_val" not in arrays and "y_val" not in arrays:
        return Data(*train, *last)
    decide = _part(arrays, ("x_val",), ("y_val",), path, preprocess)
    _alike(train[0], decide[0], f"{path}: x_val's images")
    return Data(*train, *last, *decide)


def held(path: Path, preprocess: Preprocess | None = None) -> tuple[Tensor, Tensor]:
    """The test split of a file: images float32 (N, C, H, W), labels int64 (N,). Raises
    CompressError."""
    return labelled(_read(path), str(path), preprocess)


def labelled(arrays: Arrays, where: str, preprocess: Preprocess | None = None,
             pixels: Preprocess | None = None) -> tuple[Tensor, Tensor]:
    """The test split of such arrays. where: what messages call them; pixels: what takes array
    `images` where there is no preprocess for all. Raises CompressError."""
    return _part(arrays, ("x_test", "images", "x"), ("y_test", "labels", "y"), where, preprocess,
                 pixels)


def sample(path: Path) -> NDArray:
    """Some images (N, C, H, W) of the training part as the file holds them, before a preprocess."""
    arrays = _read(path)
    return arrays["x_train"][:BATCH] if "x_train" in arrays else pixel_planes(
        arrays["images"][:BATCH])


def _alike(train: Tensor, other: Tensor, what: str) -> None:
    if train.shape[1:] != other.shape[1:]:
        raise CompressError(f"{what} have the shape {tuple(other.shape[1:])}, training images "
                            f"{tuple(train.shape[1:])}; give both alike")


def split(data: Data, fraction: float, seed: int) -> Data:
    """The training part alone, `fraction` of every class of it as the new test part.

    Where there are images to decide with, they are the new test part, and all others train. What
    decides with the result cannot see the real test part. The order of images is kept; the same
    seed gives the same split.
    """
    if data.x_val is not None and data.y_val is not None:
        return Data(data.x_train, data.y_train, data.x_val, data.y_val)
    if not 0 < fraction < 1:
        raise CompressError(f"the validation part must be between 0 and 1 of the training data, "
                            f"found {fraction}; 0.1 is usual")
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(data.y_train), dtype=torch.bool)
    for label in torch.unique(data.y_train):
        mine = torch.nonzero(data.y_train == label).ravel()
        order = torch.randperm(len(mine), generator=generator)
        held[mine[order[:round(fraction * len(mine))]]] = True
    if held.all() or not held.any():
        raise CompressError(f"{len(held)} training images are too few to hold back {fraction} of "
                            "every class; give more images")
    return Data(data.x_train[~held], data.y_train[~held], data.x_train[held], data.y_train[held])


def accuracy(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of images, 0..1, whose largest logit is that of the label; in inference mode."""
    return float((logits(module, x).argmax(1) == y).double().mean())


def logits(module: nn.Module, x: Tensor) -> Tensor:
    """Outputs (N, classes) in inference mode, in batches of BATCH; the module's mode is kept."""
    with inference(module), torch.no_grad():
        found = torch.cat([module(part) for part in x.split(BATCH)])
    return found.flatten(1)


def batches(data: Data, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """The training part once, shuffled, `size` images at a time.

    One image that would be left alone goes with those before it: batch norm needs two.
    """
    parts = list(torch.randperm(len(data.x_train), generator=generator).split(size))
    if size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    for rows in parts:
        yield data.x_train[rows], data.y_train[rows]


# ---- files ---------------------------------------------------------------------------------
def _read(path: Path) -> dict[str, NDArray]:
    try:
        return npy.read(path)
    except KcnnError as error:
        raise CompressError(str(error)) from None


def _part(arrays: Arrays, xs: tuple[str, ...], ys: tuple[str, ...], path: Path | str,
          preprocess: Preprocess | None, pixels: Preprocess | None = None
          ) -> tuple[Tensor, Tensor]:
    for x, y in zip(xs, ys, strict=True):
        if x in arrays and y in arrays:
            where = f"{path}: array {x!r}"
            images = (_pixels(arrays[x], where, preprocess or pixels) if x == "images"
                      else _taken(arrays[x], where, preprocess))
            return images, _labels(arrays[y], len(images), f"{path}: array {y!r}")
    wanted = " or ".join(f"{x}, {y}" for x, y in zip(xs, ys, strict=True))
    raise CompressError(f"{path}: holds the arrays {', '.join(sorted(arrays)) or '(none)'}; "
                        f"{wanted} are needed")


def _pixels(array: NDArray, where: str, preprocess: Preprocess | None) -> Tensor:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise CompressError(f"{where} is {array.dtype} of shape {array.shape}; uint8 (N, H, W) or "
                            "(N, H, W, C) is needed")
    if preprocess is None:
        raise CompressError(f"{where} holds pixels 0..255, and no model with a function preprocess "
                            "is given; write one, or store the images as the network takes them")
    return _taken(pixel_planes(array), where, preprocess)


def _taken(array: NDArray, where: str, preprocess: Preprocess | None) -> Tensor:
    """Images as the network takes them."""
    if preprocess is None:
        return _images(array, where)
    if array.dtype not in (np.uint8, np.float32) or array.ndim != 4 or 0 in array.shape:
        raise CompressError(f"{where} is {array.dtype} of shape {array.shape}; uint8 or float32 "
                            "(N, C, H, W) with at least one image is needed")
    try:
        made = applied(preprocess, array, where)
    except CompileError as error:
        raise CompressError(str(error)) from error
    return _images(made, f"{where} after preprocess")


def _images(array: NDArray, where: str) -> Tensor:
    if array.dtype != np.float32 or array.ndim != 4 or 0 in array.shape:
        raise CompressError(f"{where} is {array.dtype} of shape {array.shape}; float32 "
                            "(N, C, H, W) with at least one image is needed")
    if not np.isfinite(array).all():
        raise CompressError(f"{where} holds numbers that are not finite; remove those images")
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(array: NDArray, count: int, where: str) -> Tensor:
    if (array.dtype.kind not in "iu" or array.shape != (count,) or (array < 0).any()
            or (array > LABEL_MAX).any()):
        raise CompressError(f"{where} is {array.dtype} of shape {array.shape}; one class number, "
                            f"0 or more, for each of the {count} images is needed")
    return torch.from_numpy(array.astype(np.int64))
