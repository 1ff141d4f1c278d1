"""What engines made of the same images, compared bit by bit and clock by clock."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..arch.engine import MemoryModel
from ..arch.show import Table, decibel, table
from ..engines import batches, compare, failing
from ..engines.verdict import Verdict
from . import golden
from .golden import Fidelity
from .images import OfImages


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison(OfImages):
    """verdict: what was found. fidelities: how far every tensor is from the float network's, where
    one was given."""

    memory: MemoryModel
    verdict: Verdict
    fidelities: Sequence[Fidelity] = ()

    @property
    def equal(self) -> bool:
        """Is every tensor the same on all engines, and every instruction's start and end?"""
        return self.verdict.equal

    @property
    def cycles(self) -> dict[str, int]:
        """Of a batch, on every engine that has them."""
        return self.verdict.cycles

    @property
    def least_sqnr(self) -> float:
        """Of all tensors, against the float network's, dB; infinite where none was given."""
        return min((row.sqnr for row in self.fidelities), default=math.inf)

    def outputs(self) -> dict[str, NDArray[Any]]:
        """What the first engine made of the images that were compared, by name; nothing if none
        came to an end."""
        first = [next(iter(batch.values())) for batch in self.verdict.outcomes if batch]
        count = min(len(self.inputs[0]), len(first) * self.program.batch)
        return batches.joined(self.program, first, count) if first else {}

    def shrink(self, folder: Path) -> list[str]:
        """Write the smallest layer that differs by itself into a folder; what was done, in words.
        """
        return failing.write(folder, self.program, self.verdict, self.memory)

    def to_json(self) -> dict[str, Any]:
        """What `kcnn cosim --json` holds."""
        verdict = self.verdict
        return {
            "equal": verdict.equal, "cycles": verdict.cycles,
            "tensors": [self._tensor(tensor) for tensor in compare.tensor_order(self.program)],
            "engines": verdict.names,
            "failures": verdict.failures,
            "differences": [dataclasses.asdict(d) for d in verdict.differences],
            "mistimings": [dataclasses.asdict(m) for m in verdict.mistimings],
            "top1_agreement": self.fidelities[-1].agreement if self.fidelities else None,
            "inputs_cut": self.inputs_cut, "outputs_at_limit": self.outputs_at_limit}

    def _tensor(self, tensor: int) -> dict[str, Any]:
        entry = {"name": self.program.tensors[tensor].name, "elements": self._elements(tensor),
                 "differing": {d.engine: d.differing for d in self.verdict.differences
                               if d.tensor == tensor}}
        found = self._fidelity(tensor)
        return entry if found is None else entry | found.to_json()

    def _elements(self, tensor: int) -> int:
        return self.program.tensors[tensor].kind.size

    def _fidelity(self, tensor: int) -> Fidelity | None:
        return next((row for row in self.fidelities if row.tensor == tensor), None)

    # ---- shown ---------------------------------------------------------------------------------
    def parts(self) -> Iterator[Table | str]:
        """Every tensor on every engine, cycles, and what differs."""
        verdict = self.verdict
        yield self._table()
        if self.fidelities:
            yield golden.agreement_line(self.fidelities)
        yield from verdict.failures.values()
        yield from map(str, (*verdict.differences[:1], *verdict.mistimings))
        if verdict.equal:
            yield self._equal()

    def _table(self) -> Table:
        verdict, program = self.verdict, self.program
        others, count = verdict.names[1:], len(verdict.outcomes)
        beside = ("SQNR", "largest error") if self.fidelities else ()
        rows = [self._row(tensor, others) for tensor in compare.tensor_order(program)]
        cycles = ("cycles", None, *(verdict.cycles.get(name) for name in others))
        return table(f"compared with {verdict.names[0]}, {count} batch{'es' * (count > 1)} of "
                     f"{program.batch}", ("tensor", "elements", *others, *beside), [*rows, cycles])

    def _row(self, tensor: int, others: Sequence[str]) -> tuple[object, ...]:
        found = self._fidelity(tensor)
        beside = () if found is None else (decibel(found.sqnr), f"{found.largest_error:.4g}")
        return (self.program.tensors[tensor].name, self._elements(tensor),
                *(self._mark(tensor, name) for name in others), *beside)

    def _mark(self, tensor: int, name: str) -> str | None:
        if name in self.verdict.failures:
            return None
        differing = next((d.differing for d in self.verdict.differences
                          if (d.tensor, d.engine) == (tensor, name)), 0)
        return f"{differing} differ" if differing else "equal"

    def _equal(self) -> str:
        verdict = self.verdict
        if len(verdict.names) == 1:
            return f"only {verdict.names[0]} was run; name a second engine to compare it with"
        stamps = "" if len(verdict.cycles) < 2 else (
            f", all {len(self.program.instructions)} instructions start and end in the same cycles")
        return f"equal: every tensor on {len(verdict.names)} engines{stamps}"
