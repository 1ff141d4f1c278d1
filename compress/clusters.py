"""Weights of a layer that share few values: found, put into the layer, kept while it trains.

    weight = sign * values[index - 1] * scale[channel]        index 0: no weight

In the *magnitude* kind `values` are positive, signs are the weights' own, and a scale a channel is
what the machine's m_k provides. In the *signed* kind values are centroids of both signs without a
scale; a weight may then take a value of the other sign.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..compiler.quantise.weights import cluster_weights
from .centroids import centroids, codes
from .errors import CompressError

KINDS = ("magnitude", "signed")
Weighted = nn.Conv2d | nn.Linear


@dataclasses.dataclass(eq=False)
class Clusters:
    """values: (J,) float32; scale: (K,) float32; index (int64), sign (float32): as the weight."""

    values: Tensor
    scale: Tensor
    index: Tensor
    sign: Tensor

    def weight(self) -> Tensor:
        """The weights, float32, zeros exactly zero; a function of the four tensors alone."""
        table = torch.cat([self.values.new_zeros(1), self.values])
        return self.sign * table[self.index] * self._wide(self.scale)

    def gradients(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of `values` and `scale` from that of the weights: sums over who shares them."""
        signed = gradient * self.sign
        parts = (signed * self._wide(self.scale)).ravel()
        values = torch.zeros(len(self.values) + 1).index_add_(0, self.index.ravel(), parts)[1:]
        table = torch.cat([self.values.new_zeros(1), self.values])
        return values, (signed * table[self.index]).flatten(1).sum(1)

    def _wide(self, channels: Tensor) -> Tensor:
        return channels.view(-1, *[1] * (self.index.dim() - 1))


def cluster_weight(weight: Tensor, clusters: int, kind: str = "magnitude",
                   scaled: bool | None = None, method: str = "exact", seed: int = 0) -> Clusters:
    """Cluster the non-zero weights of a layer; zeros stay zero, others never become zero.

    clusters: magnitudes or signed centroids at most. scaled: a scale a channel (magnitudes only,
    and exact only; the default there). method: see centroids.METHODS. Raises CompressError.
    """
    if clusters < 1 or kind not in KINDS:
        raise CompressError(f"weights cannot be clustered to {clusters} values of kind {kind!r}; "
                            f"give 1 or more of {' or '.join(KINDS)}")
    if not torch.isfinite(weight).all():
        raise CompressError("weights that are not finite cannot be clustered; train the network "
                            "again with a smaller learning rate")
    array = weight.detach().double().numpy()
    if scaled is None:
        scaled = kind == "magnitude" and method == "exact"
    if scaled:
        return _scaled(array, clusters)
    points = np.abs(array) if kind == "magnitude" else array
    found = (centroids(points[points != 0], clusters, method, seed) if array.any()
             else np.ones(1))
    sign = np.where((array < 0) & (kind == "magnitude"), -1.0, 1.0)
    return _tensors(found, np.ones(len(array)), codes(points, found), sign)


def _scaled(array: np.ndarray, clusters: int) -> Clusters:
    found = cluster_weights(array.reshape(*array.shape, *[1] * (4 - array.ndim)), clusters)
    return _tensors(found.magnitudes, found.channel_scale, found.index.reshape(array.shape),
                    np.where(array < 0, -1.0, 1.0))


def _tensors(values: np.ndarray, scale: np.ndarray, index: np.ndarray, sign: np.ndarray
             ) -> Clusters:
    floats = (torch.from_numpy(np.ascontiguousarray(array, np.float32))
              for array in (values, scale, sign))
    found, wide, signs = floats
    return Clusters(found, wide, torch.from_numpy(np.ascontiguousarray(index, np.int64)), signs)


# ---- networks ------------------------------------------------------------------------------
def weighted(module: nn.Module) -> dict[str, Weighted]:
    """The layers with weights to compress, by path, in the module's order."""
    return {name: part for name, part in module.named_modules()
            if isinstance(part, nn.Conv2d | nn.Linear)}


def cluster(module: nn.Module, clusters: int | Mapping[str, int], kind: str = "magnitude",
            scaled: bool | None = None) -> dict[str, Clusters]:
    """Cluster the weights of a network in place, by layer; returns what was found.

    clusters: for all layers, or by layer; layers not named stay as they are.
    """
    layers = weighted(module)
    wanted = dict.fromkeys(layers, clusters) if isinstance(clusters, int) else clusters
    unknown = sorted(set(wanted) - set(layers))
    if unknown:
        raise CompressError(f"the network has no layer {unknown[0]!r} with weights; it has "
                            f"{', '.join(layers)}")
    found = {name: cluster_weight(layers[name].weight, count, kind, scaled)
             for name, count in wanted.items()}
    write(module, found)
    return found


def write(module: nn.Module, found: Mapping[str, Clusters]) -> None:
    """Put the clustered weights into the module."""
    layers = weighted(module)
    with torch.no_grad():
        for name, clusters in found.items():
            layers[name].weight.copy_(clusters.weight())
