"""The compiler's intermediate form: a networkx DiGraph of typed nodes, one output tensor each.

    graph.nodes[name]["node"]            Node: operation, shape (C, H, W) of the output, torch path
    graph.edges[source, name]["slots"]   tuple: the input slots of `name` that `source` feeds

Names are unique and stable (torch module path, or the traced name where there is no module). Shapes
leave the batch out. Two subsets of it are named forms:

- *traced*: what the constructors make; every operation below may occur.
- *canonical*: only Input, Conv, AvgPool, MaxPool, Add, Concat and Output are left. Batch norms are
  folded, activations sit in `function` of the node before, a Linear is a Conv whose kernel is its
  whole input map, and a Conv may have a second input, the skip tensor added before `function`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ...arch.columns import columns, dims, span
from ..errors import InternalError

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]
Padding = tuple[int, int, int, int]     # top, left, bottom, right


def _words(*parts: tuple[str, object, object]) -> str:
    """What differs from the usual: (what, found, usual); a pair of equal numbers is told once."""
    return "".join(f", {what} {_short(found)}" for what, found, usual in parts if found != usual)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else ",".join(map(str, value))
    return str(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    """Base of operations."""

    def __str__(self) -> str:
        function = getattr(self, "function", "identity")
        return type(self).__name__ + _words(("then", function, "identity"))


@dataclasses.dataclass(frozen=True, eq=False)
class Input(Op):
    """The network's input."""


@dataclasses.dataclass(frozen=True, eq=False)
class Skip:
    """What is added to output (k, y, x): element (channels[k], y*sy + oy, x*sx + ox).

    channels: (K,), -1 where nothing is added; None: channel k. Only elements that exist are read.
    """

    stride: tuple[int, int] = (1, 1)
    offset: tuple[int, int] = (0, 0)
    channels: NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Conv(Op):
    """y = function(conv(x, weight) + bias [+ skip]).

    weight: (K, C / groups, kh, kw); bias: (K,). kind: the torch layer, Conv2d or Linear (whose
    kernel is its whole input map), or what an identity convolution stands for. padding may be
    negative in a Slice, which then leaves rows and columns out. skip: how a second input is read.
    """

    weight: Floats
    bias: Floats
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    kind: str = "Conv2d"
    function: str = "identity"
    skip: Skip = Skip()

    def __str__(self) -> str:
        skip = self.skip
        return f"{self.kind} {dims(self.weight.shape[2:])}" + _words(
            ("stride", self.stride, (1, 1)), ("padding", self.padding, (0, 0, 0, 0)),
            ("dilation", self.dilation, (1, 1)), ("groups", self.groups, 1),
            ("skip every", skip.stride, (1, 1)), ("skip from", skip.offset, (0, 0)),
            ("skip of", "some channels" if skip.channels is not None else "all", "all"),
            ("then", self.function, "identity"))


@dataclasses.dataclass(frozen=True, eq=False)
class BatchNorm(Op):
    """y = x * scale + shift, per channel (inference form). scale, shift: (C,)."""

    scale: Floats
    shift: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class Activation(Op):
    """y = function(x), elementwise; a name in layers.FUNCTIONS."""

    function: str

    def __str__(self) -> str:
        return self.function


@dataclasses.dataclass(frozen=True, eq=False)
class MaxPool(Op):
    """Maximum over a window; padding never wins."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        return f"MaxPool {dims(self.kernel)}" + _words(
            ("stride", self.stride, (1, 1)), ("padding", self.padding, (0, 0, 0, 0)),
            ("dilation", self.dilation, (1, 1)))


@dataclasses.dataclass(frozen=True, eq=False)
class AvgPool(Op):
    """Mean over a window, then function.

    divisor 0: the number of cells, those of the padding counted or not (count_padding). In ceil
    mode windows go beyond the padding, as the output's shape tells; such cells are never counted.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = (0, 0, 0, 0)
    count_padding: bool = True
    divisor: int = 0
    function: str = "identity"

    def __str__(self) -> str:
        return f"AvgPool {dims(self.kernel)}" + _words(
            ("stride", self.stride, (1, 1)), ("padding", self.padding, (0, 0, 0, 0)),
            ("padding is", "counted" if self.count_padding else "not counted", "counted"),
            ("divided by", self.divisor, 0), ("then", self.function, "identity"))


@dataclasses.dataclass(frozen=True, eq=False)
class Add(Op):
    """y = function(a + b); slots 0 and 1."""

    function: str = "identity"


@dataclasses.dataclass(frozen=True, eq=False)
class Concat(Op):
    """Concatenation over channels, in slot order."""


@dataclasses.dataclass(frozen=True, eq=False)
class Flatten(Op):
    """(C, H, W) to (C*H*W, 1, 1)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Output(Op):
    """An output of the network.

    dims: dimensions of torch's tensor, the batch included; those missing to (N, C, H, W) are 1.
    """

    dims: int = 4


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation and the shape of what it makes. `path`: where it comes from, for messages."""

    name: str
    op: Op
    shape: Shape
    path: str


def without(node: Node) -> Node:
    """A layer's sums: the node as it is before its function."""
    return dataclasses.replace(node, op=dataclasses.replace(
        node.op, function="identity"))      # type: ignore[call-arg]


class Graph:
    """The graph with the few ways to read and change it that passes need."""

    def __init__(self) -> None:
        self.nx = nx.DiGraph()

    def add(self, node: Node, inputs: list[str]) -> None:
        """Add a node that reads `inputs` in slot order (a name may come twice)."""
        if node.name in self.nx:
            raise InternalError(f"two nodes are named {node.name}")
        self.nx.add_node(node.name, node=node)
        self._connect(node.name, inputs)

    def _connect(self, name: str, inputs: list[str]) -> None:
        for source in dict.fromkeys(inputs):
            slots = tuple(i for i, other in enumerate(inputs) if other == source)
            self.nx.add_edge(source, name, slots=slots)

    def copy(self) -> Graph:
        """Another graph of the same (immutable) nodes."""
        out = Graph()
        out.nx = self.nx.copy()
        return out

    def __contains__(self, name: str) -> bool:
        return name in self.nx

    def unique(self, name: str) -> str:
        """The name, or name@2, name@3, ... where it is taken."""
        if name not in self:
            return name
        use = 2
        while f"{name}@{use}" in self:
            use += 1
        return f"{name}@{use}"

    def __str__(self) -> str:
        """A line a node; weights as their shape, how many are not zero and their range."""
        return columns(("node", "operation", "reads", "makes", "weights", "not zero", "range",
                        "from"), (self._row(node) for node in self))

    def _row(self, node: Node) -> tuple[object, ...]:
        weights: tuple[object, ...] = ("", None, "")
        if isinstance(node.op, Conv):
            weight = node.op.weight
            weights = dims(weight.shape), int(np.count_nonzero(weight)), span(weight)
        return (node.name, node.op, ", ".join(self.inputs(node.name)), dims(node.shape), *weights,
                "" if node.path == node.name else node.path)

    def __getitem__(self, name: str) -> Node:
        return self.nx.nodes[name]["node"]

    def __iter__(self) -> Iterator[Node]:
        """Nodes in a stable topological order: of insertion among equals, outputs last."""
        order = {name: (isinstance(self[name].op, Output), i) for i, name in enumerate(self.nx)}
        for name in nx.lexicographical_topological_sort(self.nx, key=order.__getitem__):
            yield self[name]

    def inputs(self, name: str) -> list[str]:
        """Names of the inputs in slot order."""
        slots: dict[int, str] = {}
        for source, _, data in self.nx.in_edges(name, data=True):
            slots.update(dict.fromkeys(data["slots"], source))
        return [slots[i] for i in sorted(slots)]

    def readers(self, name: str) -> list[str]:
        """Names of the nodes that read this one, in order of insertion."""
        return list(self.nx.successors(name))

    def replace(self, name: str, node: Node, inputs: list[str]) -> None:
        """Put another node (same name) with other inputs in a node's place; readers stay."""
        if node.name != name:
            raise InternalError("a replacement keeps the name")
        self.nx.remove_edges_from(list(self.nx.in_edges(name)))
        self.nx.nodes[name]["node"] = node
        self._connect(name, inputs)

    def bypass(self, name: str) -> None:
        """Remove a node of one input; its readers read that input instead."""
        (source,) = self.inputs(name)
        for reader in self.readers(name):
            inputs = [source if i == name else i for i in self.inputs(reader)]
            self.nx.remove_edges_from(list(self.nx.in_edges(reader)))
            self._connect(reader, inputs)
        self.nx.remove_node(name)
