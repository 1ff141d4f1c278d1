"""Fine-tuning that keeps what compression made: zeros stay zero, shared weights stay shared.

A clustered layer trains its values and channel scales: each takes the sum of the gradients of the
weights that share it, and after every step the layer's weights are written from them again. Any
other layer trains as usual, but weights that are zero at the start stay zero. No part of the module
is replaced, so it can be stored, exported or compressed further at any time.

A run is a function of module, data and settings: the order of images comes from the seed and the
number of the epoch. So a run cut off and resumed from its checkpoint ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import checkpoint
from .clusters import Clusters, weighted, write
from .data import Data, batches
from .errors import CompressError
from .maps import MapClusters, clustering

Augment = Callable[[Tensor, torch.Generator], Tensor]
TEMPERATURE = 3.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """rate: of the first step, falling as a half cosine to zero over all epochs.

    optimiser: "adam" or "sgd" (momentum 0.9). Adam's steps have the size of the rate whatever the
    gradient; those of shared values and scales are relative to their own size. decay: of weights
    that are not clustered, decoupled. keep_zeros: weights that are zero at the start stay zero.
    distil: share of the loss that compares with a teacher's outputs, where there is a teacher.
    """

    epochs: int = 1
    rate: float = 1e-3
    batch: int = 64
    optimiser: str = "adam"
    decay: float = 0.0
    seed: int = 0
    keep_zeros: bool = True
    distil: float = 0.7


class Trainer:
    """One training run of a module, in place, epoch by epoch.

    clusters: from clusters.cluster, by layer; changed in place. maps: clusters of what layers read,
    passed straight through. teacher: a module of the same outputs. augment: changes a batch.
    """

    def __init__(self, module: nn.Module, data: Data, settings: Settings,
                 clusters: Mapping[str, Clusters] | None = None,
                 maps: Mapping[str, MapClusters] | None = None,
                 teacher: nn.Module | None = None, augment: Augment | None = None) -> None:
        self.module, self.data, self.settings = module, data, settings
        self.clusters, self.maps = dict(clusters or {}), dict(maps or {})
        self.teacher = teacher.eval() if teacher is not None else None
        self.augment = augment
        self.epochs_done = 0
        self._shared = {name: (nn.Parameter(c.values), nn.Parameter(c.scale))
                        for name, c in self.clusters.items()}
        self._masks = self._zeros() if settings.keep_zeros else {}
        self._optimiser = self._make_optimiser()
        write(module, self.clusters)

    def run(self, path: Path | None = None,
            progress: Callable[[int, float], None] | None = None) -> None:
        """All epochs that are left; with a path, resume from it and keep it after every epoch.

        progress is called with the number of epochs done and the mean loss of the last one.
        """
        if path is not None and path.exists():
            checkpoint.resume(path, self.restore)
        while self.epochs_done < self.settings.epochs:
            loss = self.epoch()
            if path is not None:
                checkpoint.write(path, self.state())
            if progress is not None:
                progress(self.epochs_done, loss)

    def epoch(self) -> float:
        """One epoch; the module is left in inference mode. Returns the mean loss."""
        seed = self.settings.seed * 1_000_003 + self.epochs_done
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.module.train()
        steps = -(-len(self.data.x_train) // self.settings.batch)
        losses = 0.0
        with self._clustered_maps():
            for step, (x, y) in enumerate(batches(self.data, self.settings.batch, generator)):
                self._set_rate((self.epochs_done + step / steps) / self.settings.epochs)
                if self.augment is not None:
                    x = self.augment(x, generator)
                losses += self._step(x, y)
        self.epochs_done += 1
        self.module.eval()
        if not math.isfinite(losses):
            raise CompressError(f"training diverged in epoch {self.epochs_done}; give images of "
                                f"smaller numbers, or a learning rate below {self.settings.rate}")
        return losses / steps

    # ---- state -----------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """All that later epochs depend on, as a checkpoint holds it."""
        return {"epochs_done": self.epochs_done, "settings": dataclasses.asdict(self.settings),
                "module": self.module.state_dict(), "optimiser": self._optimiser.state_dict(),
                "shared": {name: [values.data, scale.data]
                           for name, (values, scale) in self._shared.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a run with the same arguments."""
        if state["settings"] != dataclasses.asdict(self.settings) or (
                set(state["shared"]) != set(self._shared)):
            raise CompressError("the checkpoint is of a run with other settings; remove it, or "
                                "give the settings it was made with")
        self.epochs_done = state["epochs_done"]
        self.module.load_state_dict(state["module"])
        self._optimiser.load_state_dict(state["optimiser"])
        for name, (values, scale) in state["shared"].items():
            for parameter, kept in zip(self._shared[name], (values, scale), strict=True):
                parameter.data.copy_(kept)
        self._put_back()
        self.module.eval()

    # ---- steps -----------------------------------------------------------------------------
    def _step(self, x: Tensor, y: Tensor) -> float:
        self._optimiser.zero_grad()
        self.module.zero_grad()
        loss = self._loss(self.module(x).flatten(1), x, y)
        loss.backward()
        layers = weighted(self.module)
        for name, shared in self._shared.items():
            gradient = layers[name].weight.grad
            if gradient is not None:
                for parameter, own in zip(shared, self.clusters[name].gradients(gradient),
                                          strict=True):
                    parameter.grad = own
        self._optimiser.step()
        self._put_back()
        return loss.item()

    def _loss(self, outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        loss = functional.cross_entropy(outputs, y)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = functional.log_softmax(self.teacher(x).flatten(1) / TEMPERATURE, 1)
        found = functional.log_softmax(outputs / TEMPERATURE, 1)
        distance = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
        share = self.settings.distil
        return (1 - share) * loss + share * TEMPERATURE ** 2 * distance

    def _put_back(self) -> None:
        """Weights from what they share; zeros where there were zeros."""
        write(self.module, self.clusters)
        layers = weighted(self.module)
        with torch.no_grad():
            for name, mask in self._masks.items():
                layers[name].weight.mul_(mask)

    def _set_rate(self, done: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.rate * group["size"] * (1 + math.cos(math.pi * done)) / 2

    # ---- setting up ------------------------------------------------------------------------
    def _zeros(self) -> dict[str, Tensor]:
        return {name: (part.weight != 0).float() for name, part in weighted(self.module).items()
                if name not in self.clusters and bool((part.weight == 0).any())}

    def _make_optimiser(self) -> torch.optim.Optimizer:
        layers = weighted(self.module)
        replaced = {id(layers[name].weight) for name in self.clusters}
        free = [p for p in self.module.parameters() if p.requires_grad and id(p) not in replaced]
        shared = [p for pair in self._shared.values() for p in pair]
        kinds = (([p for p in free if p.dim() > 1], self.settings.decay),
                 ([p for p in free if p.dim() <= 1], 0.0))
        groups = [{"params": part, "weight_decay": decay, "size": 1.0}
                  for part, decay in kinds if part]
        adam = self.settings.optimiser == "adam"
        groups += [{"params": [p], "weight_decay": 0.0, "size": _size(p) if adam else 1.0}
                   for p in shared]
        if adam:
            return torch.optim.AdamW(groups, self.settings.rate)
        if self.settings.optimiser == "sgd":
            return torch.optim.SGD(groups, self.settings.rate, momentum=0.9)
        raise CompressError(f"there is no optimiser {self.settings.optimiser!r}; give adam or sgd")

    def _clustered_maps(self) -> AbstractContextManager[None]:
        return clustering(self.module, self.maps) if self.maps else nullcontext()


def _size(parameter: Tensor) -> float:
    """Root mean square of what a layer shares at the start."""
    return float(parameter.detach().square().mean().sqrt())
