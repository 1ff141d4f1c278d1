"""Peak-pruning: peaks as drawn, what lies below them goes, the budget decides."""

from __future__ import annotations

import pytest
import torch
from kcnn.compress.budget import right
from kcnn.compress.data import Data
from scripts import script
from torch import Tensor, nn

peak = script("bench/compression/peak")
BINS, ROUNDS, cut, peak_prune, peaks = peak.BINS, peak.ROUNDS, peak.cut, peak.peak_prune, peak.peaks


def humps(count: int = 4000) -> Tensor:
    """Two humps, at -0.5 and at 0.3, nothing near zero."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.06 * torch.randn(count, generator=generator)
    return torch.where(torch.arange(count) % 2 == 0, -0.5 + noise, 0.3 + noise)


def test_the_peaks_of_both_sides_are_found() -> None:
    negative, positive = peaks(humps(), 16)
    assert negative == pytest.approx(0.5, abs=0.05) and positive == pytest.approx(0.3, abs=0.03)


def test_the_peak_next_to_zero_counts_not_the_highest() -> None:
    weight = torch.cat([torch.full((20,), 0.25), torch.full((50,), 0.9), torch.ones(1)])
    assert peaks(weight, 8) == (0.0, pytest.approx((2 + 0.5) / 8))
    assert peaks(torch.zeros(3), 8) == (0.0, 0.0)


def test_survivors_below_the_peak_go_and_no_others() -> None:
    weight = humps()
    negative, positive = peaks(weight, 16)
    found = cut(weight, 16)
    kept = found != 0
    assert torch.equal(found[kept], weight[kept])
    assert found[kept & (found > 0)].min() >= positive and found[kept].max() == weight.max()
    assert found[kept & (found < 0)].max() <= -negative
    gone = weight[~kept]
    assert ((gone > -negative) & (gone < positive)).all() and 0.3 < kept.float().mean() < 0.7


def network() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        module[3].weight.copy_(humps(128).view(2, 64))
    return module.eval()


@pytest.fixture(scope="module")
def data() -> Data:
    x = torch.randn(200, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = network()(x).argmax(1)
    return Data(x[:100], y[:100], x[100:], y[100:])


def test_steps_that_cost_too_much_are_undone_and_finer_ones_follow(data: Data) -> None:
    calls: list[int] = []

    def tune(module: nn.Module, number: int, last: bool) -> None:
        """Breaks the network in the second step."""
        calls.append(int((module[3].weight != 0).sum()))
        if number == 1:
            with torch.no_grad():
                module[3].weight.mul_(-1)
                module[3].bias.mul_(-1)
    module = network()
    found, steps = peak_prune(module, data, ["3"], 0.6, right(module, data), tune)
    assert [(step.layer, step.bins, step.kept) for step in steps] == [
        ("3", BINS << i, i != 1) for i in range(ROUNDS)]
    assert calls == [step.after for step in steps] and steps[0].before == 128
    assert steps[2].before == steps[1].before == steps[0].after < 128
    assert int((found[3].weight != 0).sum()) == steps[-1].after <= steps[2].before
    assert torch.equal(found[0].weight, module[0].weight)
    assert int((module[3].weight != 0).sum()) == 128


def test_a_budget_of_nothing_keeps_what_costs_nothing(data: Data) -> None:
    module = network()
    found, steps = peak_prune(module, data, ["0", "3"], 0.0, right(module, data),
                              lambda module, number, last: None)
    for step in steps:
        assert step.kept == (step.loss <= 0)
    before, after = right(module, data), right(found, data)
    assert after.mean() >= before.mean()
