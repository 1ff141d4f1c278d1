"""What an engine made of images: outputs, cycles, and figures of every layer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ..arch.clocks import LayerClocks, layer_clocks
from ..arch.engine import MemoryModel, Result
from ..arch.show import Table, percent, table
from ..engines import batches, figures
from ..engines.execute import Outcome
from .images import OfImages


@dataclasses.dataclass(frozen=True, eq=False)
class Execution(OfImages):
    """Images on one engine. outcomes: one a batch; cycles and figures are those of the first.
    clock: MHz for which times are told."""

    engine: str
    outcomes: list[Outcome]
    memory: MemoryModel
    clock: float = figures.CLOCK

    def outputs(self, raw: bool = False) -> dict[str, NDArray[Any]]:
        """Every output by name, in the shape that torch gives it; raw: as integers."""
        return batches.joined(self.program, self.outcomes, len(self.inputs[0]), raw)

    @property
    def result(self) -> Result | None:
        """Everything that a machine tells of the first batch; None of the reference."""
        return self.outcomes[0].result

    @property
    def cycles(self) -> int | None:
        """Of a batch; None of the reference, which has none."""
        return None if self.result is None else self.result.cycles

    @functools.cached_property
    def clocks(self) -> dict[int, LayerClocks]:
        """Where the clocks of a batch went, by layer number; the TLM tells it for all machines."""
        if self.result is None:
            return {}
        from ..tlm.statistics import TlmResult
        result: Result | None = self.result
        if not isinstance(result, TlmResult):
            first = [array[:self.program.batch] for array in self.inputs]
            result = batches.run(self.program, first, "tlm", self.memory)[0].result
        assert isinstance(result, TlmResult)
        return layer_clocks(self.program, result)

    @functools.cached_property
    def layers(self) -> list[figures.LayerFigures]:
        """Cycles, taps, utilisation and bound of every layer."""
        return figures.layers(self.program, self.result,
                              {number: found.bound for number, found in self.clocks.items()})

    def to_json(self) -> dict[str, Any]:
        """What `kcnn run --json` holds."""
        return {"cycles": self.cycles, "engine": self.engine, "inputs_cut": self.inputs_cut,
                "outputs_at_limit": self.outputs_at_limit,
                "layers": [row.to_json() for row in self.layers]}

    def parts(self) -> Iterator[Table | str]:
        """Figures of every layer, the time of a batch, and its cycles by cause."""
        yield self._figures()
        if self.result is not None:
            yield figures.speed(self.result.cycles, self.program.batch, self.clock)
        if self.clocks:
            names = [field.name for field in dataclasses.fields(next(iter(self.clocks.values())))]
            yield table("cycles by cause", ("layer", *names, "sum"), (
                (self.program.layers[number].name, *dataclasses.astuple(found), found.cycles)
                for number, found in sorted(self.clocks.items())))

    def _figures(self) -> Table:
        rows: list[tuple[object, ...]] = [
            (row.name, row.cycles, row.taps, row.macs, percent(row.issue_utilisation),
             percent(row.useful_utilisation), row.bound) for row in self.layers]
        if self.result is not None:
            load, store, end = figures.phases(self.program, self.result)
            rows = [("(load)", load), *rows, ("(store)", store), ("(end)", end),
                    ("total", self.result.cycles, sum(row.taps for row in self.layers),
                     sum(row.macs for row in self.layers))]
        return table(f"{self.engine}: one batch of {self.program.batch}",
                     ("layer", "cycles", "issued taps", "macs", "issue", "useful", "bound"), rows,
                     (0, 6))

    def instructions(self) -> Table | None:
        """When every instruction was taken and done; None of the reference."""
        if self.result is None:
            return None
        return table("instructions", ("", "start", "end", "cycles", "instruction"), (
            (index, int(start), int(end), int(end - start) + 1, instruction)
            if instruction.UNIT is not None else (index, None, None, None, instruction)
            for index, (instruction, start, end) in enumerate(zip(
                self.program.instructions, self.result.starts, self.result.ends, strict=True))),
            (4,))
