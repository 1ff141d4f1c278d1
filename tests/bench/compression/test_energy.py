"""Energy: counts of a small layer by hand, times the published costs."""

from __future__ import annotations

import pytest
from kcnn.compress.account import Layer, Operations
from scripts import script

energy = script("bench/compression/energy")

LAYER = Layer("a", "conv", (4, 2, 3, 3), 10, nonzero=30, active=500, matched=200, inputs=50,
              nonzero_inputs=35)


def test_costs_are_the_published_ones() -> None:
    assert energy.energy(Operations(1, 0), energy.INTEGER32, 0, 0).total == 3.1
    assert energy.energy(Operations(0, 1), energy.INTEGER32, 0, 0).total == 0.1
    assert energy.energy(Operations(), energy.FLOAT32, 32, 0).sram == 5
    assert energy.energy(Operations(), energy.FLOAT32, 0, 32).dram == 640


def test_a_dense_layer_by_hand() -> None:
    found = energy.dense(LAYER)
    assert found.compute == pytest.approx(720 * 4.6)
    assert found.sram == pytest.approx((2 * 720 + 40) * 5)
    assert found.dram == 72 * 640


def test_a_broadcast_layer_by_hand() -> None:
    found = energy.broadcast(LAYER, stored_bytes=100)
    assert found.compute == pytest.approx(200 * (0.62 + 0.1))
    assert found.sram == pytest.approx((35 * 8 + 200 * (16 + 64) + 40 * 8) * 5 / 32)
    assert found.dram == 800 * 20


def test_a_clustered_layer_by_hand() -> None:
    found = energy.cluster_sums(LAYER, 3, stored_bytes=10)
    assert found.compute == pytest.approx(120 * 0.62 + (200 + 120) * 0.1)
    assert found.sram == pytest.approx((200 * 12 + 40 * 4) * 5 / 32)
    unpruned = energy.cluster_sums(LAYER, 3, 10, zero_weights=False)
    assert unpruned.compute - found.compute == pytest.approx(300 * 0.1)


def test_our_machine_by_hand() -> None:
    found = energy.taps(LAYER, clusters=7, stored_bytes=20, lanes=4)
    assert found.compute == pytest.approx(70 * 0.62 + (300 + 70) * 0.1)
    assert found.sram == pytest.approx((30 * 3 * 32 + 300 * 4 + 40 * 4) * 5 / 32)


def test_layers_add_up() -> None:
    parts = [energy.dense(LAYER), energy.broadcast(LAYER, 100)]
    assert energy.total(parts).total == pytest.approx(sum(part.total for part in parts))
