"""What every machine model gives back, and the memory model that they share."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

PERIOD = 4096


@dataclasses.dataclass(frozen=True)
class MemoryModel:
    """Waits of the external memory, a function of the beat number only.

    Beat n (counted over all beats since the start, reads and writes alike) comes
    `stall[n % PERIOD]` clocks later than it could, the first beat of a burst
    `latency[n % PERIOD]` more.
    """

    latency: NDArray[np.int64]
    stall: NDArray[np.int64]

    @classmethod
    def fixed(cls, latency: int) -> MemoryModel:
        """The same latency for every burst, no stalls."""
        return cls(np.full(PERIOD, latency), np.zeros(PERIOD, np.int64))

    @classmethod
    def random(cls, seed: int, latency: int = 20) -> MemoryModel:
        """Latency 0..latency a burst; one beat in four stalls for 1 to 3 clocks."""
        rng = np.random.default_rng(seed)
        stall = np.where(rng.random(PERIOD) < 0.25, rng.integers(1, 4, PERIOD), 0)
        return cls(rng.integers(0, latency + 1, PERIOD), stall)

    def wait(self, beat: int, first: bool) -> int:
        """Clocks that beat number `beat` waits."""
        at = beat % PERIOD
        return int(self.stall[at]) + (int(self.latency[at]) if first else 0)


@dataclasses.dataclass
class Result:
    """One execution of a program on one engine.

    cycles: clocks from the start pulse (cycle 0) to the cycle in which `done` is first high.
    memory: external memory afterwards, uint8.
    starts, ends: cycle in which each instruction was taken by its unit / was done; -1 for END.
    tensors: codes (planes, N, C, H, W) of every tensor, captured when the instruction that
    completes it (program.completed_by) ends.
    writes: what the activation memory was given, in order: columns cycle, row; and mask (bool) and
    codes of the row's 2P cells. None where an engine does not record it.
    """

    engine: str
    cycles: int
    memory: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    tensors: dict[int, NDArray[np.int64]]
    writes: Writes | None = None


@dataclasses.dataclass
class Writes:
    """A trace of the activation memory's write port: W writes of rows of 2P codes."""

    cycle: NDArray[np.int64]      # (W,)
    row: NDArray[np.int64]        # (W,)
    mask: NDArray[np.bool_]       # (W, 2P)
    codes: NDArray[np.int64]      # (W, 2P)
