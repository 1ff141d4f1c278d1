"""Slimmer networks under an accuracy budget: features made linear, kernels made lower, greedily.

A search goes in rounds. In a round, proposals are taken one after the other until a share of the
cost is gone: a proposal is a few features of one layer, those that matter least for what they save,
made linear or given a smaller window. Of all proposals the one with the best gain for its loss is
taken; gain is cost saved, loss how far the outputs move (Kullback-Leibler, on training images).
Then the network is tuned, and the round stands if the accuracy on the validation part is not more
than the budget below the first one. A round that fails, if wanted after as much training as at the
end, is undone and tried again with half the share; after two failures in a row the search ends.
Then the network is tuned longer, if wanted a second time where that is not enough, and rounds are
taken back until the loss is within the budget for a confidence bound. Where none is left, the
search begins again with half of the smallest step so far, as long as that is worth a round.

Nothing but `data.x_test`, the validation part, decides on a round; proposals see training images.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoint
from .data import Data, logits
from .errors import CompressError
from .proposals import METHODS, Proposals
from .work import Cost, Meter, macs

State = dict[str, Tensor]
SEARCH, AGAIN = 1_000_003, 500_009      # between tunings of two seeds, of two tries of one round
LEAST = 1 / 64          # share of the cost that is worth a round
# tune(module, number, last): train a little, in place; no two calls have number and last in common
Tune = Callable[[nn.Module, int, bool], None]


@dataclasses.dataclass(frozen=True)
class Settings:
    """budget: accuracy that may be lost, 0.01 is one point.

    criterion: of ranking. share: of a layer's features in a proposal. step: share of the cost that
    a round takes away. confidence: standard errors between the loss and the budget at the end.
    images: training images for fits, ranking and losses of proposals. patient: a round that fails
    is trained as long as at the end before it is undone, at the end as long once more.
    """

    budget: float = 0.01
    methods: tuple[str, ...] = METHODS
    criterion: str = "taylor"
    share: float = 0.05
    step: float = 0.2
    confidence: float = 1.645
    images: int = 256
    seed: int = 0
    patient: bool = False


@dataclasses.dataclass(frozen=True)
class Round:
    """What a round came to. cost: after it, as a share of the first. loss: of accuracy, on the
    validation part; bound: with `confidence` standard errors. kept: it stands."""

    cost: float
    loss: float
    bound: float
    kept: bool
    last: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Slimmed:
    """module: of the same shapes, in inference mode. saving: share of the cost that is gone."""

    module: nn.Module
    saving: float
    rounds: tuple[Round, ...]


def slim(module: nn.Module, data: Data, settings: Settings, tune: Tune, cost: Cost = macs,
         path: Path | None = None, tell: Callable[[Round], None] | None = None) -> Slimmed:
    """The cheapest network found; the one given is not changed.

    data: the training part, and as its test part the images that decide (data.split). path: a
    checkpoint that is resumed from and kept after every round. Raises CompressError.
    """
    check(settings)
    search = _Search(module, data, settings, tune, cost, tell or (lambda found: None))
    if path is not None and path.exists():
        checkpoint.resume(path, search.restore)
    while not search.done:
        search.step()
        if path is not None:
            checkpoint.write(path, search.state())
    return search.result()


def check(settings: Settings) -> None:
    """Refuse settings that mean nothing."""
    unknown = [name for name in settings.methods if name not in METHODS]
    if unknown or not settings.methods:
        raise CompressError(f"there is no method {unknown[0]!r}; give some of "
                            f"{', '.join(METHODS)}" if unknown else "no method is given; "
                            f"give some of {', '.join(METHODS)}")
    for name in ("share", "step"):
        if not 0 < getattr(settings, name) < 1:
            raise CompressError(f"{name} must be between 0 and 1, found {getattr(settings, name)}")
    if settings.budget < 0:
        raise CompressError(f"the budget must not be negative, found {settings.budget}")


def right(module: nn.Module, data: Data) -> Tensor:
    """(N,) float64: 1 for each image of the test part that is recognised, else 0."""
    return (logits(module, data.x_test).argmax(1) == data.y_test).double()


def bound(lost: Tensor, confidence: float) -> float:
    """The loss that is not exceeded, `confidence` standard errors above the mean.

    lost: (N,) of -1, 0, 1, what each image that decides has lost. One image more than those that
    changed is taken to have changed, so that few images with no change at all prove little.
    """
    mean = float(lost.mean())
    return mean + confidence * math.sqrt(float((lost - mean).square().sum()) + 1) / len(lost)


class _Search:
    """The rounds. All that a step depends on is in state()."""

    def __init__(self, module: nn.Module, data: Data, settings: Settings, tune: Tune, cost: Cost,
                 tell: Callable[[Round], None]) -> None:
        self.module = copy.deepcopy(module).eval()
        self.data, self.settings, self.tune, self.tell = data, settings, tune, tell
        generator = torch.Generator().manual_seed(settings.seed)
        rows = torch.randperm(len(data.x_train), generator=generator)[:settings.images]
        self.images, self.labels = data.x_train[rows], data.y_train[rows]
        meter = Meter(self.module, data.example)
        self.cost: Callable[[nn.Module], float] = lambda found: cost(meter(found))
        self.first_cost = self.cost(self.module)
        self.before = right(self.module, data)
        self.share = self.first = settings.step
        self.failures = 0
        self.kept: list[State] = [copied(self.module)]
        self.rounds: list[Round] = []
        self.finishing = self.done = False
        self.proposals = Proposals(self.module, self.images, self.labels, settings.methods,
                                   settings.criterion, settings.share, self.cost)

    def step(self) -> None:
        """One round, or one try to finish."""
        self.module.load_state_dict(self.kept[-1])
        number = self.settings.seed * SEARCH + len(self.rounds)
        if self.finishing:
            self._finish(number)
        elif not self.proposals.take((1 - self.share) * self.cost(self.module)):
            self.finishing = True
        else:
            self._judge(number)

    def _judge(self, number: int) -> None:
        self.tune(self.module, number, False)
        found = self._round(False)
        if self.settings.patient and not found.kept:
            self.tune(self.module, number, True)
            found = self._round(False)
        if found.kept:
            self.kept.append(copied(self.module))
            self.failures = 0
        else:
            self.failures += 1
            self.share /= 2
        self.finishing = self.failures == 2
        self._note(found)

    def _finish(self, number: int) -> None:
        if len(self.kept) == 1:
            self._smaller()
            return
        self.tune(self.module, number, True)
        found = self._round(True)
        if self.settings.patient and not found.kept:
            self.tune(self.module, number + AGAIN, True)
            found = self._round(True)
        if found.kept:
            self.kept.append(copied(self.module))
            self.done = True
        else:
            self.kept.pop()
        self._note(found)

    def _smaller(self) -> None:
        """Nothing stands: begin again with smaller steps, up to the first that fails."""
        saved = 1 - max((found.cost for found in self.rounds), default=1)
        self.first = self.share = min(self.first, saved) / 2
        self.failures, self.finishing = 1, False
        self.done = self.first < LEAST

    def _round(self, last: bool) -> Round:
        lost = self.before - right(self.module, self.data)
        loss = float(lost.mean())
        most = bound(lost, self.settings.confidence)
        kept = (most if last else loss) <= self.settings.budget
        return Round(self.cost(self.module) / self.first_cost, loss, most, kept, last)

    def _note(self, found: Round) -> None:
        self.rounds.append(found)
        self.tell(found)

    def result(self) -> Slimmed:
        self.module.load_state_dict(self.kept[-1])
        saving = 1 - self.cost(self.module) / self.first_cost
        return Slimmed(self.module.eval(), saving, tuple(self.rounds))

    # ---- state -----------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        return {"settings": _plain(self.settings), "kept": self.kept, "share": self.share,
                "first": self.first,
                "rounds": [dataclasses.asdict(found) for found in self.rounds],
                "failures": self.failures, "finishing": self.finishing, "done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state["settings"] != _plain(self.settings):
            raise CompressError("the checkpoint is of a search with other settings; remove it, or "
                                "give the settings it was made with")
        self.kept = list(state["kept"])
        self.share, self.first = state["share"], state["first"]
        self.rounds = [Round(**found) for found in state["rounds"]]
        self.failures = state["failures"]
        self.finishing, self.done = state["finishing"], state["done"]


def copied(module: nn.Module) -> State:
    """Parameters and buffers as they are now."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def _plain(settings: Settings) -> dict[str, Any]:
    return {**dataclasses.asdict(settings), "methods": list(settings.methods)}
