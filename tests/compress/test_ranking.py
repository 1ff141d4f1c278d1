"""Criteria of importance against their definitions, and on features that plainly matter or not."""

from __future__ import annotations

import copy

import pytest
import torch
from kcnn.compress.errors import CompressError
from kcnn.compress.ranking import CRITERIA, rank
from kcnn.compress.sites import layer, sites
from slim_networks import Residual, chain, images, seeded
from torch import Tensor, nn
from torch.nn import functional

X = images(20)
Y = torch.randint(5, (20,), generator=torch.Generator().manual_seed(4))


def scores(module: nn.Module, criterion: str) -> dict[str, Tensor]:
    return rank(module, sites(module, X[:1]), X, Y, criterion)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("make", [chain, Residual])
def test_scores_of_every_site_leave_the_network_as_it_was(criterion: str,
                                                          make: type[nn.Module]) -> None:
    module = seeded(make(), 0).train()
    before = copy.deepcopy(module.state_dict())
    found = scores(module, criterion)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    for name, score in found.items():
        assert score.shape == layer(module, name).weight.shape[:1]
        assert score.dtype == torch.float64 and (score >= 0).all() and score.any()


@pytest.mark.parametrize("criterion", ["ablation", "taylor"])
def test_what_nothing_reads_does_not_matter(criterion: str) -> None:
    module = seeded(chain(), 0)
    with torch.no_grad():
        layer(module, "conv2").weight[:, 3] = 0
    score = scores(module, criterion)["conv1"]
    assert score[3] == 0 and (score[[0, 1, 2, 4, 5]] > 0).any()


def test_l1_is_the_sum_of_magnitudes() -> None:
    module = seeded(chain(), 0)
    weight = layer(module, "conv2").weight
    wanted = [sum(abs(w) for w in row.ravel().tolist()) for row in weight]
    assert scores(module, "l1")["conv2"].tolist() == pytest.approx(wanted)


def test_a_copy_can_be_reconstructed_and_noise_cannot() -> None:
    module = seeded(chain(norm=False, pool=""), 0)
    conv = layer(module, "conv1")
    with torch.no_grad():
        conv.weight[4], conv.bias[4] = 3 * conv.weight[1], 3 * conv.bias[1]
    score = scores(module, "reconstructability")["conv1"]
    assert score[[1, 4]].max() < 1e-6 and score[[0, 2, 3, 5]].min() > 1e-2
    assert score.max() <= 1


def test_taylor_is_the_gradient_towards_scaling_a_feature() -> None:
    """d loss / d s of y_j -> s * y_j, image by image, by finite differences."""
    module = seeded(chain(pool=""), 0).double()
    got = rank(module, sites(module, X[:1].double()), X.double(), Y, "taylor")["conv1"]
    step, wanted = 1e-5, []
    for j in range(6):
        change = []
        for sign in (1, -1):
            scaled = copy.deepcopy(module)
            with torch.no_grad():
                for values in (scaled.norm1.weight, scaled.norm1.bias):
                    values[j] *= 1 + sign * step
                change.append(functional.cross_entropy(scaled(X.double()), Y, reduction="none"))
        wanted.append(((change[0] - change[1]) / (2 * step)).abs().mean().item())
    assert got.tolist() == pytest.approx(wanted, rel=1e-4)


def test_ablation_puts_the_mean_in_place_of_a_feature() -> None:
    module = seeded(chain(pool="", norm=False), 0)
    found = scores(module, "ablation")["conv1"]
    with torch.no_grad():
        before, plain = functional.cross_entropy(module(X), Y), module.conv1(X)
        for j in range(6):
            y = plain.clone()
            y[:, j] = plain[:, j].mean()
            rise = functional.cross_entropy(module[1:](y), Y) - before
            assert found[j].item() == pytest.approx(max(rise.item(), 0), abs=1e-6)


def test_another_criterion_is_refused() -> None:
    with pytest.raises(CompressError, match="ablation, l1, taylor, reconstructability"):
        scores(seeded(chain(), 0), "luck")
