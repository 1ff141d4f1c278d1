"""The way of a network: every stage by name, in order, in one place.

    trace         torch.nn.Module or .pt2 -> traced graph
    canonicalise  passes: batch norms folded, functions fused -> canonical graph
    equalise      channels of unequal range scaled, where that is exact and gains
    quantise      codebooks from calibration, clustered weights
    lower         layers as taps with real coefficients
    scale         integer factors, scales, thresholds; sums proven to fit
    split         phase planes, copies
    layouts       pitches, pads, strides
    allocate      memory rows over time
    schedule      RUNs of each layer
    emit          instructions, streams, tables
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from ..arch import check, names
from ..arch.config import Config
from ..arch.meta import Meta
from ..arch.program import Program
from .emit.emit import emit
from .emit.schedule import schedule
from .equalise.equalise import Equalised
from .equalise.equalise import equalise as equalise_channels
from .equalise.exponents import to_plain
from .errors import CompileError
from .frontend.trace import trace
from .ir.graph import Conv, Graph, Output
from .ir.quantised import Quantised
from .lower.lower import lower
from .lower.scaling import Scaled, scale
from .passes import canonicalise
from .place.allocate import allocate, rows_needed
from .place.layouts import layouts
from .place.splits import split
from .quantise.quantise import quantise

STAGES = ("trace", "canonicalise", "equalise", "quantise", "lower", "scale", "split", "layouts",
          "allocate", "schedule", "emit")
Progress = Callable[[str], None]
NOTHING = Meta()


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


def compile(model: torch.nn.Module | ExportedProgram | Graph,
            example_inputs: Sequence[torch.Tensor], calibration: NDArray[np.floating],
            config: Config, batch: int = 1, clusters: int = 16, name: str = "network",
            seed: int = 0, progress: Progress | None = None, equalise: bool = True,
            held_back: NDArray[np.floating] | None = None) -> Compiled:
    """Compile a network (or a canonical graph) for a configuration and N = batch images at once.

    calibration: (n, C, H, W) like what the network will see; held_back: more of it, see quantise.
    name: what info shows. progress is called with the name of each stage before it. equalise:
    scale channels of unequal range where that gains. Raises CompileError.
    """
    tell = progress or (lambda stage: None)
    check_batch(batch)
    graph = model
    if not isinstance(graph, Graph):
        tell("trace")
        graph = trace(graph, example_inputs)
        tell("canonicalise")
        graph = canonicalise(graph)
    images = np.asarray(calibration, np.float64)
    if equalise:
        tell("equalise")
        equalised = equalise_channels(graph, images, config, clusters)
    else:
        equalised = Equalised(graph)
    tell("quantise")
    quantised = quantise(equalised.graph, images, config, clusters,
                         None if held_back is None else np.asarray(held_back, np.float64))
    meta = dataclasses.replace(_meta(quantised, clusters, name, seed),
                               exponents=to_plain(equalised.exponents))
    program = back(quantised, config, batch, meta, tell)
    return Compiled(program, quantised, _tensors(program), equalised)


def back(quantised: Quantised, config: Config, batch: int, meta: Meta = NOTHING,
         progress: Progress | None = None) -> Program:
    """The stages after quantisation, and a check of the finished program."""
    tell = progress or (lambda stage: None)
    tell("lower")
    lowered = lower(quantised)
    tell("scale")
    net = scale(lowered, config, batch)
    tell("split")
    halves = split(net, batch, config.codes)
    tell("layouts")
    placed = layouts(halves, config, batch)
    tell("allocate")
    placed = allocate(placed, config, batch, lambda n: _fits(net, config, n))
    tell("schedule")
    plan = schedule(placed, config)
    tell("emit")
    nodes = tuple(value.node for value in placed.split.net.values)
    program = emit(plan, config, batch, dataclasses.replace(meta, nodes=nodes))
    check.verify(program)
    return program


def check_batch(batch: int) -> None:
    """Refuse numbers of images that a RUN cannot count."""
    if not 1 <= batch < 1 << 12:
        raise CompileError(f"batch must be 1 to {(1 << 12) - 1}, found {batch}")


def _fits(net: Scaled, config: Config, batch: int) -> bool:
    return rows_needed(layouts(split(net, batch, config.codes), config, batch)) <= config.rows


def _meta(quantised: Quantised, clusters: int, name: str, seed: int) -> Meta:
    parameters = sum(node.op.weight.size + node.op.bias.size
                     for node in quantised.graph
                     if isinstance(node.op, Conv) and node.op.kind in ("Conv2d", "Linear"))
    dims = {node.name: node.op.dims for node in quantised.graph if isinstance(node.op, Output)}
    return Meta(source=names.clean(name), output_dims=dims, float32_bytes=4 * parameters,
                clusters=clusters, seed=seed, kcnn=metadata.version("kcnn"))


def _tensors(program: Program) -> dict[str, int]:
    return {node: i for i, node in enumerate(program.meta.nodes) if node}
