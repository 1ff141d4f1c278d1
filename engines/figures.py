"""Figures of a run: cycles, taps and utilisation of every layer, cycles of every instruction."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np

from ..arch.clocks import Timed, layer_cycles, run_spans
from ..arch.cost import Shape
from ..arch.isa import UNIT_BYTES, Run, Store
from ..arch.parse import parse
from ..arch.program import Layer, Program

CLOCK = 100.0      # MHz, where none is named


@dataclasses.dataclass(frozen=True)
class LayerFigures:
    """One layer, one batch. Figures that need cycles are None where there are none.

    taps: taps issued, each for P positions. macs: multiply-accumulates that pruning left.
    """

    name: str
    cycles: int | None
    taps: int
    macs: int
    issue_utilisation: float | None
    useful_utilisation: float | None
    bound: str | None

    def to_json(self) -> dict[str, Any]:
        """The fields, as `--json` names them."""
        return dataclasses.asdict(self)


def layers(program: Program, times: Timed | None, bounds: dict[int, str] | None = None
           ) -> list[LayerFigures]:
    """Figures of every layer. bounds: what limits each layer, by layer number."""
    cycles = layer_cycles(program, times) if times is not None else {}
    return [_layer(program, number, layer, cycles.get(number), (bounds or {}).get(number))
            for number, layer in enumerate(program.layers)]


def _layer(program: Program, number: int, layer: Layer, cycles: int | None, bound: str | None
           ) -> LayerFigures:
    taps = issued_taps(program, layer)
    if cycles is None:
        return LayerFigures(layer.name, None, taps, layer.macs, None, None, bound)
    offered = cycles * program.config.lanes * program.config.cores
    return LayerFigures(layer.name, cycles, taps, layer.macs, taps / cycles if cycles else 0.0,
                        layer.macs / offered if cycles else 0.0, bound)


def phases(program: Program, times: Timed) -> tuple[int, int, int]:
    """Cycles before the first layer (load), from the last layer to the last STORE's end (store),
    and from there to `done` (end): with the layers' cycles they add up to all cycles."""
    spans = run_spans(program, times)
    first = min((start for start, _ in spans.values()), default=0)
    last = max((end for _, end in spans.values()), default=0)
    stores = [int(times.ends[i]) + 1 for i, ins in enumerate(program.instructions)
              if isinstance(ins, Store)]
    stored = max([last, *stores])
    return first, stored - last, times.cycles - stored


def speed(cycles: int, batch: int, megahertz: float = CLOCK) -> str:
    """Cycles of a batch as time and images a second; batches do not overlap.

    >>> speed(50_000, 2, 100)
    '50,000 cycles a batch of 2: 0.5 ms and 4,000 images/s at 100 MHz'
    """
    seconds = cycles / (megahertz * 1e6)
    return (f"{cycles:,} cycles a batch of {batch}: {1e3 * seconds:.4g} ms and "
            f"{batch / seconds:,.0f} images/s at {megahertz:g} MHz")


def machine_bytes(program: Program) -> int:
    """What the machine reads of a binary: instructions, streams and tables."""
    return program.table_base + len(program.tables)


def run_of(program: Program, index: int) -> Run:
    """The RUN at an instruction index."""
    instruction = program.instructions[index]
    assert isinstance(instruction, Run)
    return instruction


def issued_taps(program: Program, layer: Layer) -> int:
    """Taps that a layer's RUNs issue: those of all their channels, for every chunk of P positions.
    """
    chunks: dict[tuple[int, int, int], int] = defaultdict(int)       # by stream
    for run in (run_of(program, index) for index in layer.runs):
        key = run.stream, run.stream_units, run.channels
        chunks[key] += Shape.of(run).chunks(program.config.lanes)
    return sum(_stream_taps(program, *key) * count for key, count in chunks.items())


def _stream_taps(program: Program, stream: int, units: int, channels: int) -> int:
    at = stream * UNIT_BYTES - program.stream_base
    data = np.frombuffer(program.streams, np.uint8, units * UNIT_BYTES, at)
    return len(parse(data, channels, "stream").position)
