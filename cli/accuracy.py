"""`kcnn accuracy`: how many labelled images a compiled network recognises."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..arch import host, kbin, reference
from ..arch.errors import KcnnError
from ..arch.program import Program
from ..engines import execute as engines
from . import inputs, options, report
from .outputs import Outputs, write_json

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
TOGETHER = 100           # images between two words on the progress


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
    program = kbin.read(net)
    engines.check_config(program, config)
    _check_program(program, net)
    with Outputs(net, data, model, config) as outputs:
        place = None if json is None else outputs.file(json)
        network = None if model is None else _load(model, trust)
        x, y = _labelled(data, program, net, preprocessed, network)
        _check_images(program, x, y, data)
        found: dict[str, Ints] = {}
        if network is not None:
            found["float"] = float_classes(network, str(model), x, _class_count(program))
        inputs.warn(program, [x])
        found["integers"], limits = classes(program, x)
        figures = describe(found, y) | {"inputs_cut": inputs.cut(program, [x]),
                                        "outputs_at_limit": limits}
        report.table(f"{net} on {len(y):,} images of {data}", ("network", "right", "accuracy"),
                     [(name, int((one == y).sum()), f"{100 * figures[name]:.2f} %")
                      for name, one in found.items()])
        if network is not None:
            report.say(f"lost: {100 * figures['loss']:.2f} points (standard error "
                       f"{100 * figures['error']:.2f}); the same class for "
                       f"{100 * figures['same']:.2f} % of the images")
        if place is not None:
            write_json(place, figures)


def logits(program: Program, x: Floats, tell: Callable[[str], None] = lambda step: None) -> Floats:
    """What the integer reference makes of x (n, C, H, W), any n: (n, classes).

    program: of one input and one output. tell: hears how many images are done.
    """
    (source,), (target,) = program.inputs, program.outputs
    parts = []
    for at in range(0, len(x), TOGETHER):
        tell(f"{at:,} of {len(x):,} images")
        codes = host.encode(x[at:at + TOGETHER], program.tensors[source.tensor], program.config)
        (out,) = reference.outputs(program, [codes])
        parts.append(host.decode(out, program.tensors[target.tensor], program.config))
    return np.concatenate(parts).reshape(len(x), -1)


def describe(found: dict[str, Ints], y: Ints) -> dict[str, Any]:
    """What `--json` holds: shares of images, 0..1.

    found: classes (n,) by network, "integers" and, where there is a golden one, "float". With it
    also loss, its standard error, and the share of images for which both say the same.
    """
    figures: dict[str, Any] = {"images": len(y)}
    figures |= {name: float((one == y).mean()) for name, one in found.items()}
    if "float" in found:
        lost = (found["float"] == y).astype(int) - (found["integers"] == y)
        figures |= {"loss": float(lost.mean()), "error": float(lost.std()) / math.sqrt(len(y)),
                    "same": float((found["float"] == found["integers"]).mean())}
    return figures


def classes(program: Program, x: Floats) -> tuple[Ints, int]:
    """The largest logit of every image, (n,), and how many logits are at their limits."""
    with report.progress("integers") as tell:
        found = logits(program, x, tell)
    return found.argmax(axis=1), inputs.warn_outputs(program, [found])


def float_classes(network: Model, spec: str, x: Floats, count: int) -> Ints:
    """The same of a float network, computed by torch; spec: its name. Raises KcnnError if it does
    not make `count` numbers of every image."""
    import torch

    from ..compiler.errors import first_line
    from ..compress.data import logits
    from ..compress.layered import layered
    module = network.module
    if not isinstance(module, torch.nn.Module):
        module = layered(module)
    with report.progress(f"float, {spec}"):
        try:
            found = logits(module, torch.from_numpy(x)).numpy()
        except Exception as error:
            raise KcnnError(f"--golden {spec}: fails on the images ({first_line(error)}); give a "
                            "network that takes the same as the binary") from error
    if found.shape[1] != count:
        raise KcnnError(f"--golden {spec}: makes {found.shape[1]} numbers of an image, the binary "
                        f"{count}; give a network of the same classes")
    return found.argmax(axis=1)


# ---- what is needed --------------------------------------------------------------------------
def _check_program(program: Program, net: Path) -> None:
    """One input, and one output of a number for every class."""
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        raise KcnnError(f"{net}: has {len(program.inputs)} inputs and {len(program.outputs)} "
                        "outputs; accuracy is of networks with one of each")
    shape = program.tensors[program.outputs[0].tensor].layout.shape[1:]
    if shape[1:] != (1, 1) or shape[0] < 2:
        raise KcnnError(f"{net}: its output has the shape (N, {', '.join(map(str, shape))}), which "
                        "tells no class; give a network that ends with one number a class")


def _load(model: str, trust: bool) -> Model:
    from ..compiler.frontend.model import load_model
    return load_model(model, trust)


def _labelled(data: Path, program: Program, net: Path, preprocessed: bool, network: Model | None
              ) -> tuple[Floats, Ints]:
    """Images as the binary takes them, by its own preprocess; where it has none, pixels by that of
    the float network."""
    import torch

    from ..compress.data import held
    other = None if network is None or preprocessed else network.preprocess
    take = inputs.take(data, program, net, preprocessed, lambda: other)
    if take is None:
        x, y = held(data, None, other)
    else:
        x, y = held(data, lambda images: torch.from_numpy(take(images.numpy())))
    return x.numpy(), y.numpy()


def _check_images(program: Program, x: Floats, y: Ints, data: Path) -> None:
    """Images of the network's shape and classes."""
    shape = program.tensors[program.inputs[0].tensor].layout.shape[1:]
    if x.shape[1:] != shape:
        raise KcnnError(f"{data}: the images have the shape {x.shape}, but the network takes "
                        f"(N, {', '.join(map(str, shape))})")
    count = _class_count(program)
    if y.max() >= count:
        raise KcnnError(f"{data}: image {int(y.argmax())} is of class {int(y.max())}, but the "
                        f"network knows the classes 0 to {count - 1}; give its own test images")


def _class_count(program: Program) -> int:
    return program.tensors[program.outputs[0].tensor].layout.channels
