"""`kcnn compile`: a trained network to a binary."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import api
from ..api import truth
from ..api.names import Names
from ..arch.errors import KcnnError
from ..arch.overview import outside
from ..arch.preprocess import OTHER, Affine
from ..compiler import dump as forms
from ..compiler.stages import Stage
from ..engines import figures
from . import options, report
from .outputs import Outputs, write_bytes, write_json


def compile(
    model: options.Model,
    config: Annotated[str, typer.Option(
        metavar="CONFIG", show_default=False,
        help="The machine: a preset (kcnn configs) or a TOML file.")],
    calibration: Annotated[Path | None, typer.Option(
        metavar="X.npz", show_default=False,
        help="Typical images: array x, or the only one, float32 (N, C, H, W); where the model has "
             "a preprocess, what that takes, float32 or uint8. Needed from equalise on.")] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="NET.kbin", show_default=False,
        help="The binary to write; needed where no stage is the last.")] = None,
    batch: Annotated[int, typer.Option(
        min=1, metavar="N", help="Images that the machine computes at once.")] = 1,
    clusters: Annotated[int, typer.Option(
        min=1, metavar="K", help="Magnitudes that the weights of a layer are clustered to.")] = 16,
    strip: Annotated[bool, typer.Option(
        "--strip", help="Leave out the layer table, which only the reference needs.")] = False,
    equalise: Annotated[bool, typer.Option(
        "--equalise/--no-equalise", help="Scale channels of unequal range where the layers around "
        "can undo it and clustering then loses less.")] = True,
    explain: Annotated[bool, typer.Option(
        "--explain", help="Print what every step costs each tensor, on the images held back, as "
        "SQNR in dB: weights clustered, activations clustered, integers; and bands and bytes moved "
        "where tensors do not fit on chip.")] = False,
    preprocessed: options.Preprocessed = False,
    min_sqnr: Annotated[float, typer.Option(
        "--min-sqnr", metavar="DB", help="Warn if less is left of an output, in dB: of what varies "
        "from image to image, of all images together or of a typical one.")] = truth.LEAST,
    strict: Annotated[bool, typer.Option(
        "--strict", help="Exit with 1 where there is such a warning, after writing.")] = False,
    dump: Annotated[Path | None, typer.Option(
        "--dump", metavar="DIR", show_default=False,
        help="Write what every stage makes as text, a file each, 01-trace.txt and so on: short, "
        "weights summarised. After an error too, as far as it went.")] = None,
    stop_after: Annotated[Stage | None, typer.Option(
        "--stop-after", metavar="STAGE", show_default=False, help="End after this stage (a name of "
        "the list above), without a binary; prints what it made, unless --dump takes it.")] = None,
    trust: options.Trust = False,
    json: options.Json = None,
) -> None:
    """Compile a trained network for a machine.

    Weights and activations are clustered, layers lowered to clusters of taps, and everything that
    the machine does is fixed. The same inputs give the same bytes. Every fifth calibration image is
    held back: what the integers keep of the float network is told on these. Cycles are those of the
    cost model, within 2 % of those that kcnn run --engine tlm counts.

    \b
    What is left, in dB; every 6 dB halve the error:
    varying       of what differs from image to image, of all images together
    typical       the same of one image, the median
    SQNR          of the values as they are
    same largest  images whose largest element is that of the float network

    \b
    kcnn compile examples/digits/model.py:network --calibration X.npz --config tiny -o NET.kbin
    """
    if math.isnan(min_sqnr):
        raise KcnnError("--min-sqnr: give a number of dB")
    if stop_after is not None:
        _refuse_beside(stop_after, {"-o": output, "--json": json, "--strip": strip,
                                    "--explain": explain, "--strict": strict})
        _show_stages(stop_after, dump, model, calibration, config, batch=batch, clusters=clusters,
                     equalise=equalise, preprocessed=preprocessed, trust=trust)
        return
    if calibration is None or output is None:
        missing = "--calibration" if calibration is None else "-o"
        raise KcnnError(f"{missing}: is needed for a binary; give it, or end before there is one, "
                        "with --stop-after")
    with Outputs(model, calibration, config) as outputs:
        place = outputs.file(output)
        figures_place = None if json is None else outputs.file(json)
        watch = _dumping(outputs, dump)
        with report.progress(f"compiling {model}") as tell:
            net = api.compile(
                model, calibration, config, batch=batch, clusters=clusters, equalise=equalise,
                preprocessed=preprocessed, trust=trust, min_sqnr=None,
                names=Names(str(output), shell=True), progress=tell, watch=watch)
            net.save(place, strip)
            losses = net.explain() if explain else None
            values = _to_json(net, place.stat().st_size, losses)
        if figures_place is not None:
            write_json(figures_place, values)
        _show(net, output, values, losses)
    if _poor(net, min_sqnr) and strict:
        raise typer.Exit(1)


compile.__doc__ = f"""{compile.__doc__}
    \b
    Stages, and what they make:
    """ + "\n    ".join(f"{stage:12}  {stage.makes}" for stage in Stage)


# ---- stages ------------------------------------------------------------------------------------
def _refuse_beside(last: Stage, options: dict[str, object]) -> None:
    """Refuse options that need a binary beside --stop-after."""
    given = [name for name, value in options.items() if value]
    if given:
        raise KcnnError(f"--stop-after {last}: no binary is made, so leave out {', '.join(given)}")


def _show_stages(last: Stage, dump: Path | None, model: str, calibration: Path | None, config: str,
                 **more: Any) -> None:
    """Run the stages until the last one; what they make goes into the dump, or the last form to
    standard output."""
    if calibration is None and last.calibrated:
        raise KcnnError(f"--stop-after {last}: needs calibration images; give --calibration, or "
                        f"end before {Stage.EQUALISE}")
    with Outputs(model, calibration, config) as outputs:
        watch = _dumping(outputs, dump)
        with report.progress(f"compiling {model}") as tell:
            for stage, form in api.stages(model, calibration, config, progress=tell, **more):
                watch(stage, form)
                if stage == last:
                    break
        if dump is None:
            report.say(forms.text(form).rstrip())


def _dumping(outputs: Outputs, dump: Path | None) -> Callable[[Stage, Any], None]:
    """What writes the text of a form into the dump, if there shall be one."""
    if dump is None:
        return lambda stage, form: None
    folder = outputs.folder(dump, keep=True, former=[stage.file for stage in Stage])
    return lambda stage, form: write_bytes(folder / stage.file, forms.text(form).encode())


# ---- what is told ------------------------------------------------------------------------------
def _to_json(net: api.CompiledNet, size: int, losses: api.Explanation | None) -> dict[str, Any]:
    program = net.program
    return {
        "config": program.config.name, "bytes": size,
        "estimated_cycles": net.estimated_cycles,
        "float32_bytes": program.meta.float32_bytes,
        "instructions": len(program.instructions), "layers": len(program.layers),
        "fidelity": net.fidelity, "sqnr": [] if losses is None else losses.to_json()}


def _show(net: api.CompiledNet, output: Path, values: dict[str, Any],
          losses: api.Explanation | None) -> None:
    layers = values["layers"]
    report.say(f"{output}: {values['bytes']:,} bytes, of which the machine reads "
               f"{figures.machine_bytes(net.program):,}; {layers} layer{'s' * (layers > 1)}, "
               f"{values['instructions']} instructions for {values['config']}")
    report.say(f"about {figures.speed(values['estimated_cycles'], net.program.batch)}")
    moves = outside(net.program) if losses else ""
    if moves:
        report.say(moves)
    report.show([] if losses is None else losses.parts())
    report.show(_kept(net.kept))


def _poor(net: api.CompiledNet, min_sqnr: float) -> bool:
    """Tell what is left of the float network, and warn if that is too little. Is it?"""
    poor = net.warnings(min_sqnr)
    report.show(truth.parts(net.measured.to_json()))
    for sentence in poor:
        report.warn(sentence)
    return bool(poor)


def _kept(kept: Affine | str | None) -> list[str]:
    """What the binary holds of the model's preprocess."""
    if isinstance(kept, Affine):
        return [f"the binary holds the model's preprocess, {kept}",
                "so run, cosim and accuracy take what it takes, as the calibration file has it"]
    if kept == OTHER:
        return ["the model's preprocess is not one factor and offset a channel, so the binary does "
                "not hold it: run, cosim and accuracy take data after it, with --preprocessed"]
    return []
