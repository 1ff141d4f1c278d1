"""Arrays to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arch import scratch


def write_arrays(path: Path, arrays: Mapping[str, NDArray], several: bool) -> None:
    """One array as `.npy`, several as `.npz`, whatever the path's name ends with."""
    with scratch.named(path), path.open("wb") as file:
        if several:
            np.savez(file, allow_pickle=False, **dict(arrays))
        else:
            (array,) = arrays.values()
            np.save(file, array)
