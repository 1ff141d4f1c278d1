"""Arrays from `.npy` and `.npz` files of anybody: what a header claims is checked before anything
is unpacked.

numpy's own reader is not used: it makes room for what a header says, unpacks headers of any length,
and leaves to zip how much a member holds.
"""

from __future__ import annotations

import io
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from . import names
from .errors import KcnnError

NPY, ZIP = b"\x93NUMPY", b"PK"      # how an .npy and an .npz file begin
NPZ_MEMBER = ".npy"
# what compressed arrays may unpack to: so many bytes, and so many times the file's size
FREE = 1 << 26
RATIO = 16
HEADER_BYTES = 10_000               # of an .npy file, numpy's own limit
MEMBERS = 1 << 12
READERS = {(1, 0): (np.lib.format.read_array_header_1_0, 2),
           (2, 0): (np.lib.format.read_array_header_2_0, 4)}
DAMAGED = (ValueError, EOFError, KeyError, MemoryError, SyntaxError, RuntimeError, RecursionError,
           NotImplementedError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def read(path: Path) -> dict[str, NDArray]:
    """All arrays of an `.npz` file, or the one of an `.npy` file under the name "x".

    Plain numbers and texts only, no objects. Raises KcnnError.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(NPY))
            file.seek(0)
            if start == NPY:
                return {"x": _array(file, size, "x")}
            if not start.startswith(ZIP):
                raise ValueError("it begins otherwise")
            with zipfile.ZipFile(file) as members:
                return dict(_members(members, size, path))
    except OSError as error:
        raise KcnnError(f"{path}: cannot be read ({error.strerror or error}); "
                        "give the path of an .npy or .npz file") from None
    except DAMAGED as error:
        said = str(error).partition("\n")[0] or "cut off"
        raise KcnnError(f"{path}: no .npy or .npz file of plain numbers ({names.printable(said)}); "
                        "write it with numpy.save or numpy.savez") from None


def _members(members: zipfile.ZipFile, size: int, path: Path) -> Iterator[tuple[str, NDArray]]:
    """Every array of an open `.npz` file of `size` bytes."""
    infos = members.infolist()
    if len(infos) > MEMBERS:
        raise ValueError(f"it has {len(infos)} members, at most {MEMBERS} are read")
    most, total = FREE + RATIO * size, 0
    for info in infos:
        name = info.filename.removesuffix(NPZ_MEMBER)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{names.shown(name)} is compressed in a way that numpy does not use")
        total += info.file_size
        if total > most:
            raise KcnnError(f"{path}: array {names.shown(name)} unpacks to {info.file_size} bytes, "
                            f"and a compressed file of {size} may hold {most} in all; write it "
                            "with numpy.savez, which does not compress")
        with members.open(info) as file:
            yield name, _array(file, info.file_size, name)
            if file.read(1):        # the end is where zip compares the checksum
                raise ValueError(f"{names.shown(name)} goes on behind its array")


def _array(file: IO[bytes], size: int, name: str) -> NDArray:
    """The array that `file`, of `size` bytes, begins with."""
    shape, fortran, dtype, start = _header(file, name)
    count = 1
    for length in shape:
        count *= length
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"{names.shown(name)} holds {names.shown(str(dtype))}, no plain numbers")
    if min(shape, default=0) < 0 or start + count * dtype.itemsize > size:
        raise ValueError(f"{names.shown(name)} has the shape {names.shown(shape)}, for which its "
                         f"{size} bytes do not suffice")
    flat = np.empty(count, dtype)
    _fill(file, flat.view(np.uint8) if count else np.empty(0, np.uint8), name)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, order, type, and the bytes before the numbers."""
    start = file.read(len(NPY) + 2)
    if not start.startswith(NPY) or len(start) < len(NPY) + 2:
        raise ValueError(f"{names.shown(name)} is no array")
    version = start[len(NPY)], start[len(NPY) + 1]
    if version not in READERS:
        raise ValueError(f"{names.shown(name)} has a header of version {version}, not that of "
                         "plain numbers")
    reader, width = READERS[version]
    said = file.read(width)
    length = int.from_bytes(said, "little")
    if length > HEADER_BYTES:
        raise ValueError(f"{names.shown(name)} has a header of {length} bytes, at most "
                         f"{HEADER_BYTES} are read")
    shape, fortran, dtype = reader(io.BytesIO(said + file.read(length)))
    return shape, fortran, dtype, len(start) + width + length


def _fill(file: IO[bytes], room: NDArray[np.uint8], name: str) -> None:
    """Read exactly as many bytes as there is room for."""
    view, at = room.data, 0
    while at < len(room):
        done = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not done:
            raise ValueError(f"{names.shown(name)} is cut off")
        at += done
