"""Feature maps of few values: what each layer reads is put to the nearest of its centroids.

Zero stays zero. In the *paper* rule only zero becomes zero; in the *machine's* rule zero is a value
like the others, so that small values become zero too and cost nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..compiler.quantise.cluster import Points
from ..compiler.quantise.quantise import candidates
from .centroids import centroids
from .clusters import weighted
from .hooks import hooked, inference, reading

Floats = NDArray[np.float64]
RULES = ("machine", "paper")


@dataclasses.dataclass(frozen=True, eq=False)
class MapClusters:
    """values: (J,) float32, ascending, zero not among them. keep: only zero becomes zero."""

    values: Tensor
    keep: bool

    def __call__(self, x: Tensor) -> Tensor:
        """The map clustered; the gradient passes as if nothing had been done."""
        return self.clustered(x) + (x - x.detach())

    def clustered(self, x: Tensor) -> Tensor:
        """Nearest values, half way up; exact zeros where x is zero."""
        values = self.values if self.keep else _with_zero(self.values)
        found = values[torch.bucketize(x.contiguous(), (values[1:] + values[:-1]) / 2, right=True)]
        return torch.where(x == 0, 0.0, found)


def _with_zero(values: Tensor) -> Tensor:
    return torch.cat([values[values < 0], values.new_zeros(1), values[values > 0]])


def find(values: NDArray[np.floating[Any]], clusters: int, rule: str = "machine") -> MapClusters:
    """The best at most `clusters` values beside zero for a sample of a map."""
    sample = np.asarray(values, np.float64).ravel()
    sample = sample[sample != 0]
    if not len(sample):
        return MapClusters(torch.ones(1), rule == "paper")
    found = (centroids(sample, clusters) if rule == "paper"
             else next(candidates(Points.of(sample), clusters)))
    found = np.unique(found.astype(np.float32))
    return MapClusters(torch.from_numpy(found[found != 0]), rule == "paper")


def inputs(module: nn.Module, x: Tensor) -> dict[str, Floats]:
    """What every Conv2d and Linear layer reads for the images x, by path, in order of use."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        return lambda part, arguments: found.setdefault(name, []).append(arguments[0].detach())

    handles = [part.register_forward_pre_hook(keep(name))
               for name, part in weighted(module).items()]
    with hooked(handles), inference(module), torch.no_grad():
        module(x)
    return {name: torch.cat([part.ravel() for part in parts]).double().numpy()
            for name, parts in found.items()}


def calibrate(module: nn.Module, x: Tensor, clusters: int | Mapping[str, int],
              rule: str = "machine", first: bool = False) -> dict[str, MapClusters]:
    """Clusters of the maps that layers read, from what the images x show.

    clusters: for all layers, or by layer. first: of the first layer too, which reads the images;
    these the machine takes in 8 bits as they are.
    """
    seen = inputs(module, x)
    names = list(seen) if first else list(seen)[1:]
    if not isinstance(clusters, int):
        names = [name for name in names if name in clusters]
    return {name: find(seen[name], clusters if isinstance(clusters, int) else clusters[name], rule)
            for name in names}


def clustering(module: nn.Module, found: Mapping[str, MapClusters]
               ) -> AbstractContextManager[None]:
    """While inside, the layers named read clustered maps."""
    return reading(weighted(module), found)
