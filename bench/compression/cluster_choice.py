"""The smallest number of clusters a layer can do with.

A *site* is what can be clustered: the weights of a layer, or the map that it reads. Sites are taken
one after the other, those that suffer least from few clusters first; each gets the smallest number
of clusters with which the network, with all that was chosen before, stays above a limit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from kcnn.compress.clusters import Weighted, cluster_weight, weighted
from kcnn.compress.data import accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.maps import RULES, clustering, find, inputs
from torch import Tensor, nn

CHOICES = (4, 8, 16, 32)
Z = 1.96
# clusters (None: not clustered) of every site to accuracy
Measure = Callable[[Mapping[str, int | None]], float]


def confidence_limit(found: float, images: int, z: float = Z) -> float:
    """Lower end of the confidence interval of an accuracy measured on so many images.

    >>> round(confidence_limit(0.9, 1000), 4)
    0.8814
    """
    return found - z * math.sqrt(found * (1 - found) / images)


def choose(sites: Sequence[str], measure: Measure, limit: float,
           choices: Sequence[int] = CHOICES) -> dict[str, int | None]:
    """Clusters of every site.

    measure is called with a number or None for every site; what it returns must be at least the
    limit. If the most clusters everywhere are enough, sites begin with those; else they begin
    without clusters, and one that has no choice to stay above the limit ends with None.
    """
    if not choices or min(choices) < 1:
        raise CompressError(f"numbers of clusters must be 1 or more, found {list(choices)}")
    chosen: dict[str, int | None] = dict.fromkeys(sites, max(choices))
    if measure(chosen) < limit:
        chosen = dict.fromkeys(sites)
    fewest = min(choices)
    alone = {site: measure({**chosen, site: fewest}) for site in sites}
    for site in sorted(sites, key=lambda name: -alone[name]):
        for count in sorted(choices):
            if measure({**chosen, site: count}) >= limit:
                chosen[site] = count
                break
    return chosen


def choose_clusters(module: nn.Module, x: Tensor, y: Tensor, calibration: Tensor,
                    limit: float | None = None, kind: str = "magnitude", rule: str = "machine",
                    choices: Sequence[int] = CHOICES) -> dict[str, int | None]:
    """Clusters of the weights ("weight <layer>") and of the maps ("map <layer>") of a network.

    x, y: what accuracy is measured on, not the test images. limit: by default that of the
    confidence interval around the network's own accuracy. The module is left as it was.
    """
    trial = Trial(module, calibration, kind, rule)
    if limit is None:
        limit = confidence_limit(accuracy(module, x, y), len(x))

    def measure(counts: Mapping[str, int | None]) -> float:
        with trial.clustered(counts):
            return accuracy(module, x, y)

    return choose(trial.sites, measure, limit, choices)


class Trial:
    """Clusters sites of a network for a while; remembers what it has clustered."""

    def __init__(self, module: nn.Module, calibration: Tensor, kind: str, rule: str) -> None:
        if rule not in RULES:
            raise CompressError(f"there is no rule {rule!r} for maps; give {' or '.join(RULES)}")
        self.module, self.kind = module, kind
        self._maps = inputs(module, calibration)
        self._weights = {name: part.weight.detach().clone()
                         for name, part in weighted(module).items()}
        self._weight = functools.cache(self._clustered_weight)
        self._map = functools.cache(lambda name, count: find(self._maps[name], count, rule))
        self.sites = [f"weight {name}" for name in self._weights]
        self.sites += [f"map {name}" for name in list(self._maps)[1:]]

    @contextmanager
    def clustered(self, counts: Mapping[str, int | None]) -> Iterator[None]:
        """While inside, the sites with a number have that many clusters."""
        layers = weighted(self.module)
        maps = {}
        with ExitStack() as stack:
            for site, count in counts.items():
                what, _, name = site.partition(" ")
                if count is None:
                    continue
                if what == "map":
                    maps[name] = self._map(name, count)
                else:
                    stack.callback(_put, layers[name], self._weights[name])
                    _put(layers[name], self._weight(name, count))
            stack.enter_context(clustering(self.module, maps))
            yield

    def _clustered_weight(self, name: str, count: int) -> Tensor:
        return cluster_weight(self._weights[name], count, self.kind).weight()


def _put(layer: Weighted, weight: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
