"""Where a node of torch's graph comes from: its module, and the line of the user's code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch

Fx = torch.fx.Node

FRAME = re.compile(r'^ *File "([^"\n]+)", line (\d+), in ', re.MULTILINE)
TORCH = Path(torch.__file__).parent.as_posix()
# where other machines have torch, and code that is in no file
NOT_THE_USERS = re.compile(r"(.*[/\\])?(site|dist)-packages[/\\]torch[/\\]|<")
LONGEST = 300


class Module(NamedTuple):
    """The innermost module that a node belongs to.

    key: another one for every call of it. path: empty for the network itself. kind: its class.
    """

    key: str = ""
    path: str = ""
    kind: str = ""

    @property
    def layer(self) -> str:
        """The name of its class where that is one of torch's layers, else empty."""
        if self.kind.startswith("torch.nn.modules.") and ".container." not in self.kind:
            return self.kind.rpartition(".")[2]
        return ""


def module(node: Fx) -> Module:
    """The innermost module that a node of torch's graph belongs to."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return Module()
    key, (path, kind) = list(stack.items())[-1]
    if path.startswith("_empty_nn_module_stack"):      # torch's mark of nodes without a module
        return Module()
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return Module(key, path, kind)


def code(node: Fx) -> str:
    """file:line of the innermost call that is not torch's own, empty where none is known.

    The file as seen from the current folder. An exported file says it too, as it was where it was
    written.
    """
    trace = node.meta.get("stack_trace")
    frames = FRAME.findall(trace) if isinstance(trace, str) else []
    for file, line in reversed(frames):
        if not NOT_THE_USERS.match(file) and not file.startswith(TORCH) and file.isprintable():
            return f"{_seen_from_here(file)[-LONGEST:]}:{line[:9]}"
    return ""


def _seen_from_here(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
