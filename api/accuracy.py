"""How many labelled images a program recognises, and the float network beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arch.errors import KcnnError
from ..arch.program import Program
from ..arch.show import Shown, Table, table
from ..engines import batches
from . import images
from .arrays import Array, Data, Floats, given, plain
from .names import Names

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model

Ints = NDArray[np.int64]
Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Accuracy(Shown):
    """classes: what every image is taken for, (n,), by "integers" and, where there is a float
    network, "float". labels: what it is. what: program and images in words."""

    what: str
    classes: dict[str, Ints]
    labels: Ints
    inputs_cut: int
    outputs_at_limit: int

    def right(self, name: str = "integers") -> int:
        """Images that are recognised."""
        return int((self.classes[name] == self.labels).sum())

    def share(self, name: str = "integers") -> float:
        """Share of images that are recognised, 0..1."""
        return float((self.classes[name] == self.labels).mean())

    def beside(self) -> dict[str, float]:
        """What is lost of the float network: loss, its standard error, and the share of images
        for which both say the same; nothing where there is none."""
        if "float" not in self.classes:
            return {}
        exact, found = self.classes["float"], self.classes["integers"]
        lost = (exact == self.labels).astype(int) - (found == self.labels)
        return {"loss": float(lost.mean()),
                "error": float(lost.std()) / math.sqrt(len(self.labels)),
                "same": float((exact == found).mean())}

    def to_json(self) -> dict[str, Any]:
        """What `kcnn accuracy --json` holds."""
        return {"images": len(self.labels), **{name: self.share(name) for name in self.classes},
                **self.beside(), "inputs_cut": self.inputs_cut,
                "outputs_at_limit": self.outputs_at_limit}

    def parts(self) -> Iterator[Table | str]:
        """A row for every network, and what is lost."""
        yield table(self.what, ("network", "right", "accuracy"),
                    [(name, self.right(name), f"{100 * self.share(name):.2f} %")
                     for name in self.classes])
        beside = self.beside()
        if beside:
            yield (f"lost: {100 * beside['loss']:.2f} points (standard error "
                   f"{100 * beside['error']:.2f}); the same class for {100 * beside['same']:.2f} % "
                   "of the images")


def measure(program: Program, names: Names, data: Data, labels: Array | None = None,
            preprocessed: bool = False, golden: Model | None = None, spec: str = "",
            progress: Progress = lambda step: None) -> Accuracy:
    """Count. data: images, with labels; or a file or mapping that holds both.

    golden: a float network to stand beside, which messages call spec. Raises KcnnError.
    """
    x, y, where = _labelled(program, names, data, labels, preprocessed, golden)
    _check_images(program, x, y, where)
    classes: dict[str, Ints] = {}
    if golden is not None:
        progress(f"float, {spec}")
        classes["float"] = _float_classes(golden, spec, x, _class_count(program))
    images.warn(program, [x])
    found = logits(program, x, progress)
    outputs = {program.outputs[0].name: found}
    images.warn_outputs(program, outputs)
    classes["integers"] = found.argmax(axis=1)
    source = f" of {where}" if isinstance(data, str | Path) else ""
    return Accuracy(f"{names.program} on {len(y):,} images{source}", classes, y,
                    images.cut(program, [x]), images.at_limit(program, outputs))


def logits(program: Program, x: Floats, progress: Progress = lambda step: None) -> Floats:
    """What the integer reference makes of x (n, C, H, W), any n: (n, classes).

    program: of one input and one output. progress: hears how many images are done.
    """
    outcomes = batches.together(program, [x], progress)
    (found,) = batches.joined(program, outcomes, len(x)).values()
    return found.reshape(len(x), -1)


def _float_classes(network: Model, spec: str, x: Floats, count: int) -> Ints:
    """The largest logit of every image in a float network. Raises KcnnError if it does not make
    `count` numbers of every image."""
    import torch

    from ..compiler.errors import first_line
    from ..compress.data import logits
    from ..compress.layered import layered
    module = network.module
    if not isinstance(module, torch.nn.Module):
        module = layered(module)
    try:
        found = logits(module, torch.from_numpy(x)).numpy()
    except Exception as error:
        raise KcnnError(f"{spec}: fails on the images ({first_line(error)}); give a network that "
                        "takes the same as the binary") from error
    if found.shape[1] != count:
        raise KcnnError(f"{spec}: makes {found.shape[1]} numbers of an image, the binary {count}; "
                        "give a network of the same classes")
    return found.argmax(axis=1)


# ---- what is needed --------------------------------------------------------------------------
def check_program(program: Program, where: str) -> None:
    """One input, and one output of a number for every class."""
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        raise KcnnError(f"{where}: has {len(program.inputs)} inputs and {len(program.outputs)} "
                        "outputs; accuracy is of networks with one of each")
    shape = program.tensors[program.outputs[0].tensor].kind.shape[1:]
    if shape[1:] != (1, 1) or shape[0] < 2:
        raise KcnnError(f"{where}: its output has the shape (N, {', '.join(map(str, shape))}), "
                        "which tells no class; give a network that ends with one number a class")


def _labelled(program: Program, names: Names, data: Data, labels: Array | None,
              preprocessed: bool, golden: Model | None) -> tuple[Floats, Ints, str]:
    """Images as the binary takes them, by its own preprocess; where it has none, pixels by that of
    the float network. Also their labels, and how messages call them."""
    import torch

    from ..compress.data import labelled
    found = given(data, "images")
    arrays = dict(found.arrays)
    if labels is not None:
        arrays["y"] = plain(labels, f"{found.where}: array 'y'")
    other = None if golden is None or preprocessed else golden.preprocess
    take = images.take(found.where, program, names, preprocessed, other,
                       f", or the model that has it with {names.option('golden')}")
    if take is None:
        x, y = labelled(arrays, found.where, None, other)
    else:
        x, y = labelled(arrays, found.where, lambda array: torch.from_numpy(take(array.numpy())))
    return x.numpy(), y.numpy(), found.where


def _check_images(program: Program, x: Floats, y: Ints, where: str) -> None:
    """Images of the network's shape and classes."""
    shape = program.tensors[program.inputs[0].tensor].kind.shape[1:]
    if x.shape[1:] != shape:
        raise KcnnError(f"{where}: the images have the shape {x.shape}, but the network takes "
                        f"(N, {', '.join(map(str, shape))})")
    count = _class_count(program)
    if y.max() >= count:
        raise KcnnError(f"{where}: image {int(y.argmax())} is of class {int(y.max())}, but the "
                        f"network knows the classes 0 to {count - 1}; give its own test images")


def _class_count(program: Program) -> int:
    return program.tensors[program.outputs[0].tensor].kind.channels
