"""Arrays from `.npy` and `.npz` files, checked; arrays to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arch import npy, scratch
from ..arch.errors import KcnnError
from ..arch.preprocess import pixel_planes
from ..arch.program import Program

Floats = NDArray[np.float32]


def read_images(path: Path, raw: bool = False) -> Floats:
    """Array `x` of a file, or its only one: float32, finite, (N, C, H, W), N at least 1.

    raw: for a preprocess, so uint8 too, with any order of axes; or array `images`, uint8 (N, H, W)
    or (N, H, W, C), whose channels then come first.
    """
    arrays = npy.read(path)
    if raw and "x" not in arrays and "images" in arrays:
        arrays = {"x": pixels(arrays["images"], f"{path}: array 'images'")}
    if "x" not in arrays and len(arrays) != 1:
        raise KcnnError(f"{path}: holds the arrays {', '.join(sorted(arrays)) or '(none)'}; "
                        "name the one to use x")
    name = "x" if "x" in arrays else next(iter(arrays))
    return checked(arrays[name], f"{path}: array {name!r}", raw)


def pixels(array: NDArray, where: str) -> NDArray:
    """uint8 images (N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or 0 in array.shape:
        raise KcnnError(f"{where} is {array.dtype} of shape {array.shape}; uint8 (N, H, W) or "
                        "(N, H, W, C) is needed")
    return pixel_planes(array)


def read_inputs(path: Path, program: Program, take: Callable[[NDArray], NDArray] | None = None
                ) -> list[Floats]:
    """One array an input of the program: by name from an `.npz` file, all of the same N.

    take: the preprocess of a program's only input.
    """
    if len(program.inputs) == 1 and take is not None:
        arrays = [checked(take(read_images(path, True)), f"{path}: what the preprocess returns")]
    elif len(program.inputs) == 1:
        arrays = [read_images(path)]
    else:
        found = npy.read(path)
        names = [port.name for port in program.inputs]
        missing = [name for name in names if name not in found]
        if missing:
            raise KcnnError(f"{path}: input {missing[0]!r} is missing; the network takes an .npz "
                            f"file with the arrays {', '.join(names)}")
        arrays = [checked(found[name], f"{path}: array {name!r}") for name in names]
    if len({len(array) for array in arrays}) != 1:
        raise KcnnError(f"{path}: the inputs have different numbers of images; give as many of "
                        "each")
    for port, array in zip(program.inputs, arrays, strict=True):
        wanted = program.tensors[port.tensor].layout.shape[1:]
        if array.shape[1:] != wanted:
            raise KcnnError(f"{path}: input {port.name!r} has the shape {array.shape}, but the "
                            f"network takes (N, {', '.join(map(str, wanted))})")
    return arrays


def checked(array: NDArray, where: str, raw: bool = False) -> Floats:
    """The array if it is float32 (raw: or uint8), finite, (N, C, H, W) and not empty; else
    KcnnError."""
    if array.dtype != np.float32 and not (raw and array.dtype == np.uint8):
        advice = ("give it as the network takes it, scaled as in training"
                  if array.dtype == np.uint8 else "convert it with .astype('float32')")
        raise KcnnError(f"{where} is {array.dtype}, not float32; {advice}")
    if array.ndim != 4:
        raise KcnnError(f"{where} has the shape {array.shape}; (N, C, H, W) is needed")
    if 0 in array.shape:
        raise KcnnError(f"{where} has the shape {array.shape}, so it is empty; give at least one "
                        "image")
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise KcnnError(f"{where} holds {array[at]} at {at}; only finite numbers can be computed "
                        "with")
    return array


def write_arrays(path: Path, arrays: Mapping[str, NDArray], several: bool) -> None:
    """One array as `.npy`, several as `.npz`, whatever the path's name ends with."""
    with scratch.named(path), path.open("wb") as file:
        if several:
            np.savez(file, allow_pickle=False, **dict(arrays))
        else:
            (array,) = arrays.values()
            np.save(file, array)


def batches(arrays: Sequence[Floats], size: int) -> list[list[Floats]]:
    """Cut N images into batches of `size`, the last one filled up with zeros."""
    count = len(arrays[0])
    missing = -count % size
    padded = [np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)]) for a in arrays]
    return [[a[at:at + size] for a in padded] for at in range(0, count, size)]
