"""What a network takes, of what the user gives: one rule for all verbs (docs/data.md).

Data are what the preprocess of the model takes that a binary was compiled from, if it has one; with
--preprocessed they are as the network itself takes them. A binary keeps a preprocess that is plain
arithmetic; where it is not, run, cosim and accuracy ask for one or the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arch import host, likeness, preprocess
from ..arch.errors import KcnnError
from ..arch.likeness import Likeness
from ..arch.preprocess import OTHER, Affine
from ..arch.program import Program
from . import io, report

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model
    from ..compiler.frontend.preprocess import Preprocess
    from ..compiler.pipeline import Compiled

Take = Callable[[NDArray[Any]], NDArray[Any]]


# ---- compiling -------------------------------------------------------------------------------
def taken(network: Model, images: NDArray[Any], spec: str, where: Path, preprocessed: bool
          ) -> tuple[io.Floats, Affine | str | None]:
    """Calibration images as the network takes them, and what a binary keeps of its preprocess.

    spec, where: the model and the file of the images, for messages.
    """
    if network.preprocess is None or preprocessed:
        return io.checked(images, f"{where}: the array"), None
    from ..compiler.frontend.preprocess import applied, as_data
    place = f"model {spec}: what its preprocess returns"
    made = io.checked(applied(network.preprocess, images, f"model {spec}: {where}"), place)
    return made, as_data(network.preprocess, images, made) or OTHER


def remember(compiled: Compiled, images: io.Floats, kept: Affine | str | None) -> Compiled:
    """The same with what is known about inputs: the preprocess, and what calibration images look
    like."""
    meta = dataclasses.replace(
        compiled.program.meta, preprocess=preprocess.to_plain(kept),
        likeness=likeness.to_plain(likeness.measure(images)))
    return dataclasses.replace(compiled, program=dataclasses.replace(compiled.program, meta=meta))


def describe(kept: Affine | str | None) -> list[str]:
    """What compile says of the preprocess."""
    if isinstance(kept, Affine):
        return [f"the binary holds the model's preprocess, {kept}",
                "so run, cosim and accuracy take what it takes, as the calibration file has it"]
    if kept == OTHER:
        return ["the model's preprocess is not one factor and offset a channel, so the binary does "
                "not hold it: run, cosim and accuracy take data after it, with --preprocessed"]
    return []


# ---- running ---------------------------------------------------------------------------------
def read(path: Path, program: Program, net: Path, preprocessed: bool,
         golden: Callable[[], Preprocess | None] | None = None) -> list[io.Floats]:
    """What the network takes of every input, from a file; warns of what is unusual.

    net: the binary, for messages. golden: gives the preprocess of the model named with --golden.
    """
    arrays = io.read_inputs(path, program, take(path, program, net, preprocessed, golden))
    warn(program, arrays)
    return arrays


def take(path: Path, program: Program, net: Path, preprocessed: bool,
         golden: Callable[[], Preprocess | None] | None = None) -> Take | None:
    """What makes of the data in a file what the network takes, None where nothing is to be done."""
    kept = preprocess.from_plain(program.meta.preprocess)
    if kept is None or preprocessed:
        return None
    if isinstance(kept, Affine):
        return lambda images: _kept(kept, images, program, path)
    function = None if golden is None else golden()
    if function is None:
        raise KcnnError(
            f"{net}: the model's preprocess is not one factor and offset a channel, so the binary "
            "does not hold it; give data after it with --preprocessed"
            + ("" if golden is None else ", or the model that has it with --golden"))
    from ..compiler.frontend.preprocess import applied
    return lambda images: applied(function, images, str(path))


def _kept(kept: Affine, images: NDArray[Any], program: Program, path: Path) -> io.Floats:
    wanted = kept.takes(program.tensors[program.inputs[0].tensor].layout.shape[1:])
    if images.shape[1:] != wanted:
        raise KcnnError(f"{path}: the images have the shape {images.shape}, but the network's "
                        f"preprocess takes (N, {', '.join(map(str, wanted))}); give those, or data "
                        "after it with --preprocessed")
    return kept(images)


# ---- warnings --------------------------------------------------------------------------------
def warn(program: Program, arrays: Sequence[io.Floats]) -> None:
    """Tell of inputs that are cut or look unlike those of calibration."""
    for port, x in zip(program.inputs, arrays, strict=True):
        tensor = program.tensors[port.tensor]
        found = host.cut(x, tensor)
        if found:
            low, high = host.span(tensor)
            report.warn(f"{found:,} of {x.size:,} values of input {port.name!r} lie outside "
                        f"{low:.4g} to {high:.4g}, the range that calibration gave it, and were "
                        "cut to it")
    known = program.meta.likeness
    said = None if known is None else likeness.unlike(Likeness(**known), arrays[0])
    if said is not None:
        report.warn(f"the images do not look like those of calibration: {said}; are they scaled, "
                    "and their axes ordered, as those were?")


def cut(program: Program, arrays: Sequence[io.Floats]) -> int:
    """How many input values are cut."""
    return sum(host.cut(x, program.tensors[port.tensor])
               for port, x in zip(program.inputs, arrays, strict=True))


def warn_outputs(program: Program, outputs: Sequence[NDArray[np.float32]]) -> int:
    """Tell of decoded outputs that are at the limits of what they can hold; how many values are.

    outputs: one array a port, of all images; or none.
    """
    count = 0
    for port, y in zip(program.outputs, outputs, strict=False):     # none where nothing came out
        tensor = program.tensors[port.tensor]
        found = host.at_limit(y, tensor)
        if found:
            low, high = host.span(tensor)
            report.warn(f"{found:,} of {y.size:,} values of output {port.name!r} are at its limits "
                        f"{low:.4g} and {high:.4g}, where larger ones are cut; calibrate with "
                        "images like these")
        count += found
    return count
