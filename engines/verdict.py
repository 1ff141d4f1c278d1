"""The same inputs on several engines: which tensors differ, which instructions are mistimed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..arch.engine import MemoryModel
from ..arch.program import Program
from ..rtl.benchfiles import EngineError
from . import compare
from . import execute as engines
from .batches import Floats, Progress, batches, encode, told
from .compare import Difference, Mistiming
from .execute import Ints, Outcome


@dataclasses.dataclass
class Verdict:
    """What the comparison found; outcomes holds the engines' outcomes of every batch compared.

    Batches are compared one after the other, up to the first one with a difference.
    """

    names: list[str]
    outcomes: list[dict[str, Outcome]]
    differences: list[Difference]
    mistimings: list[Mistiming]
    failures: dict[str, str]           # engines that did not come to an end: why
    codes: list[Ints]                  # inputs of the last batch compared

    @property
    def equal(self) -> bool:
        return not (self.differences or self.mistimings or self.failures)

    @property
    def cycles(self) -> dict[str, int]:
        """Cycles of the first batch, of every engine that has them."""
        return {name: outcome.result.cycles for name, outcome in self.outcomes[0].items()
                if outcome.result is not None}


def judge(program: Program, arrays: Sequence[Floats], names: Sequence[str], memory: MemoryModel,
          progress: Progress = lambda step: None) -> Verdict:
    """Run and compare. Tensors are compared with the reference's if it takes part, else with the
    first engine's; cycles with those of the first engine that has them."""
    verdict = Verdict(sorted(names, key=lambda name: name != "reference"), [], [], [], {}, [])
    parts = batches(arrays, program.batch)
    for number, batch in enumerate(parts):
        verdict.codes = encode(program, batch)
        outcomes: dict[str, Outcome] = {}
        for name in verdict.names:
            progress(told(name, number, len(parts)))
            try:
                outcomes[name] = engines.execute(name, program, verdict.codes, memory, trace=True)
            except EngineError as error:
                verdict.failures[name] = str(error)
        verdict.outcomes.append(outcomes)
        verdict.differences, verdict.mistimings = differences(program, list(outcomes.values()))
        if not verdict.equal:
            break
    return verdict


def differences(program: Program, outcomes: Sequence[Outcome]
                ) -> tuple[list[Difference], list[Mistiming]]:
    """Every tensor that differs from the first outcome's, in the order of completion, and the first
    difference of every machine's clock to that of the first machine."""
    if not outcomes:
        return [], []
    found = [difference for other in outcomes[1:]
             for difference in compare.differences(program, outcomes[0], other)]
    order = {tensor: at for at, tensor in enumerate(compare.tensor_order(program))}
    found.sort(key=lambda difference: order.get(difference.tensor, len(order)))
    timed = [outcome.result for outcome in outcomes if outcome.result is not None]
    if not timed:
        return found, []
    late = [compare.mistiming(program, timed[0], other) for other in timed[1:]]
    return found, [mistiming for mistiming in late if mistiming is not None]
