"""Figures of a run: cycles, taps and utilisation of every layer, cycles of every instruction."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..arch.engine import Result
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


def layers(program: Program, result: Result | None, bounds: dict[int, str] | None = None
           ) -> list[LayerFigures]:
    """Figures of every layer. bounds: what limits each layer, by layer number."""
    spans = layer_spans(program, result) if result is not None else {}
    return [_layer(program, number, layer, spans.get(number), (bounds or {}).get(number))
            for number, layer in enumerate(program.layers)]


def _layer(program: Program, number: int, layer: Layer, span: tuple[int, int] | None,
           bound: str | None) -> LayerFigures:
    taps = sum(issued_taps(program, run_of(program, index)) for index in layer.runs)
    if span is None:
        return LayerFigures(layer.name, None, taps, layer.macs, None, None, bound)
    cycles = span[1] - span[0]
    offered = cycles * program.config.lanes * program.config.cores
    return LayerFigures(layer.name, cycles, taps, layer.macs, taps / cycles if cycles else 0.0,
                        layer.macs / offered if cycles else 0.0, bound)


def layer_spans(program: Program, result: Result) -> dict[int, tuple[int, int]]:
    """First cycle and one past the last of every layer: from the end of the RUNs before to that of
    its own last RUN; the first layer's from the start of its first RUN."""
    spans = {}
    order = sorted(range(len(program.layers)), key=lambda n: max(program.layers[n].runs))
    at = int(result.starts[min(program.layers[order[0]].runs)]) if order else 0
    for number in order:
        end = max(at, int(result.ends[list(program.layers[number].runs)].max()) + 1)
        spans[number] = (at, end)
        at = end
    return spans


def phases(program: Program, result: Result) -> tuple[int, int, int]:
    """Cycles before the first layer (load), from the last layer to the last STORE's end (store),
    and from there to `done` (end): with the layers' cycles they add up to all cycles."""
    spans = layer_spans(program, result)
    first = min((start for start, _ in spans.values()), default=0)
    last = max((end for _, end in spans.values()), default=0)
    stores = [int(result.ends[i]) + 1 for i, ins in enumerate(program.instructions)
              if isinstance(ins, Store)]
    stored = max([last, *stores])
    return first, stored - last, result.cycles - stored


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


def issued_taps(program: Program, run: Run) -> int:
    """Taps that a RUN issues: those of all its channels, for every chunk of P positions."""
    at = run.stream * UNIT_BYTES - program.stream_base
    data = np.frombuffer(program.streams, np.uint8, run.stream_units * UNIT_BYTES, at)
    return len(parse(data, run.channels, "stream").position) * chunks(run, program.config.lanes)


def chunks(run: Run, lanes: int) -> int:
    """Chunks of P raster positions that cover a RUN's rectangle.

    >>> row = dict.fromkeys(("stream_units", "channels", "digits", "split", "images"), 1)
    >>> rest = {f.name: 0 for f in Run.FIELDS} | row | {"pitch": 10, "image_rows": 4}
    >>> chunks(Run(**rest | {"height": 3, "width": 8}), 4)
    6
    """
    n, y, x = (np.arange(count) for count in (run.images, run.height, run.width))
    raster = ((n[:, None, None] * run.image_rows + y[:, None]) * run.pitch + x).ravel()
    count = at = 0
    while at < len(raster):
        at = int(np.searchsorted(raster, raster[at] + lanes))
        count += 1
    return count
