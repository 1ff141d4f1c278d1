"""What a network needs of a machine: everything that is too small at once, and as early as can be.

Layouts depend on shapes, and on which weights are zero, far more than on what the others are. So a
network is placed before it is quantised, with taps of factor 1 for weights that are not zero: if
the elements of its tensors alone are too many, so that no rounding can help, it is refused with
all that this shows, though of taps rounding may leave fewer. Everybody else is looked at again with
the taps that are left in the end.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..arch.config import MOST, Config
from ..arch.program import Layer
from .emit.addressing import lacking_entries
from .emit.schedule import addressings
from .errors import CompileError, Need, too_small
from .ir.graph import Add, AvgPool, Concat, Conv, Graph, MaxPool, Node, Output
from .ir.layers import nonnegative
from .ir.quantised import ClusteredWeight, Codebook, Quantised, Radix
from .lower.lower import lower
from .lower.lowered import Lowered, Step, Value
from .lower.prove import lacking_slots
from .lower.scaling import Scaled, passing, scale, sources
from .place.allocate import fullest
from .place.lacking import lacking_memory
from .place.layouts import Placed, layouts
from .place.lives import lives
from .place.splits import split
from .quantise.quantise import groups, plane_bits, radix

Flags = NDArray[np.bool_]


def check(placed: Placed, batch: int) -> None:
    """Refuse a machine whose tap cache or memory is too small, with all that it lacks. The base
    table is looked at by the next stage, if there is one."""
    needs = _lacking(placed, batch)
    if needs:
        raise too_small(placed.config, needs)


def check_graph(graph: Graph, config: Config, batch: int) -> None:
    """The same for a canonical graph that is not quantised, where its shapes alone decide."""
    net = _scaled(lower(_quantised(graph, config)))
    if _elements(net, config, batch) > config.rows:
        placed = layouts(split(net, batch, config.codes), config, batch)
        # the base table is not looked at: sums that read more than it holds are divided later
        needs = [*lacking_slots(net.layers, net.paths, config), *lacking_memory(placed, batch)]
        if any(need.field == "memory_codes" for need in needs):
            raise too_small(config, [dataclasses.replace(need, sure=need.field == "memory_codes")
                                     for need in needs])


def complete(error: CompileError, lowered: Lowered, config: Config, batch: int) -> CompileError:
    """The refusal of `scale`; for a lack of total_bits or tap_slots with all else that is
    lacking."""
    wide = config
    found: dict[str, Need] = {}
    while error.needs:
        (need,) = error.needs
        if need.least > MOST.get(need.field, need.least):
            return error
        found[need.field] = need
        wide = dataclasses.replace(wide, **{need.field: need.least})  # type: ignore[arg-type]
        try:
            net = scale(lowered, wide, batch)
        except CompileError as more:
            error = more
        else:
            placed = layouts(split(net, batch, wide.codes), wide, batch)
            return too_small(config, [*found.values(), *_lacking(placed, batch)])
    return error


def _lacking(placed: Placed, batch: int) -> list[Need]:
    config, net = placed.config, placed.split.net
    slots = lacking_slots(net.layers, net.paths, config)
    memory = lacking_memory(placed, batch)
    entries = lacking_entries(addressings(placed), config) if slots or memory else []
    return [*slots, *entries, *memory]


def _elements(net: Scaled, config: Config, batch: int) -> int:
    """Rows of the memory that the elements of tensors take that live together: no less will do."""
    rows = [-(-value.planes * int(np.prod(value.shape)) * batch // config.row_codes)
            for value in net.values]
    tensors = lives(net, rows)
    _, then = fullest(tensors, len(net.layers))
    return sum(tensors[i].rows for i in then)


# ---- a network without numbers -----------------------------------------------------------------
def _quantised(graph: Graph, config: Config) -> Quantised:
    """A canonical graph quantised to anything, with the tensors and, of the taps, some channels
    that read all that is read."""
    weights = {node.name: _weight(node.op) for node in graph if isinstance(node.op, Conv)}
    return Quantised(graph, _tensors(graph, config), weights, {})


def _tensors(graph: Graph, config: Config) -> dict[str, Codebook | Radix]:
    """Planes as quantisation makes them; codes below zero where a function allows them."""
    bits = {node.name: plane_bits(graph, node, config) for node in graph
            if not isinstance(node.op, Output)}
    out: dict[str, Codebook | Radix] = {name: radix(1.0, count, config)
                                        for name, count in bits.items() if count}
    signed: dict[str, bool] = {}
    for node in graph:
        signed[node.name] = _signed(node, [signed[name] for name in graph.inputs(node.name)])
    for group in groups(graph, [name for name, count in bits.items() if not count]):
        least = -1 if any(signed[name] for name in group) else 0
        out.update(dict.fromkeys(group, Codebook(1.0, np.arange(least, 2))))
    return out


def _signed(node: Node, sources: list[bool]) -> bool:
    """Can there be numbers below zero?"""
    op = node.op
    if isinstance(op, MaxPool | Concat | Output):
        return any(sources)
    if isinstance(op, Conv | AvgPool | Add) and nonnegative(op.function):
        return False
    passed_on = isinstance(op, AvgPool | Add) and op.function == "identity"
    return any(sources) if passed_on else True


def _weight(op: Conv) -> ClusteredWeight:
    used = op.weight != 0
    used[~_representative(used, op.groups)] = False
    return ClusteredWeight(np.ones(1), used.astype(np.int8), np.zeros(used.shape, bool),
                           np.ones(len(used)))


def _representative(used: Flags, groups: int) -> Flags:
    """Which output channels stand for all: of each group those of most weights and of most inputs,
    and more until they read all that any of it does. used: (K, C / groups, kh, kw)."""
    keep = np.zeros(len(used), bool)
    per_group = len(used) // groups
    inputs = used.any(axis=(2, 3)).sum(axis=1)
    counts = used.sum(axis=(1, 2, 3))
    for first in range(0, len(used), per_group):
        mine = np.arange(first, first + per_group)
        left = used[mine].any(axis=0)
        keep[mine[inputs[mine].argmax()]] = True
        for k in mine[np.argsort(-counts[mine], kind="stable")].tolist():
            if not (left & used[k]).any():
                continue
            keep[k] = True
            left &= ~used[k]
            if not left.any():
                break
    return keep


def _scaled(lowered: Lowered) -> Scaled:
    return Scaled(lowered.values, tuple(_layer(step, lowered.values) for step in lowered.steps),
                  tuple(step.path for step in lowered.steps), lowered.inputs, lowered.outputs)


def _layer(step: Step, values: tuple[Value, ...]) -> Layer:
    """The step with taps of factor 1."""
    layer = passing(step.name, step.kind, sources(step), step.output, step.terms,
                    values[step.output].shape[0])
    return dataclasses.replace(layer, op=step.op)
