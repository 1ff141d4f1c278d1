"""DianNao's cycles: published sizes, counts by loops, what the modified form changes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.work import Work
from scripts import script

diannao = script("bench/compression/diannao")
BASE = diannao.BASE
MODIFIED = diannao.MODIFIED
Machine = diannao.Machine
cycles = diannao.cycles
total = diannao.total


def conv(windows: dict[tuple[int, int], int], sources: int = 64, positions: int = 64,
         kernel: int = 3, kind: str = "conv") -> Work:
    taps = sources * sum(h * w * n for (h, w), n in windows.items())
    return Work("conv", kind, positions, sources, positions, windows, (kernel, kernel), taps)


def test_the_published_sizes() -> None:
    assert BASE.peak / 2 ** 30 == pytest.approx(452, abs=1)        # 452 GOP/s, in binary giga
    assert BASE.buffer_bytes == 36 * 1024                          # 44 KB with 8 KB of program
    assert dataclasses.replace(MODIFIED, classes=False) == BASE


def by_loops(work: Work, kernels: list[tuple[int, int]]) -> int:
    """Compute cycles: one for each position, tile of features, cell, and T inputs."""
    count = 0
    while kernels:
        tile, kernels = kernels[:16], kernels[16:]
        for _ in range(max(height for height, _ in tile)):
            for _ in range(max(width for _, width in tile)):
                for _ in range(0, work.sources, 16):
                    count += work.positions
    return count


@settings(max_examples=50, deadline=None)
@given(windows=st.dictionaries(st.sampled_from([(1, 1), (1, 3), (3, 1), (2, 2), (3, 3)]),
                               st.integers(1, 70), min_size=1),
       sources=st.integers(1, 70), positions=st.integers(1, 30))
def test_compute_cycles_are_those_of_the_loops(windows: dict[tuple[int, int], int], sources: int,
                                               positions: int) -> None:
    work = conv(windows, sources, positions)
    kernels = [window for window in sorted(windows, key=lambda w: -w[0] * w[1])
               for _ in range(windows[window])]
    plain, modified = cycles(work, BASE), cycles(work, MODIFIED)
    assert plain.compute == by_loops(work, [(3, 3)] * len(kernels))
    assert modified.compute == by_loops(work, kernels)
    assert modified.total <= plain.total


def test_classes_of_whole_tiles_save_as_many_cycles_as_multiplications() -> None:
    full, lower = conv({(3, 3): 64}), conv({(3, 3): 16, (1, 1): 48})
    saved = lower.macs / full.macs
    assert cycles(lower, MODIFIED).compute / cycles(full, BASE).compute == saved
    assert cycles(lower, BASE).compute == cycles(full, BASE).compute


def test_a_tile_of_two_classes_takes_the_bounds_of_both() -> None:
    work = conv({(3, 3): 17, (1, 1): 47})
    assert cycles(work, MODIFIED).compute == (2 * 9 + 2 * 1) * 4 * 64
    across = conv({(1, 3): 8, (3, 1): 8})
    assert cycles(across, MODIFIED).compute == 9 * 4 * 64


def test_linear_features_bypass_the_multipliers() -> None:
    work = Work("mix", "linear", 100, 20, 100, {(1, 1): 20}, (1, 1), 20)
    assert cycles(work, MODIFIED).compute == 2 * 100
    assert cycles(work, BASE).compute == 2 * 2 * 100


def test_a_layer_of_few_positions_waits_for_its_weights() -> None:
    """Fully connected: 512 bytes of weights a cycle are needed, fewer come."""
    work = conv({(1, 1): 160}, sources=1600, positions=1, kernel=1, kind="fc")
    found = cycles(work, BASE)
    weights, inputs, outputs = 160 * 1600, 1600 * 10, 160          # NBin holds 1024 inputs
    assert found.memory == pytest.approx(2 * (weights + inputs + outputs) / 255)
    assert found.compute == 10 * 100 and found.total == found.memory + 30
    wide = Machine(bandwidth=1e9)
    assert cycles(work, wide).total == 1000 + 30


def test_weights_beyond_sb_come_again_for_every_block_of_outputs() -> None:
    small = conv({(3, 3): 16}, sources=112, positions=640)         # 63 rows of SB
    large = conv({(3, 3): 16}, sources=128, positions=640)         # 72 rows
    wide = Machine(bandwidth=2.0)                                  # one value a cycle

    def weights(work: Work) -> float:
        return cycles(work, wide).memory - work.sources * 640 - 16 * 640

    assert weights(small) == 63 * 256 and weights(large) == 10 * 72 * 256


def test_a_layer_without_features_takes_nothing() -> None:
    empty = Work("gone", "conv", 64, 0, 64, {}, (0, 0), 0)
    assert total([empty], BASE) == total([empty], MODIFIED) == 0
