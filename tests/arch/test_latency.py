"""The depths of the blocks, summed: against the figures of the machine that was built first."""

from __future__ import annotations

import pytest
from kcnn.arch import latency, timing
from kcnn.arch.config import Config


def machine(lanes: int, share: int, code_bits: int) -> Config:
    return Config("m", lanes=lanes, share=share, drain=1, code_bits=code_bits, memory_codes=1 << 16,
                  tap_slots=64, base_entries=16, port_bits=32, burst=128)


@pytest.mark.parametrize("lanes, levels", [(4, 1), (8, 1), (16, 2), (32, 2), (64, 3), (128, 3)])
def test_a_tap_takes_as_many_clocks_as_it_did(lanes: int, levels: int) -> None:
    config = machine(lanes, 2, 4)
    assert latency.rotate_levels(config) == levels
    assert latency.tap_to_decode(config) == 5 + levels
    assert latency.tap_to_maxima(config) == 6 + levels
    assert latency.tap_to_sums(config) == 7 + levels
    assert timing.total_latency(config) == 11 + levels
    assert timing.total_latency(machine(lanes, 1, 4)) == 9 + levels
    assert latency.tap_in_flight(machine(lanes, 4, 4)) == 17 + levels


@pytest.mark.parametrize("code_bits", range(4, 9))
def test_an_operation_takes_as_many_clocks_as_it_did(code_bits: int) -> None:
    config = machine(16, 2, code_bits)
    assert latency.operation_to_total() == 3
    assert latency.operation_to_digit() == 8
    assert latency.operation_to_aim(config) == 8 + code_bits
    assert timing.drain_latency(config) == 10 + code_bits
