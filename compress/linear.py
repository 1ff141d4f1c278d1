"""Linear approximation: a feature computed from another one of its layer, y_j = a * y_i + b.

All pairs come from one matrix of second moments. The *explicit* form computes the map of the kept
features and then the approximations, one multiply-accumulate a pixel (`Approximate`). The *folded*
form moves them into the readers: W'[:, i] += a * W[:, j], bias' += b * sum(W[:, j]); feature j and
everything that reads it become exact zeros. It is equal where

- readers are reached through pools and flattening only, and a >= 0 if a maximum is taken, and
- b = 0, or no reader adds up zeros of a padding beside b and every reader has a bias.

So fits are made without b where a reader pads, and `fold` refuses what would not be equal. Where a
map is needed by other layers too (a sum, a concatenation), a feature can still be made a constant:
a = 0.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import CompressError
from .sites import Reader, Site, layer, norm


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Fits of each feature j by each other one i, all (C, C) float64 with rows j.

    unexplained: mean square that is left, as a share of that of y_j (without b), or of its variance
    (with b). 0 for a feature that is nothing, or constant.
    """

    slope: Tensor
    offset: Tensor
    unexplained: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Approximation:
    """y_j = slope * y_source + offset for each feature in `replaced`; no source is replaced."""

    replaced: tuple[int, ...]
    source: tuple[int, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]


# ---- fitting -------------------------------------------------------------------------------
def moments(maps: Tensor) -> Tensor:
    """(C + 1, C + 1) float64: mean products of the channels of maps (N, C, ...) and of one."""
    rows = maps.transpose(0, 1).flatten(1).double()
    rows = torch.cat([rows, rows.new_ones(1, rows.shape[1])])
    return rows @ rows.T / rows.shape[1]


def pairs(second: Tensor, intercept: bool, positive: bool) -> Pairs:
    """The least-squares fit of every feature by every other. positive: slopes below 0 become 0."""
    product, mean = second[:-1, :-1], second[:-1, -1]
    if intercept:
        product = product - torch.outer(mean, mean)
    power = product.diagonal().clamp(min=0)
    tiny = 1e-12 * second.diagonal()[:-1]
    slope = torch.where(power > tiny, product / power.clamp(min=1e-300), 0.0)
    if positive:
        slope = slope.clamp(min=0)
    offset = mean[:, None] - slope * mean if intercept else torch.zeros_like(slope)
    left = power[:, None] - 2 * slope * product + slope ** 2 * power
    left = torch.where((power > tiny)[:, None], left / power[:, None].clamp(min=1e-300), 0.0)
    return Pairs(slope, offset, left.clamp(min=0))


def fits(module: nn.Module, site: Site, maps: Tensor) -> Pairs:
    """Fits of a site's features, of the kind that can be folded. maps: from sites.watch.

    Without readers every slope is 0: the best constant, where there is a way to add it.
    """
    second = moments(maps)
    if site.readers:
        return pairs(second, site.constant, site.pooled)
    free = norm(module, site) is not None or layer(module, site.conv).bias is not None
    mean, ones = second[:-1, -1:], torch.ones(len(second) - 1, len(second) - 1).double()
    return Pairs(0 * ones, mean * ones if free else 0 * ones, ones)


def choose(found: Pairs, replaced: Sequence[int], kept: Sequence[int]) -> Approximation:
    """The best source among the kept features for each replaced one; there must be one kept."""
    if not kept or set(kept) & set(replaced):
        raise CompressError(f"{len(replaced)} features cannot be approximated by {len(kept)} kept "
                            "ones; keep at least one that is not replaced")
    rows, columns = torch.tensor(list(replaced)), torch.tensor(list(kept))
    best = columns[found.unexplained[rows][:, columns].argmin(1)]
    return Approximation(tuple(replaced), tuple(best.tolist()),
                         tuple(found.slope[rows, best].tolist()),
                         tuple(found.offset[rows, best].tolist()))


# ---- explicit form -------------------------------------------------------------------------
class Approximate(nn.Module):
    """Takes a map, passes the kept features and computes the others: a 1x1 convolution."""

    def __init__(self, channels: int, approximation: Approximation,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1, dtype=dtype)
        with torch.no_grad():
            weight, bias = self.mix.weight, self.mix.bias
            assert bias is not None
            weight.copy_(torch.eye(channels)[:, :, None, None])
            bias.zero_()
            for j, i, a, b in zip(approximation.replaced, approximation.source,
                                  approximation.slope, approximation.offset, strict=True):
                weight[j] = 0
                weight[j, i], bias[j] = a, b

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return self.mix(x)


def explicit(module: nn.Module, site: Site, approximation: Approximation) -> nn.Module:
    """A copy of the network with the approximations computed behind the site's map.

    The replaced features' own weights become zeros. Raises CompressError where no module, but a
    plain function, makes the map.
    """
    if site.tail is None:
        raise CompressError(f"{site.conv}: its map leaves a plain function; make the function a "
                            "module (nn.ReLU) or use the folded form")
    module = copy.deepcopy(module)
    weight = layer(module, site.conv).weight
    _silence(module, site, approximation.replaced)
    parent, _, name = site.tail.rpartition(".")
    both = nn.Sequential(module.get_submodule(site.tail),
                         Approximate(len(weight), approximation, weight.dtype))
    setattr(module.get_submodule(parent), name, both.train(module.training))
    return module


# ---- folded form ---------------------------------------------------------------------------
def fold(module: nn.Module, site: Site, approximation: Approximation) -> None:
    """Move approximations into the readers, in place. Raises CompressError if not equal."""
    _check(site, approximation)
    with torch.no_grad():
        for reader in site.readers:
            _fold_into(layer(module, reader.layer), reader, approximation)
    _silence(module, site, approximation.replaced)
    if not site.readers:
        _constants(module, site, approximation)


def _check(site: Site, approximation: Approximation) -> None:
    if not site.readers and any(approximation.slope):
        raise CompressError(f"{site.conv}: its map is read by more than layers, so only constants "
                            "can be folded; use slope 0 or the explicit form")
    if site.pooled and any(slope < 0 for slope in approximation.slope):
        raise CompressError(f"{site.conv}: a maximum follows its map, so slopes below 0 cannot be "
                            "folded; fit with positive slopes")
    if site.readers and any(approximation.offset) and not site.constant:
        raise CompressError(f"{site.conv}: a reader pads its map or has no bias, so a constant "
                            "cannot be folded; fit without an offset")


def _fold_into(part: nn.Conv2d | nn.Linear, reader: Reader, approximation: Approximation) -> None:
    weight = part.weight.view(len(part.weight), -1, reader.cells, *part.weight.shape[2:])
    for j, i, a, b in zip(approximation.replaced, approximation.source, approximation.slope,
                          approximation.offset, strict=True):
        weight[:, i] += a * weight[:, j]
        if part.bias is not None:
            part.bias += b * weight[:, j].flatten(1).sum(1)
        weight[:, j] = 0


def _silence(module: nn.Module, site: Site, features: Sequence[int]) -> None:
    """Weights, bias and batch norm of features become zeros: what leaves the norm is 0."""
    conv, normed, chosen = layer(module, site.conv), norm(module, site), list(features)
    with torch.no_grad():
        conv.weight[chosen] = 0
        if conv.bias is not None:
            conv.bias[chosen] = 0
        if normed is not None:
            for values, value in ((normed.running_mean, 0), (normed.running_var, 1),
                                  (normed.weight, 0), (normed.bias, 0)):
                if values is not None:
                    values[chosen] = value


def _constants(module: nn.Module, site: Site, approximation: Approximation) -> None:
    taking = norm(module, site) or layer(module, site.conv)
    if taking.bias is None:
        if any(approximation.offset):
            raise CompressError(f"{site.conv} has no bias; only the constant 0 can be folded")
        return
    with torch.no_grad():
        taking.bias[list(approximation.replaced)] = torch.tensor(approximation.offset).to(
            taking.bias.dtype)
