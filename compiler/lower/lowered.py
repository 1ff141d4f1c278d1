"""Between the quantised graph and a program: logical layers on tensors without addresses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...arch.columns import columns, dims, span
from ...arch.keys import keys
from ...arch.program import Pointing, Points, narrow
from ..ir.quantised import Codebook, Radix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor before it has a place. node: the graph node that it stands for, "" for a copy."""

    name: str
    node: str
    shape: tuple[int, int, int]
    meaning: Codebook | Radix

    @property
    def planes(self) -> int:
        """Radix planes, 1 for codes."""
        return self.meaning.planes if isinstance(self.meaning, Radix) else 1

    @property
    def order(self) -> int:
        """Codes below zero, 0 for radix planes."""
        return 0 if isinstance(self.meaning, Radix) else self.meaning.order


def reading(value: Value, stride_y: int, stride_x: int) -> str:
    """How a text names what a layer reads."""
    return value.name if stride_y == stride_x == 1 else f"{value.name} /{stride_y},{stride_x}"


def value_table(values: Sequence[Value]) -> str:
    """A line a value; of the node where it is another name."""
    return columns(("value", "makes", "integers", "node"), (
        (value.name, dims(value.shape), value.meaning,
         "" if value.node == value.name else value.node or "a copy") for value in values))


@dataclasses.dataclass(frozen=True)
class Read:
    """A value that a step reads, and the step's stride over it (y, x)."""

    value: int
    stride: tuple[int, int] = (1, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Terms(Pointing):
    """The taps of a step with real coefficients; one entry each, in no particular order.

    Output (k, y, x) gets the sum of +-coefficient * the real value of what the tap's point reads.
    Points may repeat, or be read by nobody. wide: the coefficient may become several clusters (skip
    connections).
    """

    k: NDArray[np.int32]
    coefficient: Floats
    points: Points
    point: NDArray[np.unsignedinteger]
    negative: NDArray[np.bool_]
    wide: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.k)

    def take(self, index: NDArray) -> Terms:
        """Some of the taps."""
        return Terms(self.k[index], self.coefficient[index], self.points, self.point[index],
                     self.negative[index], self.wide[index])

    def sorted(self) -> Terms:
        """The same with points that are all read, ascending by columns, each once."""
        used = np.bincount(self.point, minlength=len(self.points)) > 0
        points = self.points.take(np.flatnonzero(used))
        _, first, to = np.unique(keys(*vars(points).values()), return_index=True,
                                 return_inverse=True)
        table = np.zeros(len(self.points), np.int64)
        table[used] = to
        return dataclasses.replace(self, points=points.take(first),
                                   point=narrow(table)[self.point])

    @staticmethod
    def join(parts: Sequence[Terms]) -> Terms:
        """The taps of all parts."""
        def column(name: str) -> NDArray:
            return np.concatenate([getattr(part, name) for part in parts])

        first = np.cumsum([0, *(len(part.points) for part in parts)]).tolist()
        point = np.concatenate([part.point + start for part, start in
                                zip(parts, first, strict=False)])
        points = Points(*(np.concatenate([vars(part.points)[name] for part in parts])
                          for name in vars(parts[0].points)))
        return Terms(column("k"), column("coefficient"), points, point, column("negative"),
                     column("wide"))


@dataclasses.dataclass(frozen=True)
class Area:
    """A rectangle of outputs whose sums are divided by the same number."""

    y: int
    x: int
    height: int
    width: int
    divisor: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One layer before its numbers are integers.

    op: "sum" (function of terms / divisor + bias) or "max" (the code of largest rank among what the
    terms read). dense_macs, macs: multiply-accumulates per image, of the dense layer and those
    left.
    """

    name: str
    path: str
    kind: str
    op: str
    reads: tuple[Read, ...]
    output: int
    terms: Terms
    bias: Floats
    areas: tuple[Area, ...]
    function: str = "identity"
    dense_macs: int = 0
    macs: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Lowered:
    """A network of steps, in an order in which they run. inputs, outputs: (port name, value)."""

    values: tuple[Value, ...]
    steps: tuple[Step, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """A line a value and a line a step; taps as how many and the range of coefficients."""
        steps = columns(("step", "kind", "op", "reads", "makes", "taps", "coefficients", "bias",
                         "then", "areas", "MACs"), map(self._row, self.steps))
        return f"{value_table(self.values)}\n\n{steps}"

    def _row(self, step: Step) -> tuple[object, ...]:
        return (step.name, step.kind, step.op,
                ", ".join(reading(self.values[read.value], *read.stride) for read in step.reads),
                self.values[step.output].name, len(step.terms), span(step.terms.coefficient),
                span(step.bias), step.function, len(step.areas), step.macs)
