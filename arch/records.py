"""Plain forms of a program's tensors, ports and layers, for the binary file and the text alike.

A plain form is made of dicts, lists, text and numbers. Arrays pass through a function that the
caller gives: `put` takes an int64 array and returns what stands for it, `take` is its inverse.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import names
from .errors import FormatError
from .kind import Kind
from .layout import Layout
from .place import Place
from .program import Layer, Piece, Port, Source, Taps, Tensor

Ints = NDArray[np.int64]
Put = Callable[[Ints], Any]
Take = Callable[[Any], Ints]

# what a tensor is and how it lies, as numbers of one record
KIND_FIELDS = ("images", "channels", "height", "width", "planes", "bits", "pad", "order")
LAYOUT_FIELDS = ("base", "first_row", "rows", "images", "channels", "height", "width", "channel",
                 "plane", "image", "row", "column", "split", "phase_y", "phase_x", "planes", "bits",
                 "pad", "order")
# arrays of taps, by their names in files
TAP_FIELDS = {{"channel_clusters": "channel_runs", "cluster_factor": "run_factor",
               "cluster_taps": "run_taps"}.get(f.name, f.name): f.name
              for f in dataclasses.fields(Taps)}
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


def put_list(array: Ints) -> list[int]:
    """`put` for text: the array as a list."""
    return np.asarray(array, np.int64).tolist()


def take_list(value: Any) -> Ints:
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
    """Plain form of a tensor."""
    return {"name": tensor.name, "scale": float(tensor.kind.scale),
            "values": put(np.array(tensor.kind.values, np.int64)), "layout": numbers(tensor)}


def numbers(tensor: Tensor) -> dict[str, int]:
    """The fields of a tensor's kind and layout; FormatError for one of several places, which files
    cannot say."""
    layout = tensor.layout
    return {name: int(getattr(tensor.kind if name in KIND_FIELDS else layout, name))
            for name in LAYOUT_FIELDS}


def whole(name: str, fields: Mapping[str, int], scale: float, values: Sequence[int]) -> Tensor:
    """Inverse of `numbers`: a tensor that lies in the activation memory."""
    kind = Kind(**{name: fields[name] for name in KIND_FIELDS}, scale=scale, values=tuple(values))
    layout = Layout(**{name: value for name, value in fields.items() if name not in KIND_FIELDS})
    return Tensor(name, kind, (Place(layout),))


def tensor_from_plain(plain: Any, take: Take) -> Tensor:
    """Inverse of `tensor_to_plain`."""
    fields = _fields(plain, ("name", "scale", "values", "layout"))
    layout = _fields(fields["layout"], LAYOUT_FIELDS)
    if not isinstance(fields["scale"], float):
        raise TypeError(f"scale {names.shown(fields['scale'])} is no real number")
    return whole(_text(fields["name"]), {n: _integer(v) for n, v in layout.items()},
                 fields["scale"], take(fields["values"]).tolist())


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
    plain["taps"] = {name: put(np.asarray(getattr(layer.taps, field), np.int64))
                     for name, field in TAP_FIELDS.items()}
    plain["pieces"] = [_piece_to_plain(piece, put) for piece in layer.pieces]
    return plain


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
    taps = _fields(fields["taps"], tuple(TAP_FIELDS))
    values["taps"] = Taps(**{field: take(taps[name]) for name, field in TAP_FIELDS.items()})
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
