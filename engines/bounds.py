"""Where the clocks of each layer went, and what bounds it: from the transaction-level model."""

from __future__ import annotations

import dataclasses

from ..arch.program import Program
from ..tlm.statistics import TlmResult
from . import figures

# what a cause says about the layer, where it is the largest
BOUNDS = {"taps": "taps", "null_taps": "taps", "multiplier": "multiplier", "gate": "drain",
          "stream": "stream", "setup": "latency", "tail": "latency", "waiting": "memory"}


@dataclasses.dataclass(frozen=True)
class LayerClocks:
    """The cycles of a layer by cause; they add up to them.

    taps, null_taps, setup, stream, multiplier, gate, tail: those of its RUNs (tlm.statistics).
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
        return sum(dataclasses.astuple(self))

    @property
    def bound(self) -> str:
        """The cause of most cycles."""
        causes = dataclasses.asdict(self)
        return BOUNDS[max(causes, key=lambda cause: causes[cause])]


def layer_clocks(program: Program, result: TlmResult) -> dict[int, LayerClocks]:
    """The clocks of every layer, by layer number."""
    by_index = {run.instruction: run for run in result.runs}
    names = [field.name for field in dataclasses.fields(LayerClocks)][:-1]
    out = {}
    for number, (start, end) in figures.layer_spans(program, result).items():
        runs = [by_index[index] for index in program.layers[number].runs]
        sums = {name: sum(getattr(run, name) for run in runs) for name in names}
        out[number] = LayerClocks(**sums, waiting=end - start - sum(sums.values()))
    return out
