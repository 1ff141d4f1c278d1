"""Magnitude pruning with retraining under an accuracy budget: layers in an order, or all at once.

The smallest weights of a layer become zero, the network is trained with the zeros kept, and the
step stands if the accuracy on the images that decide is within the budget, the first one only if a
confidence bound is too, so that there is a network to return. A step that fails is undone and a
gentler one is tried. Orders differ in which layers a step prunes and trains:

    forward     the first layer to the end of its trials, then the second, ...
    reversed    the last layer first, so that what it reads is what the dense network made
    joint       all layers in every step, one threshold for all of them

In the first two orders only the layers pruned so far are trained, in the last step all. Whatever
the order and the outcome there are as many steps: equal training.

The joint threshold is on |weight| times the sensitivity of its layer, so that layers on which the
outputs depend more keep more.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoint
from .account import measure
from .budget import Tune, bound, copied, right
from .clusters import weighted
from .data import Data
from .errors import CompressError

ORDERS = ("forward", "joint", "reversed")
# select(weight, count): bool like the weight, true for `count` weights to keep
Select = Callable[[Tensor, int], Tensor]


@dataclasses.dataclass(frozen=True)
class Settings:
    """budget: accuracy that may be lost; with n layers in turn, the first may take it to 1/n.

    steps: beside the last one; layers in turn share them evenly. keep: share of the surviving
    weights that a first step keeps; after a failure its square root. whole: train all layers in
    every step. confidence: standard errors between the loss and the budget for the network that is
    returned. images: training images that tell the sensitivity.
    """

    budget: float = 0.01
    order: str = "joint"
    steps: int = 10
    keep: float = 0.5
    whole: bool = False
    confidence: float = 1.0
    images: int = 256
    seed: int = 0

    def check(self) -> None:
        """Raise CompressError for settings that mean nothing."""
        if self.order not in ORDERS:
            raise CompressError(f"there is no order {self.order!r}; give {', '.join(ORDERS)}")
        if not 0 < self.keep < 1:
            raise CompressError(f"keep must be between 0 and 1, found {self.keep}")
        if self.steps < 1 or self.budget < 0:
            raise CompressError(f"steps={self.steps} with budget={self.budget} prune nothing; "
                                "give at least one step and a budget of 0 or more")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps on the same layers. budget: loss up to which they stand."""

    layers: tuple[str, ...]
    trained: tuple[str, ...]
    steps: int
    budget: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a step came to. left: share of all weights that are not zero. bound: of the loss, with
    `confidence` standard errors. stands: later steps go on from it."""

    layers: str
    left: float
    loss: float
    bound: float
    stands: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Pruned:
    """module: of the same shapes, in inference mode. left: share of its weights not zero."""

    module: nn.Module
    left: float
    trials: tuple[Trial, ...]


def prune(module: nn.Module, data: Data, settings: Settings, tune: Tune,
          path: Path | None = None, tell: Callable[[Trial], None] | None = None,
          select: Mapping[str, Select] | None = None) -> Pruned:
    """The network of fewest weights whose bound is within the budget; the one given is unchanged.

    data: the training part, and as its test part the images that decide. tune: trains the layers
    that need gradients, and keeps zeros. path: a checkpoint, resumed from and kept after every
    step. select: another choice than by magnitude for some layers. Raises CompressError.
    """
    settings.check()
    search = _Search(module, data, settings, tune, dict(select or {}))
    if path is not None and path.exists():
        checkpoint.resume(path, search.restore)
    while not search.done:
        found = search.step()
        if path is not None:
            checkpoint.write(path, search.state())
        if tell is not None:
            tell(found)
    return search.result()


def stages(names: tuple[str, ...], settings: Settings) -> list[Stage]:
    """What is pruned and trained when; names: of the layers in the order in which they run."""
    count, steps = len(names), settings.steps
    if settings.order == "joint":
        return [Stage(names, names, steps, settings.budget)]
    if steps < count:
        raise CompressError(f"{steps} steps are too few for {count} layers in turn; give at least "
                            "one a layer")
    order = names if settings.order == "forward" else names[::-1]
    return [Stage((name,), names if settings.whole else order[:i + 1],
                  steps // count + (i < steps % count), settings.budget * (i + 1) / count)
            for i, name in enumerate(order)]


# ---- weights -------------------------------------------------------------------------------
def largest(weight: Tensor, count: int) -> Tensor:
    """True for the `count` weights of largest magnitude; of equal ones the first."""
    order = weight.detach().abs().ravel().argsort(descending=True, stable=True)
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view_as(weight)


def shrink(module: nn.Module, names: tuple[str, ...], keep: float,
           scales: Mapping[str, float], select: Mapping[str, Select]) -> None:
    """Keep that share of the weights of the layers, in place; every layer keeps one.

    Between layers, |weight| times the layer's scale decides how many each of them keeps.
    """
    layers = weighted(module)
    sizes = [layers[name].weight.detach().abs().ravel() * scales[name] for name in names]
    every = torch.cat(sizes)
    count = max(1, math.ceil(keep * int((every > 0).sum())))
    owner = torch.repeat_interleave(torch.arange(len(names)), torch.tensor([len(s) for s in sizes]))
    kept = owner[every.argsort(descending=True, stable=True)[:count]].bincount(minlength=len(names))
    with torch.no_grad():
        for name, own in zip(names, kept.tolist(), strict=True):
            weight = layers[name].weight
            weight.mul_(select.get(name, largest)(weight.detach(), max(own, 1)))


def sensitivity(module: nn.Module, images: Tensor, seed: int) -> dict[str, float]:
    """How far the outputs move for a change of a weight, by layer: the root of the mean, over
    weights and images, of the squared length of the outputs' gradient.

    Random signs of the outputs make one pass back enough, in expectation.
    """
    module.eval()
    generator = torch.Generator().manual_seed(seed)
    layers = weighted(module)
    total = dict.fromkeys(layers, 0.0)
    parts = images.split(8)
    for part in parts:
        outputs = module(part)
        signs = torch.randint(2, outputs.shape, generator=generator) * 2.0 - 1
        found = torch.autograd.grad((outputs * signs).sum(), [p.weight for p in layers.values()],
                                    allow_unused=True)
        for name, gradient in zip(layers, found, strict=True):
            total[name] += 0.0 if gradient is None else float(gradient.square().mean())
    return {name: math.sqrt(value / len(images)) for name, value in total.items()}


@contextlib.contextmanager
def training(module: nn.Module, names: tuple[str, ...]) -> Iterator[None]:
    """While inside, the other layers need no gradients."""
    frozen = [p for name, part in weighted(module).items() if name not in names
              for p in part.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def left(module: nn.Module) -> float:
    """Share of the weights of all layers that are not zero."""
    weights = [part.weight for part in weighted(module).values()]
    return sum(int((w != 0).sum()) for w in weights) / sum(w.numel() for w in weights)


# ---- the search ----------------------------------------------------------------------------
class _Search:
    """The steps. All that a step depends on is in state()."""

    def __init__(self, module: nn.Module, data: Data, settings: Settings, tune: Tune,
                 select: dict[str, Select]) -> None:
        self.module = copy.deepcopy(module).eval()
        self.data, self.settings, self.tune, self.select = data, settings, tune, select
        self.names = tuple(found.name for found in measure(self.module, data.example))
        self.stages = stages(self.names, settings)
        self.before = right(self.module, data)
        self.number = self.stage = 0                # steps done; of this stage: below
        self.tried, self.keep = 0, settings.keep
        self.now = self.best = copied(self.module)
        self.best_left = left(self.module)
        self.best_loss = 0.0
        self.trials: list[Trial] = []

    @property
    def done(self) -> bool:
        return self.stage > len(self.stages)

    def step(self) -> Trial:
        """A step of a stage, or the last training of all layers."""
        self.module.load_state_dict(self.now)
        last = self.stage == len(self.stages)
        stage = Stage(self.names, self.names, 1, self.settings.budget) if last else (
            self.stages[self.stage])
        if not last:
            shrink(self.module, stage.layers, self.keep, self._scales(stage), self.select)
        with training(self.module, stage.trained):
            self.tune(self.module, self.settings.seed * 1_000_003 + self.number, last)
        found = self._judge("all" if len(stage.layers) > 1 else stage.layers[0], stage.budget)
        if found.stands:
            self.now = copied(self.module)
        else:
            self.keep = math.sqrt(self.keep)
        self.number, self.tried = self.number + 1, self.tried + 1
        if self.tried == stage.steps:
            self.stage, self.tried, self.keep = self.stage + 1, 0, self.settings.keep
        return found

    def _scales(self, stage: Stage) -> dict[str, float]:
        if len(stage.layers) == 1:
            return {stage.layers[0]: 1.0}
        generator = torch.Generator().manual_seed(self.settings.seed)
        rows = torch.randperm(len(self.data.x_train), generator=generator)[:self.settings.images]
        return sensitivity(self.module, self.data.x_train[rows], self.settings.seed)

    def _judge(self, layers: str, budget: float) -> Trial:
        lost = self.before - right(self.module, self.data)
        loss = float(lost.mean())
        most = bound(lost, self.settings.confidence)
        sure = [bounded <= self.settings.budget
                for bounded in (most, *(trial.bound for trial in self.trials))]
        found = Trial(layers, left(self.module), loss, most, loss <= budget and any(sure))
        if most <= self.settings.budget and (found.left, loss) < (self.best_left, self.best_loss):
            self.best, self.best_left, self.best_loss = copied(self.module), found.left, loss
        self.trials.append(found)
        return found

    def result(self) -> Pruned:
        self.module.load_state_dict(self.best)
        return Pruned(self.module.eval(), self.best_left, tuple(self.trials))

    # ---- state -----------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        return {"settings": dataclasses.asdict(self.settings), "now": self.now, "best": self.best,
                "best_left": self.best_left, "best_loss": self.best_loss, "number": self.number,
                "stage": self.stage, "tried": self.tried, "keep": self.keep,
                "trials": [dataclasses.asdict(found) for found in self.trials]}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state["settings"] != dataclasses.asdict(self.settings):
            raise CompressError("the checkpoint is of a run with other settings; remove it, or "
                                "give the settings it was made with")
        for name in ("now", "best", "best_left", "best_loss", "number", "stage", "tried", "keep"):
            setattr(self, name, state[name])
        self.trials = [Trial(**found) for found in state["trials"]]
