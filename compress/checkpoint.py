"""Checkpoints: files that are either whole or not there."""

from __future__ import annotations

import io
import os
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..compiler.errors import first_line
from .errors import CompressError

KIND = b"kcnn checkpoint "
MAGIC = KIND + b"2\n"
CRC_BYTES = 4            # little-endian, of all that follows


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Keep tensors and plain values; an interrupt leaves the file as it was before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    body = io.BytesIO()
    torch.save(dict(state), body)
    try:
        with partial.open("wb") as file:
            file.write(MAGIC + zlib.crc32(body.getbuffer()).to_bytes(CRC_BYTES, "little"))
            file.write(body.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """What `write` kept. Raises CompressError for anything else."""
    try:
        return torch.load(io.BytesIO(_body(path.read_bytes())), weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CompressError(f"{path}: no checkpoint of this kcnn ({first_line(error)}); remove "
                            f"{path.parent} to begin again") from None


def resume(path: Path, restore: Callable[[Mapping[str, Any]], None]) -> None:
    """Let `restore` take what `write` kept. Raises CompressError, also where something is missing
    or of another kind: an older kcnn kept other things."""
    state = read(path)
    try:
        restore(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CompressError(f"{path}: of another version of kcnn, or of another network "
                            f"({type(error).__name__}: {first_line(error)}); remove {path.parent} "
                            "to begin again") from None


def _body(data: bytes) -> bytes:
    start = len(MAGIC) + CRC_BYTES
    if not data.startswith(MAGIC):
        raise ValueError("it is of another version" if data.startswith(KIND)
                         else "it begins differently")
    if zlib.crc32(data[start:]) != int.from_bytes(data[len(MAGIC):start], "little"):
        raise ValueError("it is damaged")
    return data[start:]
