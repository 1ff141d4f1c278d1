"""`kcnn cosim`: the same binary and inputs on several engines, compared bit by bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from .. import api
from ..arch.errors import KcnnError
from . import options, report
from .outputs import Outputs, write_json


def cosim(
    net: options.Binary,
    images: options.Input,
    names: Annotated[str, typer.Option(
        "--engines", metavar="LIST",
        help="Engines to compare: with the reference, else with the first."
    )] = ",".join(api.ENGINES),
    model: Annotated[str | None, typer.Option(
        "--golden", metavar="MODEL", show_default=False,
        help="The float network (as for compile): print how far every tensor is from its.")] = None,
    trust: options.Trust = False,
    min_sqnr: Annotated[float | None, typer.Option(
        "--min-sqnr", metavar="DB", show_default=False,
        help="With --golden: exit with 1 if a tensor has less.")] = None,
    shrink: Annotated[Path | None, typer.Option(
        metavar="DIR", show_default=False,
        help="On a difference: write the smallest layer that differs by itself into this folder, "
             "as a .kbin with its inputs, waveforms and the trace of the TLM.")] = None,
    preprocessed: options.Preprocessed = False,
    memory_seed: options.Seed = None,
    config: options.Machine = None,
    json: options.Json = None,
) -> None:
    """Compare engines, bit by bit and clock by clock.

    Every tensor must be equal bit by bit, every instruction must start and end in the same cycle on
    all engines that have cycles. Exits with 1 on a difference.

    \b
    kcnn cosim NET.kbin --input X.npy --engines reference,tlm,myhdl,verilator,icarus,ghdl
    """
    if min_sqnr is not None and (model is None or math.isnan(min_sqnr)):
        raise KcnnError("--min-sqnr: give a number of dB, and the float network with --golden")
    program = api.load(net, config, shell=True)
    with Outputs(net, images, model, config) as outputs:
        folder = None if shrink is None else outputs.folder(shrink)
        place = None if json is None else outputs.file(json)
        with report.progress("comparing") as tell:
            found = program.compare(
                images, [name.strip() for name in names.split(",")], golden=model,
                preprocessed=preprocessed, trust=trust, memory_seed=memory_seed, progress=tell)
        report.show(found.parts())
        if folder is not None and not found.equal:
            report.show(found.shrink(folder))
        if place is not None:
            write_json(place, found.to_json())
    poor = min_sqnr is not None and found.least_sqnr < min_sqnr
    if poor:
        report.say(f"a tensor has {found.least_sqnr:.1f} dB, less than {min_sqnr} dB")
    if poor or not found.equal:
        raise typer.Exit(1)
