"""From a torch network to a compiled one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arch import host, reference
from ..arch.config import Config
from ..arch.errors import KcnnError
from ..arch.preprocess import Affine
from ..arch.show import Shown, Table, decibel, table
from ..engines.batches import batches
from . import arrays, images, machines, models, truth
from .arrays import Data, Floats
from .models import Network, Preprocess
from .names import PYTHON, Names
from .net import Net, Progress, silent

if TYPE_CHECKING:
    from ..compiler.emit.plan import Plan
    from ..compiler.fidelity import Fidelity
    from ..compiler.frontend.model import Model
    from ..compiler.pipeline import Compiled, Form, Watch
    from ..compiler.quantise.emulate import Loss
    from ..compiler.stages import Stage

EXPLAINED_IMAGES = 64


@dataclasses.dataclass(frozen=True)
class Explanation(Shown):
    """What every step costs each tensor: SQNR in dB against the float network."""

    losses: tuple[Loss, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values; None where there is no number of dB."""
        return [{"name": loss.name, "weights": _finite(loss.weights),
                 "activations": _finite(loss.activations), "integer": _finite(loss.integer),
                 "fixed_point": _finite(loss.fixed_point)} for loss in self.losses]

    def parts(self) -> Iterator[Table | str]:
        """A row for every tensor."""
        yield table(
            "SQNR against the float network, dB; the last column: integers against the rounded "
            "network", ("tensor", "clustered weights", "and activations", "integers",
                        "fixed point alone"),
            ((loss.name, *map(decibel, (loss.weights, loss.activations, loss.integer,
                                        loss.fixed_point))) for loss in self.losses))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclasses.dataclass(frozen=True, eq=False)
class CompiledNet(Net):
    """A network that has just been compiled, with what it comes from.

    compiled: its quantised graph. plan: its steps, with what they read and write. measured: what
    is left of the float network. kept: what the program holds of the model's preprocess. tried:
    images that explain its losses.
    """

    compiled: Compiled = dataclasses.field(kw_only=True)
    plan: Plan = dataclasses.field(kw_only=True)
    measured: Fidelity = dataclasses.field(kw_only=True)
    kept: Affine | str | None = dataclasses.field(kw_only=True)
    tried: Floats = dataclasses.field(kw_only=True)

    def warnings(self, min_sqnr: float = truth.LEAST) -> list[str]:
        """What is wrong and what to do, if less than min_sqnr dB is left of an output."""
        poor = truth.warning(self.measured, min_sqnr, self.names)
        return [] if poor is None else [poor, *map(str, self.compiled.equalised.uneven)]

    def explain(self) -> Explanation:
        """On the images held back, or on all if there are none."""
        from ..compiler.quantise import emulate
        program, x = self.program, self.tried
        (port,) = program.inputs
        runs = [reference.run(program, [host.encode(batch, program.tensors[port.tensor],
                                                    program.config)])
                for (batch,) in batches([x], program.batch)]
        integer = {node: np.concatenate([
            host.decode(run[tensor], program.tensors[tensor], program.config)
            for run in runs])[:len(x)].astype(np.float64)
            for node, tensor in self.compiled.tensors.items()}
        return Explanation(tuple(emulate.explain(self.compiled.quantised, x.astype(np.float64),
                                                 integer)))


def compile(model: Network, calibration: Data, config: Config | str, *, batch: int = 1,
            clusters: int = 16, equalise: bool = True, preprocess: Preprocess | None = None,
            preprocessed: bool = False, trust: bool = False, min_sqnr: float | None = truth.LEAST,
            names: Names = PYTHON, progress: Progress = silent, watch: Watch | None = None
            ) -> CompiledNet:
    """Compile a trained network for a machine; the same inputs give the same bytes.

    model: a module, an export of torch.export, the path of a .pt2 file, or the name of a function
    as `kcnn compile` takes it (which then also tells the preprocess). calibration: typical images,
    of which every fifth is held back to measure what is left of the float network (docs/data.md);
    if that is less than min_sqnr dB there is a KcnnWarning. config: a preset, a TOML file or a
    Config. batch: images that the machine computes at once. clusters: magnitudes of a layer's
    weights. equalise: scale channels of unequal range. preprocessed: the images are as the network
    takes them. trust: load a .pt2 file that can run code. names: what messages call the program
    and its arguments. watch: is called with every stage of the compiler and what it has made.
    Raises KcnnError.
    """
    from ..compiler import fidelity, pipeline
    from ..compiler.stages import Stage
    machine = machines.named(config)
    network, x, kept = _ready(model, calibration, preprocess, preprocessed, trust)
    forms: dict[Stage, Form] = {}

    def seen(stage: Stage, form: Form) -> None:
        if stage == Stage.PLAN:
            forms[stage] = form
        if watch is not None:
            watch(stage, form)

    calibrated, held_back = fidelity.held(x)
    compiled = pipeline.compile(
        network.module, network.example_inputs, calibrated, machine, batch, clusters,
        models.name_of(model), progress=progress, equalise=equalise, held_back=held_back,
        watch=seen)
    progress("measuring")
    measured = fidelity.measure(compiled, calibrated, held_back)
    compiled = fidelity.noted(images.remember(compiled, x, kept), measured)
    tried = (held_back if len(held_back) else x)[:EXPLAINED_IMAGES]
    net = CompiledNet(compiled.program, names, compiled=compiled, plan=forms[Stage.PLAN],
                      measured=measured, kept=kept, tried=tried)
    for sentence in [] if min_sqnr is None else net.warnings(min_sqnr):
        images.tell(sentence)
    return net


def stages(model: Network, calibration: Data | None, config: Config | str, *, batch: int = 1,
           clusters: int = 16, equalise: bool = True, preprocess: Preprocess | None = None,
           preprocessed: bool = False, trust: bool = False, progress: Progress = silent
           ) -> Iterator[tuple[Stage, Form]]:
    """Every stage of the compiler and what it makes, one after the other, arguments as for
    `compile`; str() of a form is a text. Who has seen enough may stop; without calibration images
    this must be before equalise, which raises CompileError."""
    from ..compiler import fidelity, pipeline
    machine = machines.named(config)
    calibrated = held_back = None
    if calibration is None:
        network = models.telling(models.load(model, preprocess, trust))
    else:
        network, x, _ = _ready(model, calibration, preprocess, preprocessed, trust)
        calibrated, held_back = fidelity.held(x)
    settings = pipeline.Settings(machine, network.example_inputs, calibrated, held_back, batch,
                                 clusters, equalise)
    return pipeline.walk(network.module, settings, progress)


def _ready(model: Network, calibration: Data, preprocess: Preprocess | None, preprocessed: bool,
           trust: bool) -> tuple[Model, Floats, Affine | str | None]:
    """The network, calibration images as it takes them, and what is kept of its preprocess."""
    given = arrays.given(calibration, "calibration")
    x = arrays.images(given, True)
    if x.min() == x.max():
        raise KcnnError(f"{given.where}: all values are {x.min()}; give typical images, for the "
                        "codebooks of all tensors are made from what they show")
    network = models.load(model, preprocess, trust)
    x, kept = images.taken(network, x, models.model_name(model), given.where, preprocessed)
    return models.fitted(network, model, x.shape[1:]), x, kept
