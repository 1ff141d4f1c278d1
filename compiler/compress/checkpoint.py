"""Checkpoints: files that are either whole or not there."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import CompressError

MAGIC = b"kcnn checkpoint 1\n"

def write(path: Path, state: Mapping[str, Any]) -> None:
    """Keep tensors and plain values; an interrupt leaves the file as it was before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(MAGIC)
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """What `write` kept. Raises CompressError for anything else."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError("it begins differently")
            return torch.load(io.BytesIO(file.read()), weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        said = str(error).partition("\n")[0] or "cut off"
        raise CompressError(f"{path}: no checkpoint of kcnn ({said}); remove it") from None
