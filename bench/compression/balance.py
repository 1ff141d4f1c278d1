"""Pruning that keeps the lanes of a column-broadcast engine equally busy.

Such an engine (EIE's, and the second paper's) sends one input at a time to all lanes; row i of a
fully connected layer belongs to lane i mod lanes, and a lane adds the weights that its rows have in
the input's column. The column takes as long as its busiest lane, so what counts is not how many
weights are left but how many the fullest lane has in each column.

Balanced pruning keeps, in every column, equally many weights in every lane. How many is decided
column by column: ranks of weights within lane and column are kept in the order of what they are
worth, the sum of their squares over the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def balanced(lanes: int) -> Callable[[Tensor, int], Tensor]:
    """A choice of weights (prune.Select) for a matrix (rows, columns) or a kernel seen as one."""
    return lambda weight, count: balanced_mask(weight, count, lanes)


def balanced_mask(weight: Tensor, count: int, lanes: int) -> Tensor:
    """Bool like the weight (rows, ...): about `count` weights to keep, fewer by less than `lanes`
    as far as the lanes have equally many rows; one weight in every lane of a column at least."""
    size = _by_lane(weight.detach().abs(), lanes)           # (lanes, rows a lane, columns)
    order = size.argsort(dim=1, descending=True, stable=True)
    ranked = size.gather(1, order)
    worth = ranked.square().sum(0)                          # (rows a lane, columns), falling
    groups = worth.ravel().argsort(descending=True, stable=True)
    whole = max(1, count // lanes)
    chosen = torch.zeros(worth.numel(), dtype=torch.bool)
    chosen[groups[:whole]] = True
    kept = torch.zeros_like(size, dtype=torch.bool).scatter(
        1, order, chosen.view(1, *worth.shape).expand_as(size))
    flat = kept.transpose(0, 1).flatten(0, 1)[:len(weight)]
    return flat.view_as(weight) & (weight != 0)


def broadcast_clocks(weight: Tensor, lanes: int) -> tuple[int, int]:
    """Clocks for all columns, one addition a lane and clock, and what they would be if every lane
    were always busy."""
    loads = (_by_lane(weight.detach(), lanes) != 0).sum(1)
    return int(loads.max(0).values.sum()), math.ceil(int(loads.sum()) / lanes)


def _by_lane(weight: Tensor, lanes: int) -> Tensor:
    """(lanes, rows a lane, columns), filled with zeros; row i is in lane i mod lanes."""
    flat = weight.flatten(1)
    rows = math.ceil(len(flat) / lanes)
    padded = torch.cat([flat, flat.new_zeros(rows * lanes - len(flat), flat.shape[1])])
    return padded.view(rows, lanes, -1).transpose(0, 1)
