"""`kcnn cosim`: the same binary and inputs on several engines, compared bit by bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from ..arch import kbin
from ..arch.errors import KcnnError
from ..arch.program import Program
from ..engines import compare
from ..engines import execute as engines
from . import failing, golden, inputs, io, options, report
from .golden import Fidelity
from .outputs import Outputs, write_json
from .run import joined
from .verdict import Verdict, judge


def cosim(
    net: options.Binary,
    images: options.Input,
    names: Annotated[str, typer.Option(
        "--engines", metavar="LIST",
        help="Engines to compare: with the reference, else with the first."
    )] = ",".join(engines.ENGINES),
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
    wanted = [name.strip() for name in names.split(",")]
    engines.check_names(wanted)
    if len(set(wanted)) != len(wanted):
        raise KcnnError("--engines: an engine is named twice; name each one once")
    if min_sqnr is not None and (model is None or math.isnan(min_sqnr)):
        raise KcnnError("--min-sqnr: give a number of dB, and the float network with --golden")
    program = kbin.read(net)
    engines.check_config(program, config)
    arrays = inputs.read(images, program, net, preprocessed,
                         lambda: golden.preprocess(model, trust))
    with Outputs(net, images, model, config) as outputs:
        folder = None if shrink is None else outputs.folder(shrink)
        place = None if json is None else outputs.file(json)
        network = None if model is None else golden.load(model, program, trust)
        memory = engines.memory_model(program, memory_seed)
        verdict = judge(program, arrays, wanted, memory)
        fidelities = []
        if network is not None and all(verdict.outcomes):
            fidelities = golden.fidelity(program, network, arrays, verdict.outcomes)
        show(program, verdict, fidelities)
        limits = inputs.warn_outputs(program, list(_outputs(program, verdict, arrays).values()))
        if folder is not None and not verdict.equal:
            for line in failing.write(folder, program, verdict, memory):
                report.say(line)
        if place is not None:
            write_json(place, to_json(program, verdict, fidelities) | {
                "inputs_cut": inputs.cut(program, arrays), "outputs_at_limit": limits})
    least = min((row.sqnr for row in fidelities), default=math.inf)
    if min_sqnr is not None and least < min_sqnr:
        report.say(f"a tensor has {least:.1f} dB, less than {min_sqnr} dB")
    if not verdict.equal or (min_sqnr is not None and least < min_sqnr):
        raise typer.Exit(1)


def show(program: Program, verdict: Verdict, fidelities: Sequence[Fidelity]) -> None:
    """Print the table of tensors, the cycles, and what differs."""
    sqnr = {row.tensor: row for row in fidelities}
    others = verdict.names[1:]
    wrong = {(d.tensor, d.engine): d.differing for d in verdict.differences}
    columns = ["tensor", "elements", *others, *(["SQNR", "largest error"] if sqnr else [])]
    rows: list[Sequence[object]] = []
    for tensor in compare.tensor_order(program):
        row = sqnr.get(tensor)
        marks = [_mark(verdict, wrong.get((tensor, name), 0), name) for name in others]
        extra = [report.decibel(row.sqnr), f"{row.largest_error:.4g}"] if row else []
        rows.append((program.tensors[tensor].name, _elements(program, tensor), *marks, *extra))
    rows.append(("cycles", None, *(verdict.cycles.get(name) for name in others)))
    batches = len(verdict.outcomes)
    report.table(f"compared with {verdict.names[0]}, {batches} batch{'es' * (batches > 1)} of "
                 f"{program.batch}", columns, rows)
    if fidelities:
        report.say(golden.agreement_line(fidelities))
    for finding in (*verdict.failures.values(), *verdict.differences[:1], *verdict.mistimings):
        report.say(str(finding))
    if verdict.equal:
        report.say(_equal(program, verdict))


def _outputs(program: Program, verdict: Verdict, arrays: Sequence[io.Floats]
             ) -> dict[str, NDArray]:
    """What the first engine made of the images, by name of output; nothing if none came to an end.
    """
    first = [next(iter(batch.values())) for batch in verdict.outcomes if batch]
    count = min(len(arrays[0]), len(first) * program.batch)
    return joined(program, first, count, False) if first else {}


def _equal(program: Program, verdict: Verdict) -> str:
    if len(verdict.names) == 1:
        return f"only {verdict.names[0]} was run; name a second engine to compare it with"
    stamps = "" if len(verdict.cycles) < 2 else (
        f", all {len(program.instructions)} instructions start and end in the same cycles")
    return f"equal: every tensor on {len(verdict.names)} engines{stamps}"


def _mark(verdict: Verdict, differing: int, name: str) -> str | None:
    if name in verdict.failures:
        return None
    return f"{differing} differ" if differing else "equal"


def _elements(program: Program, tensor: int) -> int:
    layout = program.tensors[tensor].layout
    return layout.planes * math.prod(layout.shape)


def to_json(program: Program, verdict: Verdict, fidelities: Sequence[Fidelity]) -> dict[str, Any]:
    """What `--json` holds."""
    sqnr = {row.tensor: row for row in fidelities}
    tensors = []
    for tensor in compare.tensor_order(program):
        entry: dict[str, Any] = {"name": program.tensors[tensor].name,
                                 "elements": _elements(program, tensor)}
        entry["differing"] = {d.engine: d.differing for d in verdict.differences
                              if d.tensor == tensor}
        if tensor in sqnr:
            entry |= sqnr[tensor].to_json()
        tensors.append(entry)
    return {
        "equal": verdict.equal, "cycles": verdict.cycles, "tensors": tensors,
        "engines": verdict.names,
        "failures": verdict.failures,
        "differences": [dataclasses.asdict(d) for d in verdict.differences],
        "mistimings": [dataclasses.asdict(m) for m in verdict.mistimings],
        "top1_agreement": fidelities[-1].agreement if fidelities else None,
    }
