"""Tensors that lie whole in the activation memory, from one list of numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

from kcnn.arch.kind import Kind
from kcnn.arch.layout import Layout
from kcnn.arch.place import Place
from kcnn.arch.program import Tensor

KIND = {field.name for field in dataclasses.fields(Kind)}


def whole(name: str, scale: float = 1.0, values: tuple[int, ...] = (), **fields: int) -> Tensor:
    """fields: those of Kind and of Layout."""
    kind = Kind(scale=scale, values=tuple(values),
                **{n: value for n, value in fields.items() if n in KIND})
    layout = Layout(**{n: value for n, value in fields.items() if n not in KIND})
    return Tensor(name, kind, (Place(layout),))


def plain(name: str, shape: tuple[int, int, int, int], scale: float = 1.0,
          values: tuple[int, ...] = (), **kind: int) -> Tensor:
    """A dense tensor at address 0, for tests that never look at addresses."""
    n, c, h, w = shape
    return whole(name, scale, values, images=n, channels=c, height=h, width=w, base=0,
                 first_row=0, rows=1, channel=h * w, plane=n * c * h * w, image=c * h * w, row=w,
                 column=1, **kind)


def changed(tensor: Tensor, **changes: Any) -> Tensor:
    """The tensor with other fields of its kind or layout."""
    kind = {n: value for n, value in changes.items() if n in KIND}
    layout = {n: value for n, value in changes.items() if n not in KIND}
    return dataclasses.replace(
        tensor, kind=dataclasses.replace(tensor.kind, **kind),
        places=(Place(dataclasses.replace(tensor.layout, **layout)),))
