"""Numbers of clusters: the smallest above the limit, the network left as it was."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from kcnn.compress.data import accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.maps import inputs
from scripts import script
from torch import nn

cluster_choice = script("bench/compression/cluster_choice")
Trial = cluster_choice.Trial
choose = cluster_choice.choose
choose_clusters = cluster_choice.choose_clusters
confidence_limit = cluster_choice.confidence_limit

COST = {"a": 4, "b": 30, "c": 100}


def measure(counts: Mapping[str, int | None]) -> float:
    """A network that loses for each site what its number of clusters is below its need."""
    return 1 - sum(0.01 * max(0, COST[site] - count) for site, count in counts.items() if count)


def test_the_interval_is_that_of_a_proportion() -> None:
    assert confidence_limit(0.9, 100) == pytest.approx(0.9 - 1.96 * 0.03)
    assert confidence_limit(1.0, 5) == 1.0
    assert confidence_limit(0.5, 25, z=1) == pytest.approx(0.4)


def test_every_site_gets_the_smallest_number_that_is_enough() -> None:
    assert choose(list(COST), measure, 1.0) == {"a": 4, "b": 32, "c": None}
    assert choose(list(COST), measure, 0.76) == {"a": 4, "b": 8, "c": None}


def test_no_site_is_left_out_where_the_most_everywhere_are_enough() -> None:
    assert choose(list(COST), measure, 0.31) == {"a": 4, "b": 32, "c": 32}
    assert choose(list(COST), measure, -0.01) == {"a": 4, "b": 4, "c": 32}


def test_sites_that_suffer_least_choose_first() -> None:
    seen: list[str] = []

    def watched(counts: Mapping[str, int | None]) -> float:
        seen.append(next(reversed([s for s, c in counts.items() if c]), ""))
        return measure(counts)

    choose(["c", "b", "a"], watched, 1.0, (4,))
    assert seen[1:4] == ["c", "b", "a"] and seen[4] == "a"


def test_numbers_must_be_positive() -> None:
    for choices in ((), (0, 4)):
        with pytest.raises(CompressError, match="must be 1 or more"):
            choose(["a"], measure, 1.0, choices)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 8)).eval()


def test_a_trial_clusters_and_gives_back() -> None:
    module, x = net(), torch.rand(20, 1, 6, 6)
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    trial = Trial(module, x, "magnitude", "machine")
    assert trial.sites == ["weight 0", "weight 3", "map 3"]
    plain = module(x)
    with trial.clustered({"weight 0": 2, "weight 3": None, "map 3": 3}):
        assert len((module[0].weight.abs() / module[0].weight.abs().amax((1, 2, 3), True)
                    ).unique()) <= 12
        assert torch.equal(module[3].weight, kept["3.weight"])
        assert not torch.equal(module(x), plain)
    assert torch.equal(module(x), plain)
    assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())
    with pytest.raises(CompressError, match="machine or paper"):
        Trial(module, x, "magnitude", "round")


def test_a_network_keeps_its_accuracy() -> None:
    module, x = net(), torch.rand(300, 1, 6, 6)
    y = module(x).argmax(1)
    chosen = choose_clusters(module, x, y, x[:50], limit=0.95, choices=(2, 4, 8, 16, 64))
    assert set(chosen) == {"weight 0", "weight 3", "map 3"}
    assert any(count is not None and count < 64 for count in chosen.values())
    with Trial(module, x[:50], "magnitude", "machine").clustered(chosen):
        assert 0.95 <= accuracy(module, x, y) <= 1
        if chosen["map 3"]:
            assert len(inputs(module, x)) == 2
    assert accuracy(module, x, y) == 1
    loose = choose_clusters(module, x, y, x[:50], limit=0.0, choices=(2, 4))
    assert set(loose.values()) == {2}
