"""Where the clocks of RUNs and layers go, by cause: as the TLM measures or `estimate` tells it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .program import Program

# what a cause says about the layer, where it is the largest
BOUNDS = {"taps": "taps", "null_taps": "taps", "multiplier": "multiplier", "gate": "drain",
          "stream": "stream", "setup": "latency", "tail": "latency", "waiting": "memory"}


@dataclasses.dataclass(frozen=True)
class RunClocks:
    """The clocks of one RUN, from its start to its end stamp; the causes add up to `cycles`."""

    instruction: int      # index in the program
    taps: int             # taps issued
    null_taps: int        # null slots of channels without taps
    setup: int            # before the first tap could issue at all
    stream: int           # waiting for taps in the cache
    multiplier: int       # clusters shorter than M
    gate: int             # TB chunks not yet drained
    tail: int             # from the last issue to the last write

    @property
    def cycles(self) -> int:
        """Clocks from start to end stamp."""
        return (self.taps + self.null_taps + self.setup + self.stream + self.multiplier
                + self.gate + self.tail)


@dataclasses.dataclass(frozen=True)
class LayerClocks:
    """The cycles of a layer by cause; they add up to them.

    taps, null_taps, setup, stream, multiplier, gate, tail: those of its RUNs.
    waiting: between RUNs, for instructions, tokens and FILLs.
    """

    taps: int
    null_taps: int
    setup: int
    stream: int
    multiplier: int
    gate: int
    tail: int
    waiting: int

    @property
    def cycles(self) -> int:
        """The sum."""
        return sum(dataclasses.astuple(self))

    @property
    def bound(self) -> str:
        """The cause of most cycles."""
        causes = dataclasses.asdict(self)
        return BOUNDS[max(causes, key=lambda cause: causes[cause])]


class Timed(Protocol):
    """When each instruction of a program was taken and done (-1 for END), and `done`."""

    @property
    def cycles(self) -> int: ...
    @property
    def starts(self) -> NDArray[np.int64]: ...
    @property
    def ends(self) -> NDArray[np.int64]: ...


class Explained(Timed, Protocol):
    """... and where the clocks of its RUNs went."""

    @property
    def runs(self) -> tuple[RunClocks, ...]: ...


def run_spans(program: Program, times: Timed) -> dict[int, tuple[int, int]]:
    """First cycle and one past the last of every RUN of a layer, by instruction: from the end of
    the one before; the first one's from its start."""
    runs = sorted(index for layer in program.layers for index in layer.runs)
    spans, at = {}, int(times.starts[runs[0]]) if runs else 0
    for index in runs:
        end = max(at, int(times.ends[index]) + 1)
        spans[index] = (at, end)
        at = end
    return spans


def layer_cycles(program: Program, times: Timed) -> dict[int, int]:
    """Cycles of every layer, by number: of its RUNs, and from the end of the RUN before to each."""
    spans = run_spans(program, times)
    return {number: sum(spans[index][1] - spans[index][0] for index in layer.runs)
            for number, layer in enumerate(program.layers)}


def layer_clocks(program: Program, times: Explained) -> dict[int, LayerClocks]:
    """The clocks of every layer, by layer number."""
    by_index = {run.instruction: run for run in times.runs}
    names = [field.name for field in dataclasses.fields(LayerClocks)][:-1]
    out = {}
    for number, cycles in layer_cycles(program, times).items():
        runs = [by_index[index] for index in program.layers[number].runs]
        sums = {name: sum(getattr(run, name) for run in runs) for name in names}
        out[number] = LayerClocks(**sums, waiting=cycles - sum(sums.values()))
    return out
