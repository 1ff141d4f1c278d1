"""Proposals: trials leave no trace, the best gain for its loss goes first."""

from __future__ import annotations

import copy

import pytest
import torch
from kcnn.compress.lower_kernel import current
from kcnn.compress.proposals import METHODS, Proposals
from kcnn.compress.ranking import CRITERIA
from kcnn.compress.sites import layer
from kcnn.compress.work import Meter, macs
from slim_networks import Residual, chain, images, seeded
from torch import nn

X = images(24)
Y = torch.arange(24) % 5


def proposals(module: nn.Module, *methods: str, criterion: str = "taylor", share: float = 0.05
              ) -> Proposals:
    meter = Meter(module, X)
    return Proposals(module, X, Y, methods, criterion, share, lambda some: macs(meter(some)))


@pytest.mark.parametrize("make", [chain, Residual])
def test_trials_leave_no_trace(make: type[nn.Module]) -> None:
    """A goal that is reached already: every proposal is tried, none is taken."""
    module = seeded(make(), 0)
    before = copy.deepcopy(module.state_dict())
    found = proposals(module, *METHODS)
    assert not found.take(found.cost(module))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_goal_is_reached_by_either_method_and_every_criterion(criterion: str) -> None:
    for method in METHODS:
        module = seeded(Residual(), 0)
        found = proposals(module, method, criterion=criterion)
        goal = 0.8 * found.cost(module)
        assert found.take(goal) and found.cost(module) <= goal


def test_what_nothing_reads_goes_first() -> None:
    module = seeded(chain(pool=""), 0)
    with torch.no_grad():
        layer(module, "conv2").weight[:, 4] = 0
        before = module(X)
    found = proposals(module, "linear")
    assert found.take(found.cost(module) - 1)
    assert torch.equal((~layer(module, "conv1").weight.flatten(1).any(1)).nonzero().ravel(),
                       torch.tensor([4]))
    with torch.no_grad():
        torch.testing.assert_close(module(X), before)


def test_a_kernel_that_is_low_but_for_next_to_nothing_goes_first() -> None:
    module = seeded(chain(norm=False), 0)
    conv = layer(module, "conv1")
    with torch.no_grad():
        conv.weight[3, :, :, 0] *= 1e-6
        conv.weight[3, :, :, 2] *= 1e-6
    found = proposals(module, "lower")
    assert found.take(found.cost(module) - 1)
    changed = [j for j, window in enumerate(current(conv.weight)) if window and window.cells < 9]
    assert changed == [3]
    window = current(conv.weight)[3]
    assert window is not None and (window.height, window.width) == (3, 1)


def test_a_proposal_takes_a_share_of_the_features_of_a_layer() -> None:
    module = seeded(chain(), 0)
    found = proposals(module, "linear", share=0.5)
    assert found.take(found.cost(module) - 1)
    gone = [int((~layer(module, name).weight.flatten(1).any(1)).sum()) for name in
            ("conv1", "conv2")]
    assert sorted(gone) in ([0, 2], [0, 3])
