"""Lower kernels: features computed with a smaller kernel inside the one of their layer.

A smaller kernel is the same `weight` with exact zeros outside a window of it: square and centred
(both places where it cannot be), one row, or one column. What is left is fitted again: with the
second moments G of the layer's windows of input (im2col) and z_j = w_j . x,

    w_S = (G_SS + ridge)^-1 G_S: w_j      minimises the mean of (w_S . x_S - z_j)^2

so one matrix serves every feature and window. With G centred, what changes in the mean goes to the
bias or to the mean of the batch norm behind.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sites import Site, layer, norm

RIDGE = 1e-6                    # of the mean of G's diagonal
NOISE = 1e-9                    # of that mean, where inputs are constant
SAMPLES = 8192                  # windows of input that G is made from


@dataclasses.dataclass(frozen=True, order=True)
class Window:
    """A part of a kernel."""

    top: int
    left: int
    height: int
    width: int

    @property
    def cells(self) -> int:
        """Taps for each input channel."""
        return self.height * self.width

    def inside(self, other: Window) -> bool:
        """Every cell is one of the other's too."""
        return (self.top >= other.top and self.left >= other.left
                and self.top + self.height <= other.top + other.height
                and self.left + self.width <= other.left + other.width)

    def mask(self, kernel: tuple[int, int]) -> Tensor:
        """(kh, kw) bool."""
        out = torch.zeros(kernel, dtype=torch.bool)
        out[self.top:self.top + self.height, self.left:self.left + self.width] = True
        return out


@functools.cache
def windows(kernel: tuple[int, int]) -> tuple[Window, ...]:
    """Smaller windows of a kernel, most cells first.

    Squares from the next smaller down to 1x1 (2x2 among them), one centred row, one centred column.
    """
    height, width = kernel
    found = {Window(top, left, k, k) for k in range(1, min(kernel) + 1)
             for top in _places(height, k) for left in _places(width, k)}
    found |= {Window(top, 0, 1, width) for top in _places(height, 1)}
    found |= {Window(0, left, height, 1) for left in _places(width, 1)}
    found.discard(Window(0, 0, height, width))
    return tuple(sorted(found, key=lambda window: (-window.cells, window)))


def _places(size: int, part: int) -> set[int]:
    return {(size - part) // 2, (size - part + 1) // 2}


def current(weight: Tensor) -> list[Window | None]:
    """The smallest window around the weights that are not zero, by feature; None without any."""
    used = (weight != 0).any(1)
    out: list[Window | None] = []
    for rows, columns in zip(used.any(2), used.any(1), strict=True):
        y, x = rows.nonzero().ravel().tolist(), columns.nonzero().ravel().tolist()
        out.append(Window(y[0], x[0], y[-1] - y[0] + 1, x[-1] - x[0] + 1) if y else None)
    return out


# ---- fitting -------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """product: (C, D, C, D) float64 over the C inputs and D cells of a kernel; mean: (C, D).

    centred: the means are taken out of the products.
    """

    product: Tensor
    mean: Tensor
    centred: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Weights (K, C, kh, kw) with zeros outside a window; unexplained: (K,) mean square that is
    left of each feature as a share of all."""

    weight: Tensor
    unexplained: Tensor


def moments(module: nn.Module, site: Site, inputs: Tensor, seed: int = 0) -> Moments:
    """Second moments of what the convolution reads, at SAMPLES places. inputs: sites.watch."""
    conv = layer(module, site.conv)
    assert isinstance(conv, nn.Conv2d)
    rows = _sampled(conv, inputs, seed).double()
    mean, product = rows.mean(0), rows.T @ rows / len(rows)
    centred = conv.bias is not None or norm(module, site) is not None
    if centred:
        product -= torch.outer(mean, mean)
    shape = (conv.weight.shape[1], conv.weight[0, 0].numel())
    return Moments(product.view(*shape, *shape), mean.view(shape), centred)


def _sampled(conv: nn.Conv2d, x: Tensor, seed: int) -> Tensor:
    """At most SAMPLES rows (C * kh * kw), as many from every image."""
    generator = torch.Generator().manual_seed(seed)
    share = -(-SAMPLES // len(x))
    padding = _padding(conv)
    out = []
    for image in x.split(1):
        rows = functional.unfold(functional.pad(image, padding), _two(conv.kernel_size),
                                 _two(conv.dilation), 0, _two(conv.stride))[0].T
        out.append(rows[torch.randperm(len(rows), generator=generator)[:share]])
    return torch.cat(out)[:SAMPLES]


def _padding(conv: nn.Conv2d) -> list[int]:
    """Left, right, top, bottom, as functional.pad takes them."""
    return list(conv._reversed_padding_repeated_twice)


def _two(value: tuple[int, ...]) -> tuple[int, int]:
    return value[0], value[1]


def fit(weight: Tensor, found: Moments, window: Window, features: Sequence[int]) -> Fit:
    """The best weights of some features within a window and the window each has now.

    Inputs whose weights are zero for all features of one window stay unused.
    """
    chosen = weight.detach()[list(features)].double()
    gram = found.product.reshape(chosen[0].numel(), -1)
    mask = window.mask((weight.shape[2], weight.shape[3]))
    after = torch.zeros_like(chosen)
    together: dict[Window | None, list[int]] = {}
    for row, now in enumerate(current(chosen)):
        together.setdefault(now, []).append(row)
    for rows in together.values():
        used = ((chosen[rows] != 0).any(0) & mask).flatten()
        if used.any():
            after[rows] = _solve(chosen[rows], gram, used)
    before = chosen.flatten(1)
    difference = before - after.flatten(1)
    left = ((difference @ gram) * difference).sum(1).clamp(min=0)
    power = ((before @ gram) * before).sum(1)
    return Fit(after, torch.where(power > 0, left / power.clamp(min=1e-300), 0.0))


def _solve(weight: Tensor, gram: Tensor, used: Tensor) -> Tensor:
    """Weights that are zero but where `used` (C * kh * kw,) says, like weight (K, C, kh, kw)."""
    target = weight.flatten(1) @ gram[:, used]                  # covariance with what they made
    inner = gram[used][:, used]
    ridge = RIDGE * inner.diagonal().mean().clamp(min=NOISE)
    out = torch.zeros_like(weight.flatten(1))
    out[:, used] = torch.linalg.solve(inner + ridge * torch.eye(len(inner)), target.T).T
    return out.view_as(weight)


# ---- changing ------------------------------------------------------------------------------
def lower(module: nn.Module, site: Site, found: Moments, window: Window, features: Sequence[int],
          refit: bool = True) -> None:
    """Give features of a site a smaller window, in place; without refit weights are cut only."""
    conv, chosen = layer(module, site.conv), list(features)
    before = conv.weight.detach()[chosen].double()
    after = (fit(conv.weight, found, window, chosen).weight if refit
             else before * window.mask((before.shape[2], before.shape[3])))
    change = ((after - before).flatten(1) @ found.mean.flatten()) if found.centred else None
    with torch.no_grad():
        conv.weight[chosen] = after.to(conv.weight.dtype)
        if change is None:
            return
        normed = norm(module, site)
        if conv.bias is not None:
            conv.bias[chosen] -= change.to(conv.bias.dtype)
        elif normed is not None and normed.running_mean is not None:
            normed.running_mean[chosen] += change.to(normed.running_mean.dtype)
