"""`kcnn accuracy`: how many labelled images a compiled network recognises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import api
from . import options, report
from .outputs import Outputs, write_json


def accuracy(
    net: options.Binary,
    data: Annotated[Path, typer.Option(
        metavar="T.npz", show_default=False,
        help="Labelled images: x_test and y_test, or x and y, float32 (N, C, H, W) and class "
             "numbers; where the model that was compiled has a preprocess, what that takes, which "
             "the binary applies; or images and labels, uint8 pixels for it or that of --golden.")],
    model: Annotated[str | None, typer.Option(
        "--golden", metavar="MODEL", show_default=False,
        help="A float network (as for compile), the one compiled or what that was made from: print "
             "its accuracy beside.")] = None,
    preprocessed: options.Preprocessed = False,
    trust: options.Trust = False,
    config: options.Machine = None,
    json: options.Json = None,
) -> None:
    """Count the images that a compiled network recognises.

    The integer reference computes them, so what is counted holds for every engine and for the
    hardware.

    \b
    kcnn accuracy NET.kbin --data T.npz --golden NET.pt2
    """
    program = api.load(net, config, shell=True)
    with Outputs(net, data, model, config) as outputs:
        place = None if json is None else outputs.file(json)
        with report.progress("counting") as tell:
            found = program.accuracy(data, golden=model, preprocessed=preprocessed, trust=trust,
                                     progress=tell)
        report.show(found.parts())
        if place is not None:
            write_json(place, found.to_json())
