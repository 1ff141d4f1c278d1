"""A model's preprocess: run on images, and found out whether it is plain arithmetic.

It takes a float32 tensor (N, C, H, W), or (N, H, W, C) if it is written for that, of pixels as the
user's files hold them, and returns what the network takes, float32 (N, C, H, W).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...arch import records
from ...arch.errors import FormatError, KcnnError
from ...arch.meta import Meta
from ...arch.preprocess import OTHER, Affine, planes_first, to_plain
from ..errors import CompileError, first_line

Preprocess = Callable[[torch.Tensor], torch.Tensor]
Images = NDArray[np.float32]
# of the largest scale * x and of offset, what float32 arithmetic in a few steps may be off
ROUNDING = 2.0 ** -20
# the file of a .pt2 archive that holds a preprocess
NOTE = "kcnn_preprocess.json"
NOTE_BYTES = 1 << 20
SHOWN = 4           # calibration images that are looked at one by one


def applied(function: Preprocess, images: NDArray[Any], where: str) -> NDArray[Any]:
    """What the function makes of uint8 or float32 images; they are not changed.

    where: names the images in messages. Raises CompileError.
    """
    try:
        with torch.no_grad():
            made = function(torch.from_numpy(images.astype(np.float32)))
    except KcnnError:
        raise
    except Exception as error:                      # of the user's code, so of any kind
        raise CompileError(f"{where}: the model's preprocess fails ({first_line(error)}); it "
                           "takes float32 (N, C, H, W), pixels as in the file") from error
    if not isinstance(made, torch.Tensor):
        raise CompileError(f"{where}: the model's preprocess returns {type(made).__name__}; it "
                           "must return a tensor")
    return made.detach().numpy()


def as_data(function: Preprocess, images: NDArray[Any], made: Images) -> Affine | None:
    """The function as data, or None where it does anything else than one factor and one offset for
    every channel, whatever the other pixels and images are.

    images: what calibrates, and made: what the function makes of them. It is tried on noise and on
    even images of the same range besides.
    """
    tried = [_noise(images), *_parts(_noise(images)), _even(images), *_parts(images[:SHOWN][::-1])]
    try:
        pairs = [(x, applied(function, x, "preprocess")) for x in tried]
    except CompileError:
        return None
    pairs.append((images, made))
    if any(y.dtype != np.float32 or y.ndim != 4 or len(y) != len(x) for x, y in pairs):
        return None
    for last in (False, True):
        found = _fitted(*pairs[0], last)
        if found is not None and all(_same(found, x, y) for x, y in pairs):
            return found
    return None


def kept_of(function: Preprocess, images: NDArray[Any]) -> Affine | str:
    """What is kept of a preprocess that calibrates with these images."""
    return as_data(function, images, applied(function, images, "preprocess")) or OTHER


def as_function(kept: Affine) -> Preprocess:
    """The data as a function of tensors."""
    return lambda images: torch.from_numpy(kept(images.numpy()))


# ---- beside an exported network --------------------------------------------------------------
def note(kept: Affine) -> str:
    """The data as the text of a file of a .pt2 archive."""
    return records.canonical(to_plain(kept))


def noted(archive: bytes, where: str) -> Preprocess | None:
    """The preprocess that a .pt2 archive has a note of, None if it has no note.

    archive: one that torch reads. Raises CompileError for a note that kcnn did not write.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            found = next((name for name in file.namelist() if name.endswith(f"/{NOTE}")), None)
            if found is None:
                return None
            plain = records.parse(_short(file, found), NOTE)
        kept = Affine(**Meta(preprocess=plain).preprocess)          # type: ignore[arg-type]
    except (FormatError, OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile,
            zlib.error) as error:
        raise CompileError(f"{where}: its note {NOTE} is not one that kcnn wrote "
                           f"({first_line(error)}); compress the network again") from None
    return as_function(kept)


def _short(file: zipfile.ZipFile, name: str) -> bytes:
    """A member that is not longer than a note can be."""
    with file.open(name) as member:
        text = member.read(NOTE_BYTES + 1)
    if len(text) > NOTE_BYTES:
        raise ValueError(f"it is longer than {NOTE_BYTES} bytes")
    return text


# ---- images to try ---------------------------------------------------------------------------
def _noise(images: NDArray[Any]) -> Images:
    """Four images of independent values in the range of the given ones, whole if those are."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(images.min(), images.max(), (4, *images.shape[1:]))
    return (np.rint(noise) if np.array_equal(images, np.rint(images)) else noise).astype(np.float32)


def _even(images: NDArray[Any]) -> Images:
    """Images of one value: the least, the greatest."""
    ends = np.array([images.min(), images.max()], np.float32)
    return np.broadcast_to(ends[:, None, None, None], (2, *images.shape[1:])).copy()


def _parts(images: NDArray[Any]) -> list[Images]:
    """Each image alone."""
    return [np.ascontiguousarray(images[at:at + 1], np.float32) for at in range(len(images))]


# ---- fitting -----------------------------------------------------------------------------------
def _fitted(x: Images, y: Images, last: bool) -> Affine | None:
    """The best factors and offsets; None where the shapes do not allow any."""
    planes = (planes_first(x) if last else x).astype(np.float64)
    if planes.shape[2:] != y.shape[2:]:
        return None
    best = [min((_line(planes[:, k].ravel(), y[:, c].ravel().astype(np.float64), k)
                 for k in range(planes.shape[1])), key=lambda line: line[0])
            for c in range(y.shape[1])]
    _, order, scale, offset = zip(*best, strict=True)
    return Affine(order, scale, offset, planes.shape[1], last)


def _line(x: NDArray[np.float64], y: NDArray[np.float64], channel: int
          ) -> tuple[float, int, float, float]:
    """Least squares: what is left, the channel, factor, offset."""
    away = x - x.mean()
    power = float(away @ away)
    scale = float(away @ y) / power if power else 0.0
    offset = float(y.mean() - scale * x.mean())
    if abs(offset) <= ROUNDING * abs(scale) * np.abs(x).max():
        offset = 0.0
    return float(np.abs(scale * x + offset - y).max()), channel, scale, offset


def _same(kept: Affine, x: NDArray[Any], y: Images) -> bool:
    """The data make the same as the function, to the rounding of float32."""
    found = kept(x)
    if found.shape != y.shape:
        return False
    size = np.abs(kept.scale) * np.abs(x).max() + np.abs(kept.offset)
    return bool((np.abs(found.astype(np.float64) - y) <= ROUNDING * size[:, None, None]).all())
