"""An ATen operation in torch's exported graph: its name, and its arguments by name."""

from __future__ import annotations

from typing import Any

import torch

Fx = torch.fx.Node


def operation(node: Fx) -> str:
    """The operation's bare name: conv2d, relu, getitem."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.partition("::")[2].rstrip("_")
    return getattr(target, "__name__", str(target))


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


def writes_in_place(node: Fx) -> bool:
    """An operation that changes one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_bookkeeping(node: Fx) -> bool:
    """An operation on sizes, which computes no tensor."""
    return not isinstance(node.meta.get("val"), torch.Tensor | tuple | list)
