"""What holds for steps and for integer layers; it only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...arch.program import Layer, Piece, Points
from ..errors import require
from .lowered import Area, Lowered, Step, Value
from .scaling import Scaled

NUMBERS = ("source", "channel", "plane", "dy", "dx")


def verify_steps(net: Lowered) -> None:
    """Raise InternalError where steps read what is not there, or write twice or in part."""
    for step in net.steps:
        channels = net.values[step.output].shape[0]
        reads = [net.values[read.value] for read in step.reads]
        terms = step.terms
        _check_points(step.name, terms.points, reads)
        require(len(terms.negative) == len(terms.point)
                and _within(terms.point, len(terms.points)), step.name,
                "has taps of no point or without a sign")
        require(len(terms.k) == len(terms.coefficient) == len(terms.point)
                and _within(terms.k, channels), step.name, "has taps of no channel")
        require(step.bias.shape == (channels,), step.name, "has a bias of another size")
        _check_areas(step, step.areas, net.values)
    _check_order([(step.name, [read.value for read in step.reads], step.output)
                  for step in net.steps], net.inputs, net.outputs)


def verify_layers(net: Scaled) -> None:
    """The same of integer layers."""
    for layer in net.layers:
        taps, channels = layer.taps, net.values[layer.output].shape[0]
        _check_points(layer.name, taps.points, [net.values[s.tensor] for s in layer.sources])
        require(len(taps.negative) == len(taps) and _within(taps.point, len(taps.points)),
                layer.name, "has taps of no point or without a sign")
        require(_counts(taps.channel_clusters, channels, len(taps.cluster_factor))
                and _counts(taps.cluster_taps, len(taps.cluster_factor), len(taps)),
                layer.name, "has clusters that do not count its taps")
        if layer.op == "sum":
            _check_areas(layer, layer.pieces, net.values)
    _check_order([(layer.name, [s.tensor for s in layer.sources], layer.output)
                  for layer in net.layers], net.inputs, net.outputs)


def _check_points(name: str, points: Points, reads: Sequence[Value]) -> None:
    arrays = [getattr(points, field) for field in NUMBERS]
    require(all(a.dtype == np.int64 and len(a) == len(points) for a in arrays), name,
            "has lists of taps that differ in length or are not int64")
    require(_within(points.source, len(reads)), name, "has taps of no source")
    for number, limits in (("channel", [value.shape[0] for value in reads]),
                           ("plane", [value.planes for value in reads])):
        found = getattr(points, number)
        require(bool((found >= 0).all() and (found < np.array(limits)[points.source]).all()), name,
                f"has taps of a {number} that its source does not have")


def _within(numbers: np.ndarray, count: int) -> bool:
    return bool((numbers >= 0).all() and (numbers < count).all())


def _counts(edges: np.ndarray, parts: int, total: int) -> bool:
    return (len(edges) == parts + 1 and edges[0] == 0 and edges[-1] == total
            and bool((np.diff(edges) >= 0).all()))


def _check_areas(layer: Step | Layer, areas: Iterable[Area | Piece], values: Sequence[Value]
                 ) -> None:
    covered = np.zeros(values[layer.output].shape[1:], np.int64)
    for area in areas:
        covered[area.y:area.y + area.height, area.x:area.x + area.width] += 1
    require(bool((covered == 1).all()), layer.name, "does not compute every output once")


def _check_order(layers: Sequence[tuple[str, list[int], int]], inputs: Sequence[tuple[str, int]],
                 outputs: Sequence[tuple[str, int]]) -> None:
    ready = {value for _, value in inputs}
    for name, reads, output in layers:
        require(ready.issuperset(reads), name, "reads a value before it is there")
        require(output not in ready, name, "writes a value that is there already")
        ready.add(output)
    for name, value in outputs:
        require(value in ready, name, "is computed by nothing")
