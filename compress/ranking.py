"""How much each feature (output map) of a convolution matters, by one of four criteria.

    ablation             rise of the loss when the feature is its mean everywhere
    l1                   sum of the magnitudes of its weights
    taylor               mean over images of |sum over pixels of gradient x value|
    reconstructability   share of its variance that no other feature of the layer explains

Values are what leaves the convolution, or the batch norm right behind it. Scores are comparable
within a layer, those of ablation and taylor within a network; larger matters more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import linear
from .data import BATCH, logits
from .errors import CompressError
from .hooks import hooked, inference
from .sites import Site, layer, watch

CRITERIA = ("ablation", "l1", "taylor", "reconstructability")
Scores = dict[str, Tensor]


def rank(module: nn.Module, sites: Sequence[Site], x: Tensor, y: Tensor, criterion: str) -> Scores:
    """Scores (C,), float64 and at least 0, of the features of each site, by path.

    x, y: images and labels to measure with; l1 needs none. Raises CompressError.
    """
    if criterion not in CRITERIA:
        raise CompressError(f"there is no criterion {criterion!r}; give one of "
                            f"{', '.join(CRITERIA)}")
    if criterion == "taylor":
        return taylor(module, sites, x, y)
    if criterion == "ablation":
        return {site.conv: ablation(module, site, x, y) for site in sites}
    if criterion == "l1":
        return {site.conv: layer(module, site.conv).weight.detach().double().abs().sum((1, 2, 3))
                for site in sites}
    return {name: unexplained(seen.map) for name, seen in watch(module, sites, x).items()}


def taylor(module: nn.Module, sites: Sequence[Site], x: Tensor, y: Tensor) -> Scores:
    """First-order change of the loss, all sites in one pass over the images."""
    values: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        output.retain_grad()
        values[name] = output
        return output.clone()                       # functions in place change this one only

    scores = {site.conv: torch.zeros(layer(module, site.conv).weight.shape[0],
                                     dtype=torch.float64) for site in sites}
    handles = [module.get_submodule(site.norm or site.conv).register_forward_hook(
        lambda part, inputs, output, name=site.conv: keep(name, output)) for site in sites]
    with hooked(handles), inference(module):
        for part, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
            with torch.enable_grad():
                outputs = module(part).flatten(1)
                functional.cross_entropy(outputs, labels, reduction="sum").backward()
            for name, value in values.items():
                if value.grad is not None:
                    scores[name] += (value.grad * value).detach().double().sum((2, 3)).abs().sum(0)
    module.zero_grad()
    return {name: score / len(x) for name, score in scores.items()}


def ablation(module: nn.Module, site: Site, x: Tensor, y: Tensor) -> Tensor:
    """Rise of the mean loss, one pass over the images for each feature; 0 where it falls."""
    chosen: list[int] = []

    def flatten_one(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        output = output.clone()
        for feature in chosen:
            output[:, feature] = means[feature]
        return output

    alone = Site(site.conv, site.norm, None, (), False)
    means = watch(module, [alone], x)[site.conv].map.mean((0, 2, 3))
    with hooked([module.get_submodule(site.norm or site.conv).register_forward_hook(flatten_one)]):
        before = _loss(module, x, y)
        rises = []
        for feature in range(len(means)):
            chosen[:] = [feature]
            rises.append(_loss(module, x, y) - before)
    return torch.tensor(rises, dtype=torch.float64).clamp(min=0)


def unexplained(maps: Tensor) -> Tensor:
    """1 - R^2 of each channel of maps (N, C, ...) by the best other one."""
    found = linear.pairs(linear.moments(maps), True, False).unexplained
    found = found.clone().fill_diagonal_(torch.inf)
    return found.min(1).values.clamp(max=1)


def _loss(module: nn.Module, x: Tensor, y: Tensor) -> float:
    return float(functional.cross_entropy(logits(module, x), y))
