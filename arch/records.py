"""Plain forms of a program's tensors, ports and layers, for the binary file and the text alike.

A plain form is made of dicts, lists, text and numbers. Arrays pass through a function that the
caller gives: `put` takes an array of integers and returns what stands for it, `take` is its
inverse, in any type of integers that holds them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import names
from .errors import FormatError
from .kind import Kind
from .layout import Layout
from .place import Box, Place
from .program import Layer, Piece, Points, Port, Source, Taps, Tensor, narrow
from .region import Space

Ints = NDArray[np.int64]
Put = Callable[[NDArray], Any]
Take = Callable[[Any], NDArray]

# numbers of what a tensor is, and of one of its places: layout, box (zeros: all of the tensor),
# space (its place in SPACES), and from when until when
KIND_FIELDS = tuple(f.name for f in dataclasses.fields(Kind) if f.name not in ("scale", "values"))
LAYOUT_FIELDS = tuple(f.name for f in dataclasses.fields(Layout))
BOX_FIELDS = tuple(f.name for f in dataclasses.fields(Box))
PLACE_FIELDS = (*LAYOUT_FIELDS, *(f"box_{name}" for name in BOX_FIELDS), "space", "since", "until")
SPACES = (Space.ROWS, Space.EXTERNAL)
WHOLE = (0,) * len(BOX_FIELDS)
POINT_FIELDS = tuple(f.name for f in dataclasses.fields(Points))
TAP_FIELDS = tuple(f.name for f in dataclasses.fields(Taps))
MOST_COUNT = 1 << 31
LAYER_TEXTS = ("name", "kind", "op")
LAYER_NUMBERS = ("output", "mode", "shift", "digits", "radix_width", "dense_macs", "macs")
LAYER_ARRAYS = ("thresholds", "codes", "runs")


def canonical(value: Any) -> str:
    """The one JSON text of a plain form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: str | bytes, where: str) -> dict[str, Any]:
    """Inverse of `canonical` for a table of fields; raises FormatError."""
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite,
                           object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: not JSON ({error}); recompile the network") from None
    if not isinstance(value, dict):
        raise FormatError(f"{where}: not a JSON object; recompile the network")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text)


def put_list(array: NDArray) -> list[int]:
    """`put` for text: the array as a list."""
    return array.astype(np.int64).tolist()


def take_list(value: Any) -> NDArray:
    """Inverse of `put_list`."""
    if not isinstance(value, list):
        raise TypeError(f"{names.shown(value)} is no list of integers")
    return np.array([_integer(v) for v in value], np.int64)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{names.shown(value)} is no integer")
    if value.bit_length() > 63:
        raise ValueError(f"{names.shown(value)} has more than 64 bits")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{names.shown(value)} is no text")
    return value


def _fields(plain: Any, wanted: Sequence[str]) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise TypeError(f"{names.shown(plain)} is no record")
    for name in sorted(set(plain) ^ set(wanted)):
        raise KeyError(f"field {names.shown(name)} is "
                       f"{'missing' if name in wanted else 'unknown'}")
    return plain


def tensor_to_plain(tensor: Tensor, put: Put) -> dict[str, Any]:
    """Plain form of a tensor. A column holds one of PLACE_FIELDS of all places."""
    kind: dict[str, Any] = {name: int(getattr(tensor.kind, name)) for name in KIND_FIELDS}
    kind |= {"scale": float(tensor.kind.scale),
             "values": put(np.array(tensor.kind.values, np.int64))}
    columns = place_numbers(tensor.places).T
    return {"name": tensor.name, "kind": kind,
            "places": {name: put(column)
                       for name, column in zip(PLACE_FIELDS, columns, strict=True)}}


def tensor_from_plain(plain: Any, take: Take, most: int | None = None) -> Tensor:
    """Inverse of `tensor_to_plain`; ValueError for more than `most` places."""
    fields = _fields(plain, ("name", "kind", "places"))
    kind = _fields(fields["kind"], (*KIND_FIELDS, "scale", "values"))
    if not isinstance(kind["scale"], float):
        raise TypeError(f"scale {names.shown(kind['scale'])} is no real number")
    made = kind_of([_integer(kind[name]) for name in KIND_FIELDS], kind["scale"],
                   take(kind["values"]).tolist())
    columns = _fields(fields["places"], PLACE_FIELDS)
    numbers = np.stack([take(columns[name]).astype(np.int64) for name in PLACE_FIELDS], axis=1)
    if most is not None and len(numbers) > most:
        raise ValueError(f"tensor {names.shown(fields['name'])} has {len(numbers)} places, "
                         f"{most} more can be needed")
    return Tensor(_text(fields["name"]), made, places_of(numbers))


def kind_of(numbers: Iterable[int], scale: float, values: Sequence[int]) -> Kind:
    """A kind from KIND_FIELDS and what is no number of a record."""
    return Kind(**dict(zip(KIND_FIELDS, numbers, strict=True)), scale=scale, values=tuple(values))


def place_numbers(places: Iterable[Place]) -> Ints:
    """PLACE_FIELDS of every place, a row each."""
    return np.array([(*vars(p.layout).values(), *(vars(p.box).values() if p.box else WHOLE),
                      SPACES.index(p.space), p.since, p.until) for p in places],
                    np.int64).reshape(-1, len(PLACE_FIELDS))


def places_of(numbers: Ints) -> tuple[Place, ...]:
    """Inverse of `place_numbers`; ValueError for a space that holds no tensors."""
    return tuple(_place(row) for row in numbers.tolist())


def _place(row: list[int]) -> Place:
    layout, box = row[:len(LAYOUT_FIELDS)], row[len(LAYOUT_FIELDS):-3]
    space, since, until = row[-3:]
    if not 0 <= space < len(SPACES):
        raise ValueError(f"a tensor lies in space {space}, there are {len(SPACES)}")
    return Place(Layout(*layout), Box(*box) if any(box) else None, SPACES[space], since, until)


def port_to_plain(port: Port) -> dict[str, Any]:
    """Plain form of an input or output."""
    return {"name": port.name, "tensor": int(port.tensor), "address": int(port.address)}


def port_from_plain(plain: Any) -> Port:
    """Inverse of `port_to_plain`."""
    fields = _fields(plain, ("name", "tensor", "address"))
    return Port(_text(fields["name"]), _integer(fields["tensor"]), _integer(fields["address"]))


def layer_to_plain(layer: Layer, put: Put) -> dict[str, Any]:
    """Plain form of a layer. Arrays are put in the order in which `layer_from_plain` takes them."""
    plain: dict[str, Any] = {name: getattr(layer, name) for name in LAYER_TEXTS}
    plain |= {name: int(getattr(layer, name)) for name in LAYER_NUMBERS}
    plain["sources"] = [[int(s.tensor), int(s.stride_y), int(s.stride_x)] for s in layer.sources]
    plain |= {name: put(np.array(getattr(layer, name), np.int64)) for name in LAYER_ARRAYS}
    plain["taps"] = taps_to_plain(layer.taps, put)
    plain["pieces"] = [_piece_to_plain(piece, put) for piece in layer.pieces]
    return plain


def taps_to_plain(taps: Taps, put: Put) -> dict[str, Any]:
    """Plain form of a layer's taps: edges as counts."""
    return {"channel_clusters": put(np.diff(taps.channel_clusters)),
            "cluster_factor": put(np.asarray(taps.cluster_factor)),
            "cluster_taps": put(np.diff(taps.cluster_taps)),
            "points": {name: put(np.asarray(getattr(taps.points, name)))
                       for name in POINT_FIELDS},
            "point": put(taps.point), "negative": put(taps.negative)}


def taps_from_plain(plain: Any, take: Take) -> Taps:
    """Inverse of `taps_to_plain`."""
    fields = _fields(plain, TAP_FIELDS)
    clusters, factor, taps = (take(fields[name]).astype(np.int64) for name in (
        "channel_clusters", "cluster_factor", "cluster_taps"))
    columns = _fields(fields["points"], POINT_FIELDS)
    points = Points(*(take(columns[name]).astype(np.int64) for name in POINT_FIELDS))
    point, negative = take(fields["point"]), take(fields["negative"])
    for name, array, limit in (("channel_clusters", clusters, MOST_COUNT),
                               ("cluster_taps", taps, MOST_COUNT),
                               ("point", point, len(points)), ("negative", negative, 2)):
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < limit:
            raise ValueError(f"a number of {name} is not from 0 to {limit - 1}")
    return Taps(_edges(clusters), factor, _edges(taps), points, narrow(point),
                negative.astype(bool))


def _edges(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)])


def _piece_to_plain(piece: Piece, put: Put) -> dict[str, Any]:
    return {"area": [int(piece.y), int(piece.x), int(piece.height), int(piece.width)],
            "scale": put(np.array(piece.scale, np.int64)),
            "bias": put(np.array(piece.bias, np.int64))}


def layer_from_plain(plain: Any, take: Take) -> Layer:
    """Inverse of `layer_to_plain`; KeyError, TypeError or ValueError for anything else."""
    fields = _fields(plain, (*LAYER_TEXTS, *LAYER_NUMBERS, *LAYER_ARRAYS,
                             "sources", "taps", "pieces"))
    values: dict[str, Any] = {name: _text(fields[name]) for name in LAYER_TEXTS}
    values |= {name: _integer(fields[name]) for name in LAYER_NUMBERS}
    values["sources"] = tuple(_source_from_plain(s) for s in fields["sources"])
    values |= {name: tuple(take(fields[name]).tolist()) for name in LAYER_ARRAYS}
    values["taps"] = taps_from_plain(fields["taps"], take)
    values["pieces"] = tuple(_piece_from_plain(p, take) for p in fields["pieces"])
    return Layer(**values)


def _source_from_plain(plain: Any) -> Source:
    tensor, stride_y, stride_x = map(_integer, plain)
    return Source(tensor, stride_y, stride_x)


def _piece_from_plain(plain: Any, take: Take) -> Piece:
    fields = _fields(plain, ("area", "scale", "bias"))
    y, x, height, width = map(_integer, fields["area"])
    scale, bias = take(fields["scale"]), take(fields["bias"])
    return Piece(y, x, height, width, tuple(scale.tolist()), tuple(bias.tolist()))
