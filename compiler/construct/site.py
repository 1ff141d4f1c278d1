"""A value of the network that is being built, and the place in it where an operation stands."""

from __future__ import annotations

import dataclasses
import math

from ..errors import CompileError, InternalError
from ..ir.graph import Graph, Input, Node, Op, Output, Shape


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the network: the node that makes it, and its sizes as the network sees them.

    shape: (C, H, W) of the node's map. sizes: those behind the batch, of the same elements in the
    same order: a map may be seen as (C, H * W), or its channels as several dimensions.
    """

    node: str
    shape: Shape
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if math.prod(self.sizes) != math.prod(self.shape):
            raise InternalError(f"{self.node}: {self.shape} seen as {self.sizes}")

    @property
    def dimensions(self) -> int:
        """Dimensions of the tensor, the batch included."""
        return len(self.sizes) + 1

    @property
    def whole(self) -> bool:
        """It is seen as the map that it is, where missing dimensions are 1."""
        return padded(self.sizes) == self.shape


def padded(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes with ones for what is missing to (C, H, W)."""
    return (*sizes, 1, 1)[:max(3, len(sizes))]


@dataclasses.dataclass(frozen=True)
class Site:
    """Where an operation stands in the user's network.

    path: of the module that it belongs to. name: what its node shall be called. called: the
    operation in the user's words. code: file and line that call it, where they are known.
    """

    graph: Graph
    path: str
    name: str
    called: str = ""
    code: str = ""

    def add(self, op: Op, values: list[Value], shape: Shape,
            sizes: tuple[int, ...] | None = None) -> Value:
        """Add a node that reads the values; sizes: how its map is seen, if not as it is."""
        name = self.graph.unique(self.name)
        self.graph.add(Node(name, op, shape, self.path), [value.node for value in values])
        return Value(name, shape, shape if sizes is None else sizes)

    def after(self, value: Value, what: str) -> Site:
        """The site of something that is named by the value it reads."""
        return dataclasses.replace(self, name=f"{value.node}.{what}")

    def maps(self, x: Value) -> Shape:
        """(C, H, W) of a value that has to be whole maps."""
        if len(x.sizes) != 3:
            raise self.refuse(f"its input has {x.dimensions} dimensions, 4 are needed: "
                              "(N, C, H, W)")
        if not x.whole:
            raise self.refuse(f"it reads maps of {x.shape} reshaped to {x.sizes}; leave them as "
                              "they are")
        return x.shape

    def refuse(self, why: str) -> CompileError:
        """The error for an operation that has no meaning here."""
        return CompileError(f"{self.path}: {self.called or self.name} is not supported here "
                            f"({why}){self.at}")

    def wrong(self, what: str) -> CompileError:
        """The error for an operation whose numbers have no meaning."""
        return CompileError(f"{self.path}: {what}{self.at}")

    @property
    def at(self) -> str:
        """How a sentence goes on about the user's code."""
        return f", at {self.code}" if self.code else ""


def input_(site: Site, shape: Shape) -> Value:
    """The network's input."""
    if any(isinstance(node.op, Input) for node in site.graph):
        raise CompileError("the network takes more than one input; networks of one input tensor "
                           "can be compiled")
    return site.add(Input(), [], shape)


def output(site: Site, x: Value, number: int = 0) -> None:
    """An output of the network, the one of that number."""
    if not x.whole:
        raise CompileError(f"output {number} of the network has the shape (N, "
                           f"{', '.join(map(str, x.sizes))}); return whole maps or flatten "
                           "everything behind the batch")
    site.add(Output(x.dimensions), [x], x.shape)
