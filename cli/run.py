"""`kcnn run`: execute a compiled network on one engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ..arch import host, kbin
from ..arch.clocks import LayerClocks, layer_clocks
from ..arch.engine import Result
from ..arch.errors import KcnnError
from ..arch.program import Program
from ..engines import execute as engines
from ..engines import figures
from ..engines.execute import Ints, Outcome
from . import inputs, io, options, report
from .outputs import Outputs, write_json


def run(
    net: options.Binary,
    images: options.Input,
    engine: Annotated[str, typer.Option(
        metavar="ENGINE", show_default=False,
        help=f"What executes it: {', '.join(engines.ENGINES)}.")],
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="Y.npy", show_default=False,
        help="Where the outputs go: float32; if there are several an .npz file of output_0, "
             "output_1, ..., in the order in which the network returns them.")] = None,
    preprocessed: options.Preprocessed = False,
    raw: Annotated[bool, typer.Option(
        "--raw", help="Write the outputs' integers (int64) instead of real numbers.")] = False,
    vcd: Annotated[Path | None, typer.Option(
        metavar="FILE", show_default=False,
        help="Write the waveforms of the first batch (not for reference and tlm).")] = None,
    config: options.Machine = None,
    memory_seed: options.Seed = None,
    clock: Annotated[float, typer.Option(
        metavar="MHZ",
        help="Clock for which the time of a batch is told; which one a device reaches, only "
             "placing and routing can say.")] = figures.CLOCK,
    json: options.Json = None,
    verbose: Annotated[bool, typer.Option(
        "--verbose", "-v", help="Print the cycles of every instruction too.")] = False,
) -> None:
    """Execute a compiled network on one engine.

    The images run in batches of the binary's size, the last one filled up and cut off. A batch is
    loaded, computed and stored before the next begins. The figures printed are those of the first.

    \b
    issued taps  of all positions; each serves all lanes
    issue        issued taps a cycle
    useful       multiply-accumulates a lane and cycle, without those that were pruned
    bound        what most cycles of the layer went to

    \b
    Cycles by cause:
    taps        a tap issues             null_taps   a channel has no taps left
    setup       before the first tap     stream      taps are not there yet
    multiplier  a cluster has fewer taps than lanes share a multiplier
    gate        results are not drained yet
    tail        after the last tap       waiting     for instructions, tables, images

    \b
    kcnn run NET.kbin --input X.npy --engine tlm -o Y.npy
    """
    engines.check_names([engine])
    if not 0 < clock < math.inf:
        raise KcnnError(f"--clock: {clock:g} MHz is no clock; give a positive number")
    if vcd is not None and engine not in engines.RTL:
        raise KcnnError(f"--vcd: engine {engine} has no waveforms; use one of "
                        f"{', '.join(engines.RTL)}")
    program = kbin.read(net)
    engines.check_config(program, config)
    arrays = inputs.read(images, program, net, preprocessed)
    with Outputs(net, images, config) as outputs:
        wave = None if vcd is None else outputs.file(vcd)
        place = None if output is None else outputs.file(output)
        figures_place = None if json is None else outputs.file(json)
        outcomes = execute(program, arrays, engine, memory_seed, wave)
        clocks = {} if engine == "reference" else clocks_of(program, arrays, outcomes[0],
                                                            memory_seed)
        rows = figures.layers(program, outcomes[0].result,
                              {number: found.bound for number, found in clocks.items()})
        show(program, outcomes[0], rows, verbose)
        if outcomes[0].result is not None:
            report.say(figures.speed(outcomes[0].result.cycles, program.batch, clock))
        show_clocks(program, clocks)
        if place is not None:
            io.write_arrays(place, joined(program, outcomes, len(arrays[0]), raw),
                            len(program.outputs) > 1)
        real = joined(program, outcomes, len(arrays[0]), False)
        limits = inputs.warn_outputs(program, list(real.values()))
        if figures_place is not None:
            write_json(figures_place, {
                "cycles": outcomes[0].result.cycles if outcomes[0].result else None,
                "engine": engine, "inputs_cut": inputs.cut(program, arrays),
                "outputs_at_limit": limits, "layers": [row.to_json() for row in rows]})


def execute(program: Program, arrays: Sequence[io.Floats], engine: str, seed: int | None,
            vcd: Path | None = None) -> list[Outcome]:
    """One outcome a batch."""
    model = engines.memory_model(program, seed)
    batches = io.batches(arrays, program.batch)
    outcomes = []
    for number, batch in enumerate(batches):
        with report.progress(f"{engine}: batch {number + 1} of {len(batches)}"):
            outcomes.append(engines.execute(engine, program, encode(program, batch), model,
                                            vcd if number == 0 else None))
    return outcomes


def encode(program: Program, arrays: Sequence[io.Floats]) -> list[Ints]:
    """Codes of every input."""
    return [host.encode(array, program.tensors[port.tensor], program.config)
            for port, array in zip(program.inputs, arrays, strict=True)]


def joined(program: Program, outcomes: Sequence[Outcome], count: int, raw: bool
            ) -> dict[str, NDArray]:
    """Every output of the first `count` images, by name; of the shape that torch gives it."""
    dims = program.meta.output_dims
    convert = host.raw if raw else host.decode
    joined = {}
    for number, port in enumerate(program.outputs):
        tensor = program.tensors[port.tensor]
        parts = [convert(outcome.outputs[number], tensor, program.config) for outcome in outcomes]
        shape = program.tensors[port.tensor].layout.shape[1:dims.get(port.name, 4)]
        joined[port.name] = np.concatenate(parts)[:count].reshape(count, *shape)
    return joined


def clocks_of(program: Program, arrays: Sequence[io.Floats], outcome: Outcome, seed: int | None
              ) -> dict[int, LayerClocks]:
    """Where the clocks of the first batch went, by layer number; the TLM tells it for all."""
    from ..tlm.statistics import TlmResult
    if not isinstance(outcome.result, TlmResult):
        first = [array[:program.batch] for array in arrays]
        outcome = execute(program, first, "tlm", seed)[0]
    assert isinstance(outcome.result, TlmResult)
    return layer_clocks(program, outcome.result)


def show(program: Program, outcome: Outcome, rows: Sequence[figures.LayerFigures],
         verbose: bool) -> None:
    """Print the tables of one batch."""
    result = outcome.result
    if verbose and result is not None:
        show_instructions(program, result)
    cells: list[Sequence[object]] = [
        (row.name, row.cycles, row.taps, row.macs, report.percent(row.issue_utilisation),
         report.percent(row.useful_utilisation), row.bound) for row in rows]
    if result is not None:
        load, store, end = figures.phases(program, result)
        cells = [("(load)", load), *cells, ("(store)", store), ("(end)", end),
                 ("total", result.cycles, sum(row.taps for row in rows),
                  sum(row.macs for row in rows))]
    report.table(f"{outcome.engine}: one batch of {program.batch}",
                 ("layer", "cycles", "issued taps", "macs", "issue", "useful", "bound"), cells,
                 (0, 6))


def show_clocks(program: Program, clocks: dict[int, LayerClocks]) -> None:
    """Print where the cycles of every layer went."""
    if clocks:
        names = [field.name for field in dataclasses.fields(next(iter(clocks.values())))]
        report.table("cycles by cause", ("layer", *names, "sum"), (
            (program.layers[number].name, *dataclasses.astuple(found), found.cycles)
            for number, found in sorted(clocks.items())))


def show_instructions(program: Program, result: Result) -> None:
    """Print when every instruction was taken and done."""
    report.table("instructions", ("", "start", "end", "cycles", "instruction"), (
        (index, int(start), int(end), int(end - start) + 1, instruction)
        if instruction.UNIT is not None else (index, None, None, None, instruction)
        for index, (instruction, start, end) in enumerate(
            zip(program.instructions, result.starts, result.ends, strict=True))), (4,))
