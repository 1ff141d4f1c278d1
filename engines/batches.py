"""Real numbers of any number of images through an engine, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arch import host, reference
from ..arch.engine import MemoryModel
from ..arch.program import Program
from ..arch.threads import one_thread
from .execute import Ints, Outcome, execute

Floats = NDArray[np.float32]
Progress = Callable[[str], None]
TOGETHER = 100           # images between two words on the progress


def batches(arrays: Sequence[Floats], size: int) -> list[list[Floats]]:
    """Cut N images into batches of `size`, the last one filled up with zeros."""
    count = len(arrays[0])
    missing = -count % size
    padded = [np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)]) for a in arrays]
    return [[a[at:at + size] for a in padded] for at in range(0, count, size)]


def encode(program: Program, arrays: Sequence[Floats]) -> list[Ints]:
    """Codes of every input."""
    return [host.encode(array, program.tensors[port.tensor], program.config)
            for port, array in zip(program.inputs, arrays, strict=True)]


def run(program: Program, arrays: Sequence[Floats], engine: str, memory: MemoryModel,
        vcd: Path | None = None, progress: Progress = lambda step: None) -> list[Outcome]:
    """One outcome a batch, but fewer of the reference, which computes many images at once.

    vcd: waveforms of the first batch. progress: hears of every batch.
    """
    if engine == "reference":
        return together(program, arrays, progress)
    parts = batches(arrays, program.batch)
    outcomes = []
    for number, batch in enumerate(parts):
        progress(told(engine, number, len(parts)))
        outcomes.append(execute(engine, program, encode(program, batch), memory,
                                vcd if number == 0 else None))
    return outcomes


@one_thread()
def together(program: Program, arrays: Sequence[Floats], progress: Progress = lambda step: None
             ) -> list[Outcome]:
    """What the reference makes of any number of images: outputs alone, of TOGETHER images each.

    progress: hears how many images are done.
    """
    outcomes = []
    for at in range(0, len(arrays[0]), TOGETHER):
        progress(f"reference: {at:,} of {len(arrays[0]):,} images")
        codes = encode(program, [array[at:at + TOGETHER] for array in arrays])
        outcomes.append(Outcome("reference", {}, reference.outputs(program, codes)))
    return outcomes


def told(engine: str, number: int, count: int) -> str:
    """What progress hears of a batch, counted from 0."""
    return f"{engine}: batch {number + 1} of {count}"


def joined(program: Program, outcomes: Sequence[Outcome], count: int, raw: bool = False
           ) -> dict[str, NDArray]:
    """Every output of the first `count` images, by name; of the shape that torch gives it.

    raw: integers instead of real numbers.
    """
    dims = program.meta.output_dims
    convert = host.raw if raw else host.decode
    found: dict[str, NDArray] = {}
    for number, port in enumerate(program.outputs):
        tensor = program.tensors[port.tensor]
        parts = [convert(outcome.outputs[number], tensor, program.config) for outcome in outcomes]
        shape = tensor.kind.shape[1:dims.get(port.name, 4)]
        found[port.name] = np.concatenate(parts)[:count].reshape(count, *shape)
    return found
