"""The methods that `compose` puts one behind the other, all under one contract.

A method gets a network and a task and returns a network of the same shapes, at most the task's
budget worse than the reference on the validation images, and figures for the report. Everything
that takes time leaves checkpoints in the task's folder, so that a second call with the same task
goes on where the first one was cut off and ends with the same bytes.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import budget, clusters, prune
from .compact import Compact
from .data import Data
from .finetune import Settings, Trainer
from .sites import sites

RATE = 1e-3
# numbers of magnitudes that clustering tries, as long as the budget allows
COUNTS = (16, 12, 8, 6, 4)
# share of the epochs that a round of the search for slimmer layers trains
ROUND = 0.25
# steps of pruning, each of which trains like a round
STEPS = 10
# standard errors between loss and budget of what a method returns
CONFIDENCE = 1.0

Notes = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is going on, and how much of how much is done (0: nobody knows). whole: of the run,
    else of a method."""

    what: str
    done: int = 0
    total: int = 0
    whole: bool = False


Tell = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What a method works with.

    data: images to train on, and as its test part those that decide. teacher: the network before
    all methods. right: of the teacher, 1 for each image that decides it recognises. budget:
    accuracy that may be lost against it. epochs: of a training run. number: another one for every
    method. folder: for checkpoints.
    """

    data: Data
    teacher: nn.Module
    right: Tensor
    budget: float
    epochs: int
    seed: int
    number: int
    folder: Path
    tell: Tell

    def loss(self, module: nn.Module) -> float:
        """Accuracy lost against the teacher on the images that decide."""
        return float((self.right - budget.right(module, self.data)).mean())

    def fits(self, module: nn.Module) -> bool:
        """The loss is within the budget, CONFIDENCE standard errors added."""
        lost = self.right - budget.right(module, self.data)
        return budget.bound(lost, CONFIDENCE) <= self.budget

    def train(self, module: nn.Module, name: str,
              shared: Mapping[str, clusters.Clusters] | None = None) -> None:
        """Train in place for all epochs, with the teacher; zeros and clusters are kept."""
        if not self.epochs:
            clusters.write(module, shared or {})
            return
        settings = Settings(self.epochs, RATE, seed=self.seed * 1009 + self.number)
        trainer = Trainer(module, self.data, settings, shared, teacher=self.teacher)
        self.tell(Progress(f"training, {name}", 0, self.epochs))
        trainer.run(self.folder / f"{name.replace(' ', '_')}.training", lambda done, _: self.tell(
            Progress(f"training, {name}", done, self.epochs)))


Method = Callable[[nn.Module, Task], tuple[nn.Module, Notes]]


# ---- fewer features, smaller windows -----------------------------------------------------------
def _slimmer(name: str) -> Method:
    """The greedy search with one kind of proposals."""
    def run(module: nn.Module, task: Task) -> tuple[nn.Module, Notes]:
        rounds = 0

        def tell(found: budget.Round) -> None:
            nonlocal rounds
            rounds += 1
            task.tell(Progress(f"{name}: round {rounds}, {found.cost:.0%} of the work"))

        left = max(0.0, task.budget - task.loss(module))
        settings = budget.Settings(left, (name,), confidence=CONFIDENCE,
                                   seed=task.seed * 1009 + task.number)
        task.tell(Progress(f"{name}: looking at the layers"))
        found = budget.slim(module, task.data, settings, _tuner(task),
                            path=task.folder / f"{name}.search", tell=tell)
        return found.module, {"rounds": len(found.rounds),
                              "kept": sum(one.kept for one in found.rounds)}
    return run


def _tuner(task: Task) -> budget.Tune:
    """Some training of what is left of a network."""
    def tune(module: nn.Module, number: int, last: bool) -> None:
        if not task.epochs:
            return
        small = Compact(module, sites(module, task.data.example))
        count = len(task.data.x_train)
        images = count * task.epochs if last else max(1, round(ROUND * count * task.epochs))
        order = torch.randperm(count, generator=torch.Generator().manual_seed(number))
        rows = order.repeat(-(-images // count))[:images]
        some = dataclasses.replace(task.data, x_train=task.data.x_train[rows],
                                   y_train=task.data.y_train[rows])
        Trainer(small.module, some, Settings(rate=RATE, seed=number), teacher=task.teacher).run()
        small.spread()
    return tune


# ---- fewer weights ----------------------------------------------------------------------------
def _prune(module: nn.Module, task: Task) -> tuple[nn.Module, Notes]:
    """Small weights of all layers, the more the less the outputs depend on the layer."""
    steps = 0

    def tell(found: prune.Trial) -> None:
        nonlocal steps
        steps += 1
        task.tell(Progress(f"prune: {found.left:.1%} of the weights", steps, STEPS + 1))

    left = max(0.0, task.budget - task.loss(module))
    settings = prune.Settings(left, steps=STEPS, confidence=CONFIDENCE,
                              seed=task.seed * 1009 + task.number)
    task.tell(Progress("prune: looking at the layers"))
    found = prune.prune(module, task.data, settings, _tuner(task), task.folder / "prune.steps",
                        tell)
    return found.module, {"steps": len(found.trials),
                          "kept": sum(trial.stands for trial in found.trials)}


# ---- shared values -----------------------------------------------------------------------------
def _cluster(module: nn.Module, task: Task) -> tuple[nn.Module, Notes]:
    """The fewest magnitudes a layer that the budget allows; none where not even the most do."""
    found, notes = module, Notes(clusters=None)
    for count in COUNTS:
        trial = copy.deepcopy(module)
        task.train(trial, f"{count} clusters", clusters.cluster(trial, count))
        if not task.fits(trial):
            break
        found, notes = trial, Notes(clusters=count)
    return found, notes


METHODS: dict[str, Method] = {
    "lower": _slimmer("lower"), "linear": _slimmer("linear"), "prune": _prune,
    "cluster": _cluster}
