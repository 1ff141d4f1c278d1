"""Arrays that a user gives, checked: numpy's or torch's, or those of an `.npy` or `.npz` file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arch import npy
from ..arch.errors import KcnnError
from ..arch.preprocess import pixel_planes
from ..arch.program import Program

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Array: TypeAlias = "NDArray[Any] | torch.Tensor"
Data: TypeAlias = "Array | Mapping[str, Array] | str | Path"
Take = Callable[[NDArray[Any]], NDArray[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """Arrays by name, and where messages say that they are. alone: one that has no name."""

    where: str
    arrays: Mapping[str, NDArray[Any]]
    alone: bool = False

    def place(self, name: str) -> str:
        """One of the arrays, for messages."""
        return f"{self.where}: the array" if self.alone else f"{self.where}: array {name!r}"


def given(data: Data, what: str) -> Given:
    """What a user gives. what: the argument's name, for messages where no file has one."""
    if isinstance(data, str | Path):
        return Given(str(data), npy.read(Path(data)))
    if isinstance(data, Mapping):
        return Given(what, {name: plain(array, f"{what}: array {name!r}")
                            for name, array in data.items()})
    return Given(what, {"x": plain(data, f"{what}: the array")}, True)


# ---- torch, where the caller has it ----------------------------------------------------------
def is_tensor(value: object) -> bool:
    """Is it torch's? Nobody has a tensor who has not imported torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def plain(array: Array, where: str) -> NDArray[Any]:
    """An array or tensor as an array. Raises KcnnError for what numpy cannot hold."""
    if not is_tensor(array):
        found = np.asarray(array)
        if found.dtype == object:
            raise KcnnError(f"{where} is a {type(array).__name__}, no array of numbers; give "
                            "a numpy array or a torch tensor, float32 (N, C, H, W)")
        return found
    try:
        return array.detach().cpu().numpy()  # type: ignore[union-attr]
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise KcnnError(f"{where} is a tensor that numpy cannot hold ({error}); give a dense "
                        "float32 one") from None


def like(array: NDArray[Any], data: Data) -> Any:
    """An array as the kind that the data are of: a tensor if they are."""
    parts = data.values() if isinstance(data, Mapping) else (data,)
    return sys.modules["torch"].from_numpy(array) if any(map(is_tensor, parts)) else array


# ---- images ----------------------------------------------------------------------------------
def images(found: Given, raw: bool = False) -> NDArray[Any]:
    """Array `x`, or the only one: float32, finite, (N, C, H, W), N at least 1.

    raw: for a preprocess, so uint8 too, with any order of axes; or array `images`, uint8 (N, H, W)
    or (N, H, W, C), whose channels then come first.
    """
    arrays = found.arrays
    if raw and "x" not in arrays and "images" in arrays:
        return checked(_pixels(arrays["images"], found.place("images")), found.place("x"), raw)
    if "x" not in arrays and len(arrays) != 1:
        raise KcnnError(f"{found.where}: holds the arrays {', '.join(sorted(arrays)) or '(none)'}; "
                        "name the one to use x")
    name = "x" if "x" in arrays else next(iter(arrays))
    return checked(arrays[name], found.place(name), raw)


def _pixels(array: NDArray[Any], where: str) -> NDArray[Any]:
    """uint8 images (N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or 0 in array.shape:
        raise KcnnError(f"{where} is {array.dtype} of shape {array.shape}; uint8 (N, H, W) or "
                        "(N, H, W, C) is needed")
    return pixel_planes(array)


def inputs(found: Given, program: Program, take: Take | None = None) -> list[Floats]:
    """One array an input of the program: by name if there are several, all of the same N.

    take: the preprocess of a program's only input.
    """
    arrays = _inputs(found, program, take)
    if len({len(array) for array in arrays}) != 1:
        raise KcnnError(f"{found.where}: the inputs have different numbers of images; give as many "
                        "of each")
    for port, array in zip(program.inputs, arrays, strict=True):
        wanted = program.tensors[port.tensor].kind.shape[1:]
        if array.shape[1:] != wanted:
            raise KcnnError(f"{found.where}: input {port.name!r} has the shape {array.shape}, but "
                            f"the network takes (N, {', '.join(map(str, wanted))})")
    return arrays


def _inputs(found: Given, program: Program, take: Take | None) -> list[Floats]:
    if len(program.inputs) == 1:
        return [images(found) if take is None else checked(
            take(images(found, True)), f"{found.where}: what the preprocess returns")]
    names = [port.name for port in program.inputs]
    missing = [name for name in names if name not in found.arrays]
    if missing:
        raise KcnnError(f"{found.where}: input {missing[0]!r} is missing; the network takes an "
                        f".npz file with the arrays {', '.join(names)}")
    return [checked(found.arrays[name], found.place(name)) for name in names]


def checked(array: NDArray[Any], where: str, raw: bool = False) -> NDArray[Any]:
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
