"""The stages of the compiler, in order: what each is called and what it makes.

`pipeline.py` runs them; the names of progress, of options and of the files of a dump come from
here. Nothing is imported for it, so that the command line can tell its options at once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Work(str):
    """What progress is told within a stage: the layer at hand. done, of: how many layers of how
    many are behind it."""

    done: int
    of: int

    def __new__(cls, stage: str, layer: str, done: int, of: int) -> Work:
        """`stage: layer`."""
        work = str.__new__(cls, f"{stage}: {layer}")
        work.done, work.of = done, of
        return work


At = Callable[[str, int, int], None]        # layer, done, of


def nowhere(layer: str, done: int, of: int) -> None:
    """Nobody wants to know."""


class Stage(enum.StrEnum):
    """A stage, by name. makes: the form behind it."""

    makes: str

    def __new__(cls, name: str, makes: str) -> Stage:
        """An entry below."""
        stage = str.__new__(cls, name)
        stage._value_ = name
        stage.makes = makes
        return stage

    TRACE = "trace", "the traced graph: torch's operations as typed nodes with shapes"
    CANONICALISE = "canonicalise", "the canonical graph: batch norms folded, functions fused"
    EQUALISE = "equalise", "the graph with channels of unequal range scaled, where that gains"
    QUANTISE = "quantise", "codebooks of tensors from calibration, clustered weights"
    LOWER = "lower", "steps: layers as taps with real coefficients"
    SCALE = "scale", "integer layers: factors, scales, thresholds; sums proven to fit"
    SPLIT = "split", "the layers with phase planes of tensors, and copies"
    LAYOUTS = "layouts", "pitches, pads and strides of every tensor"
    TILE = "tile", "which tensors are kept outside, by lines or by planes"
    ALLOCATE = "allocate", "memory rows of every tensor while it lives; bands and their windows"
    SCHEDULE = "schedule", "the RUNs of each layer"
    PLAN = "plan", "every step in order: what it reads and writes, and which ones it waits for"
    ASSEMBLE = "assemble", "the program: instructions, streams, tables, and what the layers cost"

    @property
    def calibrated(self) -> bool:
        """It needs calibration images."""
        stages = list(Stage)
        return stages.index(self) >= stages.index(Stage.EQUALISE)

    @property
    def file(self) -> str:
        """The name of its file in a dump."""
        return f"{list(Stage).index(self) + 1:02}-{self}.txt"
