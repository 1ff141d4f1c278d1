"""Latencies and recurrences of the machine's blocks: the numbers behind docs/machine.md.

The TLM, the compiler's cost model and the RTL's tests use these; the RTL is built to them.
"""

from __future__ import annotations

from .config import Config

# cycles from the take of a RUN to the first one in which stage 0 is active
RUN_SETUP = 2


def rotate_levels(config: Config) -> int:
    """Clocked levels of the aligner behind its merge: two bits of the rotation in each."""
    return config.lane_bits // 2


def total_latency(config: Config) -> int:
    """R_c = issue of the chunk's last tap + M + total_latency."""
    return rotate_levels(config) + (10 if config.share == 1 else 12)


def drain_latency(config: Config) -> int:
    """Cycle of the memory write = cycle of the drain operation + drain_latency."""
    return 10 + config.code_bits
