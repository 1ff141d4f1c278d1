"""`kcnn compile`: a trained network to a binary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arch import kbin
from ..arch.config import Config
from . import io, report
from .outputs import Outputs


def compile(
    model: Annotated[str, typer.Argument(
        metavar="MODEL", show_default=False,
        help="A .pt2 file (torch.export.save), or module:function or file.py:function; the "
             "function returns (nn.Module, example inputs[, preprocess]).")],
    calibration: Annotated[Path, typer.Option(
        metavar="X.npz", show_default=False,
        help="Typical images: array x, or the only one, float32 (N, C, H, W); what preprocess "
             "takes, where the model has one.")],
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
) -> None:
    """Compile a trained network for a machine.

    Weights and activations are clustered, layers lowered to runs of taps, and everything that the
    machine does is fixed. The same inputs give the same bytes.

    \b
    kcnn compile examples/digits/model.py:network --calibration X.npz --config tiny -o NET.kbin
    """
    machine = Config.load(config)
    images = io.read_images(calibration)
    with Outputs() as outputs:
        place = outputs.file(output)
        from ..compiler import pipeline
        from ..compiler.model import load_model
        with report.progress(f"compiling {model}"):
            program = pipeline.compile(load_model(model), images, machine, batch=batch,
                                       clusters=clusters)
            place.write_bytes(kbin.save(program, strip))
        size = place.stat().st_size
    report.say(f"{output}: {size:,} bytes, {len(program.layers)} layers, "
               f"{len(program.instructions)} instructions for {machine.name}")
