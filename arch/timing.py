"""Latencies and recurrences of the machine's blocks: the numbers behind docs/machine.md.

The TLM, the compiler's cost model and the RTL's tests use these; the RTL is built to them.
"""

from __future__ import annotations

# cycles from the take of a RUN to the first one in which stage 0 is active
RUN_SETUP = 2
# R_c = issue of the chunk's last tap + M + TOTAL_LATENCY
TOTAL_LATENCY = 10
# cycle of the memory write = cycle of the drain operation + DRAIN_LATENCY
DRAIN_LATENCY = 14
