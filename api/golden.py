"""How far an engine's tensors are from those of the float network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arch import host
from ..arch.errors import KcnnError
from ..arch.program import Program
from ..engines import compare
from ..engines.execute import Outcome
from .arrays import Floats

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model
    from ..compiler.ir.graph import Graph


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """One tensor against the float network's, over all images.

    sqnr: dB, infinite where equal. agreement: share of images with the same largest element; for
    outputs of more than one channel, else None.
    """

    tensor: int
    name: str
    sqnr: float
    largest_error: float
    agreement: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields that `--json` adds to a tensor; an infinite SQNR is null."""
        return {"sqnr": self.sqnr if math.isfinite(self.sqnr) else None,
                "largest_error": self.largest_error, "top1_agreement": self.agreement}


def graph_of(network: Model, spec: str, program: Program) -> Graph:
    """The float network, in the form whose tensors the program's are named after.

    spec: names it in messages. Raises KcnnError if it is not the network that the program was
    compiled from.
    """
    from ..compiler import passes
    from ..compiler.frontend import trace as frontend
    graph = passes.canonicalise(frontend.trace(network.module, network.example_inputs))
    shapes = {node.name: node.shape for node in graph}
    named = nodes(program)
    for tensor, name in named.items():
        shape = program.tensors[tensor].kind.shape[1:]
        if shapes.get(name) != shape:
            found = (f"its tensor {name!r} has the shape {shapes[name]}, the binary's {shape}"
                     if name in shapes else f"it has no tensor {name!r}, but the binary has")
            raise KcnnError(f"{spec}: {found}; give the network that the binary was compiled from")
    option = spec.partition(" ")[0]
    _check_exponents(program, shapes, option)
    if not named:
        raise KcnnError(f"{option}: the binary does not say which tensors of a network it "
                        "computes; give one that kcnn compile wrote")
    return graph


def _check_exponents(program: Program, shapes: Mapping[str, tuple[int, int, int]], option: str
                     ) -> None:
    """The binary's channels are those of the network."""
    for name, exponents in program.meta.exponents.items():
        if len(exponents) != shapes.get(name, (0,))[0]:
            raise KcnnError(f"{option}: the binary's metadata has {len(exponents)} exponents for "
                            f"tensor {name!r}, which has other channels; recompile the network")


def _own_units(program: Program, name: str, stored: NDArray) -> NDArray:
    """A tensor (n, C, H, W) as the network's numbers, where its channels are stored as others."""
    exponents = np.array(program.meta.exponents.get(name, [0]))
    return stored * np.exp2(exponents)[:, None, None]


def nodes(program: Program) -> dict[int, str]:
    """Tensor -> the node of the network's graph that it is the value of."""
    return {tensor: name for tensor, name in enumerate(program.meta.nodes) if name}


def fidelity(program: Program, graph: Graph, arrays: Sequence[Floats],
             outcomes: Sequence[dict[str, Outcome]]) -> list[Fidelity]:
    """Every computed tensor that the float network has too, in the order of completion.

    outcomes: one a batch, of which the first engine's tensors are taken.
    """
    from ..compiler.quantise import emulate
    count = min(len(arrays[0]), len(outcomes) * program.batch)
    exact = emulate.run(graph, arrays[0][:count].astype(np.float64))
    inputs = {port.tensor for port in program.inputs}
    finals = {port.tensor for port in program.outputs}
    named = nodes(program)
    rows = []
    for tensor in compare.tensor_order(program):
        if tensor not in named or tensor in inputs:
            continue
        stored = np.concatenate([
            host.decode(next(iter(batch.values())).tensors[tensor], program.tensors[tensor],
                        program.config) for batch in outcomes])[:count]
        found = _own_units(program, named[tensor], stored)
        rows.append(_row(tensor, program.tensors[tensor].name, exact[named[tensor]], found,
                         tensor in finals))
    return rows


def _row(tensor: int, name: str, exact: NDArray, found: NDArray, final: bool) -> Fidelity:
    from ..compiler.quantise import closeness, emulate
    error = np.abs(exact - found)
    same = closeness.agreement(exact, found) if final else None
    return Fidelity(tensor, name, emulate.sqnr(exact, found), float(error.max(initial=0)),
                    None if same is None else same / len(exact))


def agreement_line(rows: Sequence[Fidelity]) -> str:
    """The sentence about SQNR and top-1 agreement."""
    least = min(rows, key=lambda row: row.sqnr)
    line = f"least SQNR {least.sqnr:.1f} dB, at {least.name}"
    shares = [row.agreement for row in rows if row.agreement is not None]
    if shares:
        line += f"; top-1 agreement with the float network {100 * shares[-1]:.1f} %"
    return line
