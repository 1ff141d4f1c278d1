"""`kcnn run`: execute a compiled network on one engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import api
from ..engines import figures
from . import io, options, report
from .outputs import Outputs, write_json


def run(
    net: options.Binary,
    images: options.Input,
    engine: Annotated[str, typer.Option(
        metavar="ENGINE", show_default=False,
        help=f"What executes it: {', '.join(api.ENGINES)}.")],
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
    program = api.load(net, config, shell=True)
    with Outputs(net, images, config) as outputs:
        wave = None if vcd is None else outputs.file(vcd)
        place = None if output is None else outputs.file(output)
        figures_place = None if json is None else outputs.file(json)
        with report.progress("running") as tell:
            found = program.execute(images, engine, preprocessed=preprocessed, vcd=wave,
                                    memory_seed=memory_seed, clock=clock, progress=tell)
        timed = found.instructions() if verbose else None
        report.show([] if timed is None else [timed])
        report.show(found.parts())
        if place is not None:
            written = found.outputs(raw)
            io.write_arrays(place, written, len(written) > 1)
        if figures_place is not None:
            write_json(figures_place, found.to_json())
