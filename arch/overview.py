"""A program in a table: what every layer costs, by cause, and what binds it.

A chunk of a channel is issued while the one before it drains, so the longer of `issue` and `drain`
sets the pace: clocks of the issue for a chunk, of which `taps` are taps, and of the drain.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .clocks import BOUNDS, LayerClocks, RunClocks, layer_clocks
from .columns import columns
from .cost import Shape
from .estimate import drain_clocks, estimate
from .isa import Run
from .moved import kept, moved
from .program import Layer, Program

MOVES = ("layer", "makes", "bands", "bytes loaded", "bytes stored", "clocks without RUN")

CAUSES = tuple(dict.fromkeys(BOUNDS.values()))
HEAD = ("layer", "RUNs", "channels", "chunks", "taps", "issue", "drain", "clocks",
        *(f"by {cause}" for cause in CAUSES), "bound")

EMPTY = "\n\n"
MEANING = ("taps, issue and drain: of a chunk of a channel, in clocks, the mean; the longer of "
           "issue and drain sets the pace")


def overview(program: Program) -> str:
    """A line a layer, with clocks as `estimate` tells them, what they mean, and the whole."""
    found = estimate(program)
    by_index = {run.instruction: run for run in found.runs}
    clocks = layer_clocks(program, found)
    rows = [_row(program, layer, clocks[number], [by_index[index] for index in layer.runs])
            for number, layer in enumerate(program.layers)]
    moves = outside(program, clocks)
    return (f"{columns(HEAD, rows)}\n\n{MEANING}\n\n{moves}{moves and EMPTY}"
            f"{len(program.instructions):,} instructions, {len(program.streams):,} bytes of "
            f"streams, {len(program.tables):,} of tables; about {found.cycles:,} cycles a batch "
            f"of {program.batch}")


def outside(program: Program, clocks: dict[int, LayerClocks] | None = None) -> str:
    """A line a layer that moves data, where tensors are kept outside; else nothing. clocks: of the
    layers, if they are known."""
    homes = [tensor for tensor in program.tensors if tensor.home]
    if not homes:
        return ""
    clocks = clocks or layer_clocks(program, estimate(program))
    rows = []
    for number, (layer, moves) in enumerate(zip(program.layers, moved(program), strict=True)):
        if moves.loaded or moves.stored:
            rows.append((layer.name, kept(program.tensors[layer.output]), moves.bands,
                         moves.loaded, moves.stored, clocks[number].waiting))
    return (f"{columns(MOVES, rows)}\n\n{len(homes)} of {len(program.tensors)} tensors are kept "
            "outside; the others stay on chip as long as they are read")


def _row(program: Program, layer: Layer, clocks: LayerClocks, runs: list[RunClocks]
         ) -> tuple[object, ...]:
    """taps, issue and drain are means over all chunks of all channels."""
    passes, drained = 0, 0.0
    for index in layer.runs:
        run = program.instructions[index]
        assert isinstance(run, Run)
        chunks = run.channels * Shape.of(run).chunks(program.config.lanes)
        passes += chunks
        drained += chunks * float(np.mean(drain_clocks(program.config, run)))
    taps = sum(run.taps + run.null_taps for run in runs)
    issued = taps + sum(run.multiplier for run in runs)
    shares = dataclasses.asdict(clocks)
    return (layer.name, len(layer.runs), program.tensors[layer.output].kind.channels,
            passes, *(round(total / passes, 1) for total in (taps, issued, drained)),
            clocks.cycles, *(sum(shares[cause] for cause, bound in BOUNDS.items() if bound == name)
                             for name in CAUSES), clocks.bound)
