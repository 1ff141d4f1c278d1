"""What a network takes, of what the user gives: one rule for all (docs/data.md).

Data are what the preprocess of the model takes that a binary was compiled from, if it has one;
preprocessed ones are as the network itself takes them. A binary keeps a preprocess that is plain
arithmetic; where it is not, one or the other is asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..arch import host, likeness, preprocess
from ..arch.errors import KcnnError, KcnnWarning
from ..arch.likeness import Likeness
from ..arch.preprocess import OTHER, Affine
from ..arch.program import Program, Tensor
from ..arch.show import Shown
from . import arrays
from .arrays import Data, Floats, Take
from .names import Names

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model
    from ..compiler.frontend.preprocess import Preprocess
    from ..compiler.pipeline import Compiled

PACKAGE = __name__.partition(".")[0]


# ---- compiling -------------------------------------------------------------------------------
def taken(network: Model, images: NDArray[Any], model: str, where: str, preprocessed: bool
          ) -> tuple[Floats, Affine | str | None]:
    """Calibration images as the network takes them, and what a binary keeps of its preprocess.

    model, where: name the model and the images in messages.
    """
    if network.preprocess is None or preprocessed:
        return arrays.checked(images, f"{where}: the array"), None
    from ..compiler.frontend.preprocess import applied, as_data
    place = f"{model}: what its preprocess returns"
    made = arrays.checked(applied(network.preprocess, images, f"{model}: {where}"), place)
    return made, as_data(network.preprocess, images, made) or OTHER


def remember(compiled: Compiled, images: Floats, kept: Affine | str | None) -> Compiled:
    """The same with what is known about inputs: the preprocess, and what calibration images look
    like."""
    meta = dataclasses.replace(
        compiled.program.meta, preprocess=preprocess.to_plain(kept),
        likeness=likeness.to_plain(likeness.measure(images)))
    return dataclasses.replace(compiled, program=dataclasses.replace(compiled.program, meta=meta))


# ---- running ---------------------------------------------------------------------------------
def read(data: Data, program: Program, names: Names, preprocessed: bool,
         golden: Preprocess | None = None, advice: str = "") -> list[Floats]:
    """What the network takes of every input; warns of what is unusual. See take."""
    found = arrays.given(data, "images")
    x = arrays.inputs(found, program, take(found.where, program, names, preprocessed, golden,
                                           advice))
    warn(program, x)
    return x


def take(where: str, program: Program, names: Names, preprocessed: bool,
         golden: Preprocess | None = None, advice: str = "") -> Take | None:
    """What makes of the data what the network takes, None where nothing is to be done.

    where: names the data in messages. golden: the preprocess of the float network that is compared
    with; advice: what else helps where neither it nor the binary has one.
    """
    kept = preprocess.from_plain(program.meta.preprocess)
    if kept is None or preprocessed:
        return None
    if isinstance(kept, Affine):
        return lambda images: _kept(kept, images, program, where, names)
    if golden is None:
        raise KcnnError(
            f"{names.program}: the model's preprocess is not one factor and offset a channel, so "
            "the binary does not hold it; give data after it with "
            f"{names.flag('preprocessed')}{advice}")
    from ..compiler.frontend.preprocess import applied
    return lambda images: applied(golden, images, where)


def _kept(kept: Affine, images: NDArray[Any], program: Program, where: str, names: Names) -> Floats:
    wanted = kept.takes(program.tensors[program.inputs[0].tensor].kind.shape[1:])
    if images.shape[1:] != wanted:
        raise KcnnError(f"{where}: the images have the shape {images.shape}, but the network's "
                        f"preprocess takes (N, {', '.join(map(str, wanted))}); give those, or data "
                        f"after it with {names.flag('preprocessed')}")
    return kept(images)


@dataclasses.dataclass(frozen=True, eq=False)
class OfImages(Shown):
    """What a program made of images. inputs: as the network takes them."""

    program: Program
    inputs: list[Floats]

    @abstractmethod
    def outputs(self) -> dict[str, NDArray[Any]]:
        """Every output by name, in the shape that torch gives it."""

    @functools.cached_property
    def inputs_cut(self) -> int:
        """Values of the inputs that lie outside of what they can hold."""
        return cut(self.program, self.inputs)

    @functools.cached_property
    def outputs_at_limit(self) -> int:
        """Values of the outputs at the limits of what these can hold."""
        return at_limit(self.program, self.outputs())


# ---- warnings --------------------------------------------------------------------------------
def tell(sentence: str) -> None:
    """Warn, at the line of the caller's that called the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, KcnnWarning, level)


def warn(program: Program, inputs: Sequence[Floats]) -> None:
    """Tell of inputs that are cut or look unlike those of calibration."""
    for port, x in zip(program.inputs, inputs, strict=True):
        tensor = program.tensors[port.tensor]
        found = host.cut(x, tensor)
        if found:
            low, high = host.span(tensor)
            tell(f"{found:,} of {x.size:,} values of input {port.name!r} lie outside {low:.4g} to "
                 f"{high:.4g}, the range that calibration gave it, and were cut to it")
    known = program.meta.likeness
    said = None if known is None else likeness.unlike(Likeness(**known), inputs[0])
    if said is not None:
        tell(f"the images do not look like those of calibration: {said}; are they scaled, and "
             "their axes ordered, as those were?")


def cut(program: Program, inputs: Sequence[Floats]) -> int:
    """How many input values are cut."""
    return sum(host.cut(x, program.tensors[port.tensor])
               for port, x in zip(program.inputs, inputs, strict=True))


def warn_outputs(program: Program, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Tell of outputs, decoded and by name, that are at the limits of what they can hold."""
    for name, y, tensor in _decoded(program, outputs):
        found = host.at_limit(y, tensor)
        if found:
            low, high = host.span(tensor)
            tell(f"{found:,} of {y.size:,} values of output {name!r} are at its limits {low:.4g} "
                 f"and {high:.4g}, where larger ones are cut; calibrate with images like these")


def at_limit(program: Program, outputs: Mapping[str, NDArray[Any]]) -> int:
    """How many values of decoded outputs are at these limits."""
    return sum(host.at_limit(y, tensor) for _, y, tensor in _decoded(program, outputs))


def _decoded(program: Program, outputs: Mapping[str, NDArray[Any]]
             ) -> list[tuple[str, NDArray[Any], Tensor]]:
    """The outputs that there are, none where no engine came to an end."""
    return [(port.name, outputs[port.name], program.tensors[port.tensor])
            for port in program.outputs if port.name in outputs]
