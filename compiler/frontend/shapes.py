"""Does an exported network say of its tensors what torch finds when it runs their shapes?"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram

from .constants import parameters

Fx = torch.fx.Node


def check_shapes(exported: ExportedProgram) -> None:
    """Raise ValueError, or what torch raises, where a file contradicts itself."""
    inputs = [node for node in exported.graph.nodes if node.op == "placeholder"]
    held = parameters(exported)
    for node in inputs:
        if node.name in held:
            _compare(node, held[node.name][1])
    given = [node.meta.get("val") for node in inputs]
    with torch.no_grad(), detect_fake_mode(given) or contextlib.nullcontext():
        _Shapes(exported.graph_module, garbage_collect_values=False).run(*given)


class _Shapes(torch.fx.Interpreter):
    """Runs a graph on tensors that are shapes only."""

    def run_node(self, n: Fx) -> Any:
        found = super().run_node(n)
        if n.op == "call_function":
            _compare(n, found)
        return found


def _compare(node: Fx, found: Any) -> None:
    said = node.meta.get("val")
    if isinstance(found, torch.Tensor) != isinstance(said, torch.Tensor):
        raise ValueError(f"{node.name} is a {type(found).__name__}")
    if isinstance(said, torch.Tensor) and said.shape != found.shape:
        raise ValueError(f"{node.name} is said to be {tuple(said.shape)}, and is "
                         f"{tuple(found.shape)}")
