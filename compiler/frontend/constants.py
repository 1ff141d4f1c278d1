"""What a network computes of its parameters alone: normalised weights, masks, means and scales."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram

from ..errors import first_line
from .schema import Fx, operation

# elements of a constant; more would take gigabytes
LARGEST = 1 << 26


class Constants:
    """Values of the nodes of torch's graph that do not depend on the network's input."""

    def __init__(self, exported: ExportedProgram) -> None:
        self._paths: dict[Fx, str] = {}
        self._values: dict[Fx, Any] = {}
        named = parameters(exported)
        for node in exported.graph.nodes:
            if node.op == "placeholder" and node.name in named:
                self._paths[node], self._values[node] = named[node.name]

    def __contains__(self, node: Fx) -> bool:
        return node in self._values

    def __getitem__(self, node: Fx) -> torch.Tensor:
        value = self._values[node]
        assert isinstance(value, torch.Tensor)
        return value

    def path(self, node: Fx) -> str:
        """The torch path of a parameter or buffer, empty for what is computed."""
        return self._paths.get(node, "")

    def compute(self, node: Fx) -> None:
        """Compute an operation of constants. Raises ValueError, which says why it is none."""
        if any(source not in self._values for source in node.all_input_nodes):
            raise ValueError("it depends on the size of the batch")
        _check(node)
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
        assert callable(node.target)
        try:
            with torch.no_grad():
                self._values[node] = node.target(*args, **kwargs)
        except Exception as error:
            raise ValueError(f"torch cannot compute it: {first_line(error)}") from error


def _check(node: Fx) -> None:
    """Refuse what is no operation, another constant every time, or does not fit."""
    if not isinstance(node.target, torch._ops.OpOverload) and node.target is not operator.getitem:
        raise ValueError("it is none of torch's own operations")
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags:
        raise ValueError("it draws random numbers")
    if operation(node).startswith("empty"):
        raise ValueError("it makes a tensor without values")
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and value.numel() > LARGEST:
        raise ValueError(f"it makes a constant of {tuple(value.shape)}, which is too large")


def parameters(exported: ExportedProgram) -> dict[str, tuple[str, torch.Tensor]]:
    """Placeholder's name -> (path, value)."""
    signature = exported.graph_signature
    find: list[tuple[Any, Callable[[str], Any]]] = [
        (signature.inputs_to_parameters, lambda path: exported.state_dict[path]),
        (signature.inputs_to_buffers,
         lambda path: exported.state_dict.get(path, exported.constants.get(path))),
        (signature.inputs_to_lifted_tensor_constants, exported.constants.get),
    ]
    return {name: (path, value(path)) for names, value in find for name, path in names.items()}
