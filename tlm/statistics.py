"""Where the clocks went: the compute unit's time, by cause."""

from __future__ import annotations

import dataclasses

from ..arch.clocks import RunClocks
from ..arch.engine import Result


@dataclasses.dataclass(frozen=True)
class Losses:
    """The clocks of a whole program; the causes add up to its cycles."""

    taps: int = 0
    null_taps: int = 0
    setup: int = 0
    stream: int = 0
    multiplier: int = 0
    gate: int = 0
    tail: int = 0
    fill: int = 0             # FILL
    tokens: int = 0           # an instruction waits for the load or store unit
    sequencer: int = 0        # no instruction in the mailbox
    ending: int = 0           # after the last RUN or FILL

    @property
    def cycles(self) -> int:
        """The sum."""
        return sum(dataclasses.astuple(self))


@dataclasses.dataclass
class TlmResult(Result):
    """A `Result` and where its clocks went.

    runs: one entry a RUN, in program order.
    """

    runs: tuple[RunClocks, ...] = ()
    losses: Losses = dataclasses.field(default_factory=Losses)


def losses(runs: tuple[RunClocks, ...], cycles: int, fill: int, tokens: int,
           sequencer: int) -> Losses:
    """Sum up; what is left is the time after the last instruction of the compute unit."""
    causes = ("taps", "null_taps", "setup", "stream", "multiplier", "gate", "tail")
    sums = {name: sum(getattr(run, name) for run in runs) for name in causes}
    ending = cycles - sum(sums.values()) - fill - tokens - sequencer
    return Losses(**sums, fill=fill, tokens=tokens, sequencer=sequencer, ending=ending)
