"""Proposals of the search under a budget: which features of which layer to change next, and how.

Within a layer, a feature's damage is its score by a ranking criterion times the share of its map
that the change leaves unexplained; the features with the best saving for their damage make the
layer's proposal. Between layers, proposals are tried on the network: what the cost falls by, over
how far the outputs move. A trial made before another proposal was taken is only repeated if it
still looks like the best.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import linear, lower_kernel, ranking
from .data import logits
from .lower_kernel import Window, current, windows
from .sites import Seen, Site, layer, norm, sites, watch

METHODS = ("lower", "linear")
LEAST_LOSS = 1e-4                   # nats: losses below it count as equal
TRIED = 128                         # images of a trial
Change = Callable[[], None]


@dataclasses.dataclass(frozen=True, order=True)
class _Trial:
    """A tried proposal, the best one smallest. age: proposals taken before the trial."""

    rank: float
    site: int
    method: str
    age: int
    change: Change = dataclasses.field(compare=False)


class Proposals:
    """Takes proposals on a module, in place.

    images, labels: what fits, scores and trials use. share: of a layer's features in a proposal.
    """

    def __init__(self, module: nn.Module, images: Tensor, labels: Tensor,
                 methods: tuple[str, ...], criterion: str, share: float,
                 cost: Callable[[nn.Module], float]) -> None:
        self.module, self.images, self.labels, self.cost = module, images, labels, cost
        self.methods, self.criterion, self.share = methods, criterion, share
        self.sites = sites(module, images[:1])
        self.scores: ranking.Scores = {}
        self.fits: dict[str, linear.Pairs] = {}
        self.moments: dict[str, lower_kernel.Moments] = {}
        self.first, self.loss = torch.empty(0), 0.0

    def take(self, goal: float) -> bool:
        """Take proposals until the cost is at most the goal; False if there is none to take."""
        self._look()
        self.first, self.loss = self._outputs(), 0.0
        heap = [trial for i in range(len(self.sites)) for method in self.methods
                if (trial := self._try(i, method, 0)) is not None]
        heapq.heapify(heap)
        taken = 0
        while heap and self.cost(self.module) > goal:
            best = heapq.heappop(heap)
            if best.age == taken:
                best.change()
                self.loss = self._moved()
                taken += 1
            again = self._try(best.site, best.method, taken)
            if again is not None:
                heapq.heappush(heap, again)
        return taken > 0

    def _look(self) -> None:
        """Scores and moments of the network as it is now."""
        self.scores = ranking.rank(self.module, self.sites, self.images, self.labels,
                                   self.criterion)
        seen = watch(self.module, self.sites, self.images)
        for site in self.sites:
            self._fit(site, seen.pop(site.conv))

    def _fit(self, site: Site, seen: Seen) -> None:
        if "linear" in self.methods:
            self.fits[site.conv] = linear.fits(self.module, site, seen.map)
        if "lower" in self.methods:
            self.moments[site.conv] = lower_kernel.moments(self.module, site, seen.inputs)

    # ---- trials ----------------------------------------------------------------------------
    def _try(self, number: int, method: str, age: int) -> _Trial | None:
        site = self.sites[number]
        change = self._change(site, method)
        if change is None:
            return None
        before, cost = self._snapshot(site), self.cost(self.module)
        change()
        gain, loss = cost - self.cost(self.module), self._moved() - self.loss
        self._restore(before)
        return _Trial(-gain / max(loss, LEAST_LOSS), number, method, age,
                      change) if gain > 0 else None

    def _outputs(self) -> Tensor:
        return functional.log_softmax(logits(self.module, self.images[:TRIED]), 1)

    def _moved(self) -> float:
        """How far the outputs are from the first ones of this round, in nats."""
        return float(functional.kl_div(self._outputs(), self.first, reduction="batchmean",
                                       log_target=True))

    def _snapshot(self, site: Site) -> list[tuple[Tensor, Tensor]]:
        parts: list[nn.Module | None] = [layer(self.module, site.conv), norm(self.module, site)]
        parts += [layer(self.module, reader.layer) for reader in site.readers]
        tensors = [t for part in parts if part is not None for t in part.state_dict().values()]
        return [(tensor, tensor.clone()) for tensor in tensors]

    def _restore(self, before: list[tuple[Tensor, Tensor]]) -> None:
        with torch.no_grad():
            for tensor, values in before:
                tensor.copy_(values)

    # ---- what to change --------------------------------------------------------------------
    def _change(self, site: Site, method: str) -> Change | None:
        """The next proposal of a layer, None if there is none."""
        return self._linear(site) if method == "linear" else self._lower(site)

    def _count(self, site: Site) -> int:
        return math.ceil(self.share * len(layer(self.module, site.conv).weight))

    def _linear(self, site: Site) -> Change | None:
        weight = layer(self.module, site.conv).weight.detach()
        alive = weight.flatten(1).any(1).nonzero().ravel()
        count = min(self._count(site), len(alive) - 1)
        if count < 1:
            return None
        found = self.fits[site.conv]
        left = found.unexplained[alive][:, alive].clone().fill_diagonal_(torch.inf)
        damage = self.scores[site.conv][alive] * left.min(1).values.clamp(max=1)
        order = alive[damage.argsort(stable=True)].tolist()
        chosen = linear.choose(found, order[:count], order[count:])
        return lambda: linear.fold(self.module, site, chosen)

    def _lower(self, site: Site) -> Change | None:
        """Each feature with the window that saves most for its damage; the best features."""
        weight = layer(self.module, site.conv).weight.detach()
        now, found = current(weight), self.moments[site.conv]
        best: dict[int, tuple[float, Window]] = {}
        for window in windows((weight.shape[2], weight.shape[3])):
            able = [j for j, mine in enumerate(now)
                    if mine is not None and window.inside(mine) and window != mine]
            if not able:
                continue
            left = lower_kernel.fit(weight, found, window, able).unexplained
            damage = left * self.scores[site.conv][able] + 1e-12
            for j, worth in zip(able, damage.reciprocal().tolist(), strict=True):
                mine = now[j]
                assert mine is not None
                worth *= mine.cells - window.cells
                if j not in best or worth > best[j][0]:
                    best[j] = worth, window
        if not best:
            return None
        order = sorted(best, key=lambda j: (-best[j][0], j))[:self._count(site)]
        together: dict[Window, list[int]] = {}
        for j in order:
            together.setdefault(best[j][1], []).append(j)
        return lambda: self._lower_all(site, together)

    def _lower_all(self, site: Site, together: dict[Window, list[int]]) -> None:
        for window, features in together.items():
            lower_kernel.lower(self.module, site, self.moments[site.conv], window, features)
