"""Steps and layers that break their rules are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import canonical
import numpy as np
import pytest
from kcnn.compiler.errors import InternalError
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.lowered import Area, Lowered, Read
from kcnn.compiler.lower.scaling import Scaled, scale
from kcnn.compiler.lower.verify import verify_layers, verify_steps


def steps() -> Lowered:
    net = canonical.Builder(canonical.TINY, (2, 5, 5))
    net.output(net.conv(net.conv("x", 4), 3))
    return lower(net.quantised())


def layers() -> Scaled:
    return scale(steps(), canonical.TINY, 1)


def with_terms(**fields: int) -> Lowered:
    """The first step with another number in the last tap, or in the point that it reads."""
    net = steps()
    terms = net.steps[0].terms
    for name, number in fields.items():
        if name in ("k", "point"):
            terms = dataclasses.replace(terms, **{name: _changed(getattr(terms, name), number)})
        else:
            point = _changed(getattr(terms.points, name), number, int(terms.point[-1]))
            terms = dataclasses.replace(
                terms, points=dataclasses.replace(terms.points, **{name: point}))
    return with_step(terms=terms)


def _changed(values: np.ndarray, number: int, at: int = -1) -> np.ndarray:
    values = values.copy()
    values[at] = number
    return values


def with_step(**fields: Any) -> Lowered:
    net = steps()
    return dataclasses.replace(net, steps=(dataclasses.replace(net.steps[0], **fields),
                                           *net.steps[1:]))


def with_taps(**fields: Any) -> Scaled:
    net = layers()
    layer = net.layers[0]
    layer = dataclasses.replace(layer, taps=dataclasses.replace(layer.taps, **fields))
    return dataclasses.replace(net, layers=(layer, *net.layers[1:]))


def with_points(**fields: Any) -> Scaled:
    points = layers().layers[0].taps.points
    return with_taps(points=dataclasses.replace(points, **fields))


def test_what_lower_and_scale_make_passes() -> None:
    verify_steps(steps())
    verify_layers(layers())


@pytest.mark.parametrize(("net", "sentence"), [
    (with_terms(k=4), "conv1 has taps of no channel"),
    (with_terms(source=1), "conv1 has taps of no source"),
    (with_terms(channel=2), "conv1 has taps of a channel that its source does not have"),
    (with_terms(plane=2), "conv1 has taps of a plane that its source does not have"),
    (with_terms(point=255), "conv1 has taps of no point or without a sign"),
    (with_step(bias=np.zeros(3)), "conv1 has a bias of another size"),
    (with_step(areas=(Area(0, 0, 3, 2),)), "conv1 does not compute every output once"),
    (with_step(areas=(Area(0, 0, 3, 3),) * 2), "conv1 does not compute every output once"),
    (with_step(reads=(Read(2),)), "conv1 has taps|conv1 reads a value before it is there"),
    (with_step(output=0), "conv1 has taps|conv1 has a bias|writes a value that is there already"),
    (dataclasses.replace(steps(), outputs=(("y", 2), ("z", 5))), "z is computed by nothing"),
    (with_step(terms=dataclasses.replace(steps().steps[0].terms, negative=np.zeros(1, bool))),
     "conv1 has taps of no point or without a sign"),
])
def test_broken_steps_are_refused(net: Lowered, sentence: str) -> None:
    with pytest.raises(InternalError, match=sentence):
        verify_steps(net)


@pytest.mark.parametrize(("net", "sentence"), [
    (with_taps(cluster_taps=np.zeros(1, np.int64)), "conv1 has clusters that do not count"),
    (with_taps(channel_clusters=np.arange(5)), "conv1 has clusters that do not count its taps"),
    (with_points(dx=np.zeros(1, np.int64)), "conv1 has lists of taps"),
    (with_points(dx=layers().layers[0].taps.points.dx.astype(float)), "conv1 has lists of taps"),
    (with_taps(point=np.array([255], np.uint8)), "conv1 has taps of no point or without a sign"),
    (dataclasses.replace(layers(), layers=layers().layers[1:]), "conv2 reads a value before"),
    (dataclasses.replace(layers(), layers=layers().layers * 2), "conv1 writes a value that is"),
])
def test_broken_layers_are_refused(net: Scaled, sentence: str) -> None:
    with pytest.raises(InternalError, match=sentence):
        verify_layers(net)
