"""Balanced pruning: equal lanes, the best choice, clocks of a column-broadcast engine."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.clusters import weighted
from kcnn.compress.prune import largest, shrink
from scripts import script
from torch import nn

balance = script("bench/compression/balance")
balanced = balance.balanced
balanced_mask = balance.balanced_mask
broadcast_clocks = balance.broadcast_clocks


def loads(mask: torch.Tensor, lanes: int) -> torch.Tensor:
    """Weights of every lane (row mod lanes) in every column, counted one by one."""
    found = torch.zeros(lanes, mask.shape[1], dtype=torch.long)
    for row, column in mask.nonzero().tolist():
        found[row % lanes, column] += 1
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(1, 60),
       st.integers(0, 99))
def test_every_column_is_equally_long_in_every_lane(lanes: int, rows: int, columns: int,
                                                    count: int, seed: int) -> None:
    weight = torch.randn(lanes * rows, columns, generator=torch.Generator().manual_seed(seed))
    mask = balanced_mask(weight, count, lanes)
    found = loads(mask, lanes)
    assert (found == found[0]).all()
    assert int(mask.sum()) == min(max(1, count // lanes) * lanes, weight.numel())
    clocks, ideal = broadcast_clocks(weight * mask, lanes)
    assert clocks == ideal == int(found[0].sum())


def test_the_largest_of_each_lane_are_kept() -> None:
    """Two lanes of two rows: by hand."""
    weight = torch.tensor([[9.0, 1.0], [8.0, 2.0], [7.0, 6.0], [-3.0, -5.0]])
    assert balanced_mask(weight, 4, 2).int().tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert balanced_mask(weight, 6, 2).int().tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]


def test_rows_that_do_not_fill_the_lanes() -> None:
    weight = torch.randn(10, 7, generator=torch.Generator().manual_seed(0))
    mask = balanced_mask(weight, 28, 4)
    found = loads(mask, 4)
    assert int((found.max(0).values - found.min(0).values).max()) <= 1
    assert not mask[weight == 0].any()


def test_clocks_count_the_fullest_lane() -> None:
    weight = torch.zeros(6, 3)
    weight[[0, 2, 4], 0] = 1.0           # lane 0 of two: three, lane 1: none
    weight[1, 1] = 1.0
    assert broadcast_clocks(weight, 2) == (4, 2)
    assert broadcast_clocks(weight, 3) == (2, 2)


def test_pruning_by_magnitude_is_out_of_balance_where_this_is_not() -> None:
    weight = torch.randn(64, 200, generator=torch.Generator().manual_seed(0))
    count = weight.numel() // 10
    plain, even = (broadcast_clocks(weight * mask, 16) for mask in (
        largest(weight, count), balanced_mask(weight, count, 16)))
    assert plain[0] > 2 * plain[1] and even[0] == even[1] <= plain[1]


def test_as_the_choice_of_a_layer_when_pruning() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 8))
    shrink(module, ("0", "2"), 0.4, {"0": 1.0, "2": 1.0}, {"0": balanced(8)})
    clocks, ideal = broadcast_clocks(weighted(module)["0"].weight, 8)
    assert clocks == ideal
    assert int((module[2].weight != 0).sum()) == pytest.approx(0.4 * 128, abs=30)
