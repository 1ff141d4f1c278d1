"""A call of an ATen operation in torch's exported graph: its name, and its arguments by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import CompileError
from ..ir.graph import Op, Shape

if TYPE_CHECKING:
    from .trace import Walk

Floats = NDArray[np.float64]
Fx = torch.fx.Node


def operation(node: Fx) -> str:
    """The operation's bare name: conv2d, relu, getitem."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.partition("::")[2].rstrip("_")
    return getattr(target, "__name__", str(target))


def writes_in_place(node: Fx) -> bool:
    """An operation that changes one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_bookkeeping(node: Fx) -> bool:
    """An operation on sizes, which computes no tensor."""
    return not isinstance(node.meta.get("val"), torch.Tensor | tuple | list)


class Call:
    """One call of an ATen operation: its arguments by the names of its schema."""

    def __init__(self, walk: Walk, node: Fx) -> None:
        self.walk = walk
        self.node = node
        self._arguments = arguments(node)

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        value = self._arguments.get(name)
        return default if value is None else value

    def source(self, value: Any = None) -> str:
        """Our node of a tensor argument (`self`, `input` or `x` where none is given)."""
        value = self.first if value is None else value
        if value not in self.walk.values:
            raise self.refuse("one of its tensors is a constant")
        return self.walk.values[value]

    @property
    def first(self) -> Any:
        """The first argument."""
        return next(iter(self._arguments.values()))

    def shape(self, source: str) -> Shape:
        """(C, H, W) of a node of ours."""
        return self.walk.graph[source].shape

    @property
    def dimensions(self) -> int:
        """Dimensions of the first argument in torch, batch included."""
        return len(self.first.meta["val"].shape)

    @property
    def result(self) -> Shape:
        """(C, H, W) of what torch makes, missing dimensions 1."""
        return self.walk.shape(self.node)

    def parameter(self, name: str) -> Floats | None:
        """A parameter argument, None where it is absent."""
        value = self._arguments.get(name)
        return None if value is None else self.walk.parameter(value)

    def is_constant(self, name: str) -> bool:
        """An argument is a number, or a tensor that does not depend on the network's input."""
        value = self._arguments[name]
        return not isinstance(value, Fx) or self.walk.is_constant(value)

    def constant(self, name: str) -> Floats:
        """The number or the tensor of a constant argument."""
        value = self._arguments[name]
        if isinstance(value, Fx):
            return self.walk.parameter(value)
        if not math.isfinite(value):
            raise self.refuse(f"its constant is {value}")
        return np.asarray(float(value))

    def add(self, op: Op, inputs: list[str], shape: Shape | None = None) -> str:
        return self.walk.add(self.node, op, inputs, self.result if shape is None else shape)

    def refuse(self, why: str) -> CompileError:
        return self.walk.unsupported(self.node, why)


def arguments(node: Fx) -> dict[str, Any]:
    """What a call is given, by the names of the operation's schema, defaults included."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {str(i): value for i, value in enumerate(node.args)}
    out: dict[str, Any] = {}
    for i, argument in enumerate(node.target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        given = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name, default)
        out[argument.name] = given
    return out
