"""`kcnn compile`: a trained network to a binary."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..arch import host, kbin, reference
from ..arch.config import Config
from ..arch.errors import KcnnError
from ..arch.estimate import estimate
from ..engines import figures
from . import inputs, io, options, report, truth
from .outputs import Outputs, write_bytes, write_json

if TYPE_CHECKING:
    from ..compiler.pipeline import Compiled
    from ..compiler.quantise.emulate import Loss

EXPLAINED_IMAGES = 64


def compile(
    model: options.Model,
    calibration: Annotated[Path, typer.Option(
        metavar="X.npz", show_default=False,
        help="Typical images: array x, or the only one, float32 (N, C, H, W); where the model has "
             "a preprocess, what that takes, float32 or uint8.")],
    config: Annotated[str, typer.Option(
        metavar="CONFIG", show_default=False,
        help="The machine: a preset (kcnn configs) or a TOML file.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="NET.kbin", show_default=False, help="The binary to write.")],
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
        "SQNR in dB: weights clustered, activations clustered, integers.")] = False,
    preprocessed: options.Preprocessed = False,
    min_sqnr: Annotated[float, typer.Option(
        "--min-sqnr", metavar="DB", help="Warn if less is left of an output, in dB: of what varies "
        "from image to image, of all images together or of a typical one.")] = truth.LEAST,
    strict: Annotated[bool, typer.Option(
        "--strict", help="Exit with 1 where there is such a warning, after writing.")] = False,
    trust: options.Trust = False,
    json: options.Json = None,
) -> None:
    """Compile a trained network for a machine.

    Weights and activations are clustered, layers lowered to runs of taps, and everything that the
    machine does is fixed. The same inputs give the same bytes. Every fifth calibration image is
    held back: what the integers keep of the float network is told on these. Cycles are those of the
    cost model, within 2 % for networks: kcnn run --engine tlm counts them.

    \b
    What is left, in dB; every 6 dB halve the error:
    varying       of what differs from image to image, of all images together
    typical       the same of one image, the median
    SQNR          of the values as they are
    same largest  images whose largest element is that of the float network

    \b
    kcnn compile examples/digits/model.py:network --calibration X.npz --config tiny -o NET.kbin
    """
    machine = Config.load(config)
    images = io.read_images(calibration, raw=True)
    if images.min() == images.max():
        raise KcnnError(f"{calibration}: all values are {images.min()}; give typical images, for "
                        "the codebooks of all tensors are made from what they show")
    if math.isnan(min_sqnr):
        raise KcnnError("--min-sqnr: give a number of dB")
    with Outputs(model, calibration, config) as outputs:
        place = outputs.file(output)
        figures_place = None if json is None else outputs.file(json)
        with report.progress(f"compiling {model}") as tell:
            from ..compiler import fidelity, pipeline
            from ..compiler.frontend.model import load_model
            network = load_model(model, trust)
            images, kept = inputs.taken(network, images, model, calibration, preprocessed)
            calibrated, held_back = fidelity.held(images)
            compiled = pipeline.compile(network.module, network.example_inputs, calibrated,
                                        machine, batch, clusters, Path(model).name, progress=tell,
                                        equalise=equalise, held_back=held_back)
            tell("measuring")
            measured = fidelity.measure(compiled, calibrated, held_back)
            compiled = fidelity.noted(inputs.remember(compiled, images, kept), measured)
            write_bytes(place, kbin.save(compiled.program, strip))
            losses = _losses(compiled, held_back if len(held_back) else images) if explain else []
            cycles = estimate(compiled.program).cycles
        size = place.stat().st_size
        if figures_place is not None:
            write_json(figures_place, _to_json(compiled, size, cycles, losses))
        _show(compiled, output, size, cycles, losses)
        for line in inputs.describe(kept):
            report.say(line)
    poor = truth.warning(measured, min_sqnr)
    truth.show(measured.to_json())
    for sentence in [poor, *map(str, compiled.equalised.uneven)] if poor else []:
        report.warn(sentence)
    if poor and strict:
        raise typer.Exit(1)


def _losses(compiled: Compiled, images: io.Floats) -> list[Loss]:
    """Every step's loss, on the first of the images."""
    from ..compiler.quantise import emulate
    program = compiled.program
    images = images[:EXPLAINED_IMAGES]
    (port,) = program.inputs
    parts = [reference.run(program, [host.encode(batch, program.tensors[port.tensor],
                                                 program.config)])
             for (batch,) in io.batches([images], program.batch)]
    integer = {node: np.concatenate([
        host.decode(part[tensor], program.tensors[tensor], program.config)
        for part in parts])[:len(images)].astype(np.float64)
        for node, tensor in compiled.tensors.items()}
    return emulate.explain(compiled.quantised, images.astype(np.float64), integer)


def _to_json(compiled: Compiled, size: int, cycles: int, losses: list[Loss]) -> dict[str, Any]:
    program = compiled.program
    return {
        "config": program.config.name, "bytes": size, "estimated_cycles": cycles,
        "float32_bytes": program.meta.float32_bytes,
        "instructions": len(program.instructions), "layers": len(program.layers),
        "fidelity": program.meta.fidelity,
        "sqnr": [{"name": loss.name, "weights": _finite(loss.weights),
                  "activations": _finite(loss.activations), "integer": _finite(loss.integer),
                  "fixed_point": _finite(loss.fixed_point)} for loss in losses]}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _show(compiled: Compiled, output: Path, size: int, cycles: int, losses: list[Loss]) -> None:
    program = compiled.program
    layers = len(program.layers)
    report.say(f"{output}: {size:,} bytes, of which the machine reads "
               f"{figures.machine_bytes(program):,}; {layers} layer{'s' * (layers > 1)}, "
               f"{len(program.instructions)} instructions for {program.config.name}")
    report.say(f"about {figures.speed(cycles, program.batch)}")
    if losses:
        report.table(
            "SQNR against the float network, dB; the last column: integers against the rounded "
            "network", ("tensor", "clustered weights", "and activations", "integers",
                        "fixed point alone"),
            ((loss.name, *(report.decibel(value) for value in (
                loss.weights, loss.activations, loss.integer, loss.fixed_point)))
             for loss in losses))
