"""The way of a network: every stage in order, in one place; `stages.py` says what each makes.

    for stage, form in walk(module, Settings(config, example_inputs, calibration)):
        print(stage, form, sep="\n")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from ..arch import check, names
from ..arch.config import Config
from ..arch.errors import FormatError
from ..arch.meta import Meta
from ..arch.program import Program
from ..arch.threads import one_thread
from . import needs
from .emit.assemble import assemble
from .emit.plan import Plan
from .emit.planner import plan
from .emit.schedule import Schedule, schedule
from .emit.verify import verify as verify_plan
from .equalise.equalise import Equalised
from .equalise.equalise import equalise as equalise_channels
from .equalise.exponents import to_plain
from .errors import CompileError, InternalError
from .frontend.trace import trace
from .ir.graph import Conv, Graph, Output
from .ir.quantised import Quantised
from .ir.verify import verify as verify_graph
from .lower.lower import lower
from .lower.lowered import Lowered
from .lower.scaling import Scaled, scale
from .lower.verify import verify_layers, verify_steps
from .passes import canonicalise
from .passes import check as check_canonical
from .place.allocate import allocate
from .place.layouts import Placed, layouts
from .place.splits import Split, split
from .place.tile import tile
from .place.verify import verify_layouts, verify_memory, verify_tiled
from .quantise.quantise import check_clusters, quantise
from .quantise.verify import verify as verify_quantised
from .stages import At, Stage, Work, nowhere

Floats = NDArray[np.floating]
Network = torch.nn.Module | ExportedProgram | Graph | Quantised
Form = Any          # what a stage makes; str() of it is a text for people
Progress = Callable[[str], None]
Watch = Callable[[Stage, Form], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """What a network is compiled with.

    calibration: (n, C, H, W) like what the network will see, needed from equalise on; held_back:
    more of it, see quantise. batch: N images at once. equalise: scale channels of unequal range
    where that gains. at: is told the layer at hand.
    """

    config: Config
    example_inputs: Sequence[torch.Tensor] = ()
    calibration: Floats | None = None
    held_back: Floats | None = None
    batch: int = 1
    clusters: int = 16
    equalise: bool = True
    at: At = nowhere


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """A program and what it comes from. tensors: graph node -> index in program.tensors.

    equalised: where the channels of the quantised graph are stored as other numbers than the
    network's, and which layers read unequal ones.
    """

    program: Program
    quantised: Quantised
    tensors: dict[str, int]
    equalised: Equalised


@one_thread()
def compile(model: torch.nn.Module | ExportedProgram | Graph,
            example_inputs: Sequence[torch.Tensor], calibration: Floats, config: Config,
            batch: int = 1, clusters: int = 16, name: str = "network", seed: int = 0,
            progress: Progress | None = None, equalise: bool = True,
            held_back: Floats | None = None, watch: Watch | None = None) -> Compiled:
    """Compile a network (or a canonical graph) for a configuration; see Settings.

    name: what info shows. progress is called with every stage before it, and in long ones with Work
    for every layer; watch with a stage and what it has made. Raises CompileError.
    """
    settings = Settings(config, example_inputs, calibration, held_back, batch, clusters, equalise)
    made: dict[Stage, Form] = {}
    for stage, form in walk(model, settings, progress):
        if watch:
            watch(stage, form)
        if stage in (Stage.EQUALISE, Stage.QUANTISE, Stage.ASSEMBLE):
            made[stage] = form
    quantised, equalised = made[Stage.QUANTISE], made[Stage.EQUALISE]
    meta = dataclasses.replace(_meta(quantised, clusters, name, seed),
                               exponents=to_plain(equalised.exponents),
                               nodes=made[Stage.ASSEMBLE].meta.nodes)
    program = dataclasses.replace(made[Stage.ASSEMBLE], meta=meta)
    return Compiled(program, quantised, _tensors(program), equalised)


def walk(form: Network, settings: Settings, progress: Progress | None = None
         ) -> Iterator[tuple[Stage, Form]]:
    """Every stage and what it makes, one after the other; who has seen enough may stop.

    A canonical graph begins with equalise, a quantised one with lower. Raises CompileError;
    InternalError, with the name of the stage, where what it made breaks a rule of its form.
    """
    check_batch(settings.batch)
    check_clusters(settings.clusters)
    for stage in _stages_of(form):
        if progress:
            progress(stage)
            settings = dataclasses.replace(settings, at=_telling(stage, progress))
        form = MAKERS[stage](form, settings)
        _verify(stage, form)
        yield stage, form


def _telling(stage: Stage, progress: Progress) -> At:
    return lambda layer, done, of: progress(Work(stage, layer, done, of))


def back(quantised: Quantised, config: Config, batch: int) -> Program:
    """The stages after quantisation."""
    *_, (_, program) = walk(quantised, Settings(config, batch=batch))
    return program


def check_batch(batch: int) -> None:
    """Refuse numbers of images that a RUN cannot count."""
    if not isinstance(batch, int) or not 1 <= batch < 1 << 12:
        raise CompileError(f"batch must be 1 to {(1 << 12) - 1}, found {batch!r}")


def _stages_of(form: Network) -> list[Stage]:
    first = (Stage.LOWER if isinstance(form, Quantised) else
             Stage.EQUALISE if isinstance(form, Graph) else Stage.TRACE)
    stages = list(Stage)
    return stages[stages.index(first):]


def _verify(stage: Stage, form: Form) -> None:
    try:
        VERIFIERS[stage](form)
    except (InternalError, FormatError) as error:
        raise InternalError(f"stage {stage}: {error}") from error


# ---- what the stages do --------------------------------------------------------------------
def _trace(model: torch.nn.Module | ExportedProgram, settings: Settings) -> Graph:
    return trace(model, settings.example_inputs)


def _canonicalise(graph: Graph, settings: Settings) -> Graph:
    return canonicalise(graph)


def _equalise(graph: Graph, settings: Settings) -> Equalised:
    needs.check_graph(graph, settings.config, settings.batch)
    if not settings.equalise:
        return Equalised(graph)
    return equalise_channels(graph, _images(settings), settings.config, settings.clusters,
                             settings.at)


def _quantise(equalised: Equalised, settings: Settings) -> Quantised:
    held_back = settings.held_back
    return quantise(equalised.graph, _images(settings), settings.config, settings.clusters,
                    None if held_back is None else np.asarray(held_back, np.float64), settings.at)


def _images(settings: Settings) -> NDArray[np.float64]:
    if settings.calibration is None:
        raise CompileError("no calibration images: give typical ones, for the codebooks of all "
                           "tensors are made from what they show")
    return np.asarray(settings.calibration, np.float64)


def _lower(quantised: Quantised, settings: Settings) -> Lowered:
    return lower(quantised)


def _scale(lowered: Lowered, settings: Settings) -> Scaled:
    try:
        return scale(lowered, settings.config, settings.batch, settings.at)
    except CompileError as error:
        raise needs.complete(error, lowered, settings.config, settings.batch) from None


def _split(net: Scaled, settings: Settings) -> Split:
    return split(net, settings.batch, settings.config.codes)


def _layouts(halves: Split, settings: Settings) -> Placed:
    return layouts(halves, settings.config, settings.batch)


def _tile(placed: Placed, settings: Settings) -> Placed:
    needs.check(placed, settings.batch)
    return tile(placed)


def _allocate(placed: Placed, settings: Settings) -> Placed:
    return allocate(placed)


def _schedule(placed: Placed, settings: Settings) -> Schedule:
    return schedule(placed, settings.config)


def _plan(order: Schedule, settings: Settings) -> Plan:
    return plan(order, settings.config, settings.at)


def _assemble(steps: Plan, settings: Settings) -> Program:
    return assemble(steps)


MAKERS: dict[Stage, Callable[[Any, Settings], Form]] = {
    Stage.TRACE: _trace, Stage.CANONICALISE: _canonicalise, Stage.EQUALISE: _equalise,
    Stage.QUANTISE: _quantise, Stage.LOWER: _lower, Stage.SCALE: _scale, Stage.SPLIT: _split,
    Stage.LAYOUTS: _layouts, Stage.TILE: _tile, Stage.ALLOCATE: _allocate,
    Stage.SCHEDULE: _schedule, Stage.PLAN: _plan, Stage.ASSEMBLE: _assemble}


# ---- what must hold behind them ------------------------------------------------------------
def _verify_equalised(equalised: Equalised) -> None:
    check_canonical(equalised.graph)
    for name, own in equalised.exponents.items():
        if own.shape != equalised.graph[name].shape[:1]:
            raise InternalError(f"{name} has {len(own)} exponents of channels")


def _verify_split(halves: Split) -> None:
    verify_layers(halves.net)


def _verify_schedule(order: Schedule) -> None:
    """Every layer has RUNs, in the order of layers; lines are packed for who wants them."""
    layers = [job.ahead[0] if job.ahead else job.layer for job in order.jobs]
    if sorted({job.layer for job in order.jobs}) != list(range(len(order.placed.split.net.layers))):
        raise InternalError("some layer has no RUN")
    if layers != sorted(layers):
        raise InternalError("RUNs of layers are not in the order of these")


VERIFIERS: dict[Stage, Callable[[Any], None]] = {
    Stage.TRACE: verify_graph, Stage.CANONICALISE: check_canonical,
    Stage.EQUALISE: _verify_equalised, Stage.QUANTISE: verify_quantised,
    Stage.LOWER: verify_steps, Stage.SCALE: verify_layers, Stage.SPLIT: _verify_split,
    Stage.LAYOUTS: verify_layouts, Stage.TILE: verify_tiled, Stage.ALLOCATE: verify_memory,
    Stage.SCHEDULE: _verify_schedule, Stage.PLAN: verify_plan, Stage.ASSEMBLE: check.verify}


# ---- what a program says of itself -----------------------------------------------------------
def _meta(quantised: Quantised, clusters: int, name: str, seed: int) -> Meta:
    parameters = sum(node.op.weight.size + node.op.bias.size
                     for node in quantised.graph
                     if isinstance(node.op, Conv) and node.op.kind in ("Conv2d", "Linear"))
    dims = {node.name: node.op.dims for node in quantised.graph if isinstance(node.op, Output)}
    return Meta(source=names.clean(name), output_dims=dims, float32_bytes=4 * parameters,
                clusters=clusters, seed=seed, kcnn=metadata.version("kcnn"))


def _tensors(program: Program) -> dict[str, int]:
    return {node: i for i, node in enumerate(program.meta.nodes) if node}
