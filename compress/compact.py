"""A network without the features that folding has taken out: equal, smaller, faster to train."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .sites import Site, layer, norm


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The rows (features) and columns (inputs) of a layer's weight that are kept."""

    rows: Tensor
    columns: Tensor


class Compact:
    """`module`: a copy with smaller weights. A feature goes if none of its weights is used, and
    nothing reads it; maps that more than layers read keep all features."""

    def __init__(self, whole: nn.Module, sites: Sequence[Site]) -> None:
        self.whole, self.sites = whole, sites
        self.module = copy.deepcopy(whole)
        self.parts = self._parts()
        with torch.no_grad():
            for name, part in self.parts.items():
                _shrink(layer(self.module, name), part)
            for site in sites:
                normed = norm(self.module, site)
                if normed is not None:
                    _shrink_norm(normed, self.parts[site.conv].rows)

    def spread(self) -> None:
        """Write what the copy has become into the whole network."""
        with torch.no_grad():
            mine, whole = (dict(m.named_modules()) for m in (self.module, self.whole))
            special = set(self.parts) | {site.norm for site in self.sites}
            for name, part in self.parts.items():
                small, large = layer(self.module, name), layer(self.whole, name)
                large.weight[part.rows[:, None], part.columns] = small.weight
                if large.bias is not None and small.bias is not None:
                    large.bias[part.rows] = small.bias
            for site in self.sites:
                if site.norm is not None:
                    _spread(mine[site.norm], whole[site.norm], self.parts[site.conv].rows)
            for name in set(mine) - special:
                _spread(mine[name], whole[name], None)

    def _parts(self) -> dict[str, Part]:
        names = [site.conv for site in self.sites]
        names += [reader.layer for site in self.sites for reader in site.readers]
        parts = {name: Part(torch.arange(len(layer(self.whole, name).weight)),
                            torch.arange(layer(self.whole, name).weight.shape[1]))
                 for name in dict.fromkeys(names)}
        for site in self.sites:
            kept = self._kept(site)
            parts[site.conv] = dataclasses.replace(parts[site.conv], rows=kept)
            for reader in site.readers:
                cells = kept[:, None] * reader.cells + torch.arange(reader.cells)
                parts[reader.layer] = dataclasses.replace(parts[reader.layer],
                                                          columns=cells.ravel())
        return parts

    def _kept(self, site: Site) -> Tensor:
        weight = layer(self.whole, site.conv).weight.detach()
        used = weight.flatten(1).any(1)
        if not site.readers:
            return torch.arange(len(weight))
        for reader in site.readers:
            read = layer(self.whole, reader.layer).weight.detach()
            used |= read.reshape(len(read), len(weight), -1).any(2).any(0)
        return used.nonzero().ravel()


def _shrink(part: nn.Conv2d | nn.Linear, kept: Part) -> None:
    part.weight = nn.Parameter(part.weight[kept.rows[:, None], kept.columns].contiguous())
    if part.bias is not None:
        part.bias = nn.Parameter(part.bias[kept.rows])
    if isinstance(part, nn.Conv2d):
        part.out_channels, part.in_channels = part.weight.shape[:2]
    else:
        part.out_features, part.in_features = part.weight.shape


def _shrink_norm(part: nn.BatchNorm2d, kept: Tensor) -> None:
    part.num_features = len(kept)
    for name, parameter in [*part.named_parameters(recurse=False)]:
        setattr(part, name, nn.Parameter(parameter[kept]))
    for name, buffer in [*part.named_buffers(recurse=False)]:
        if buffer.ndim:
            setattr(part, name, buffer[kept])


def _spread(mine: nn.Module, whole: nn.Module, rows: Tensor | None) -> None:
    """Parameters and buffers of a module's own."""
    values = {**dict(mine.named_parameters(recurse=False)),
              **dict(mine.named_buffers(recurse=False))}
    for name, value in values.items():
        target = getattr(whole, name)
        if rows is None or not value.ndim:
            target.copy_(value)
        else:
            target[rows] = value
