"""Networks with channels of unequal range: each layer's rows times r, its readers' columns by r.

All spreads of a network compute the same function.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional


def plain(spread: float) -> nn.Module:
    """Two convolutions; the eight channels between differ by `spread`, evenly in logarithms."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    r = spread ** torch.linspace(-0.5, 0.5, 8)
    _rows(module[0], r)
    _columns(module[2], r)
    return module.eval()


class Residual(nn.Module):
    """A residual block whose skip tensor has unequal channels too, behind it a pool."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.inner = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.outer, self.last = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 5, 3)
        r, q = _scales(spread, 12, 12)
        for layer in (self.first, self.outer):
            _rows(layer, r)
        for layer in (self.inner, self.last):
            _columns(layer, r)
        _rows(self.inner, q)
        _columns(self.outer, q)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.outer(torch.relu(self.inner(x))) + x)
        return self.last(functional.max_pool2d(x, 2))


class Fire(nn.Module):
    """One layer squeezed, two joined: the concatenation of SqueezeNet."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.squeeze, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(24, 5, 3)
        self.one, self.three = nn.Conv2d(8, 12, 1), nn.Conv2d(8, 12, 3, padding=1)
        r, q = _scales(spread, 8, 24)
        _rows(self.squeeze, r)
        for layer, part in ((self.one, q[:12]), (self.three, q[12:])):
            _columns(layer, r)
            _rows(layer, part)
        _columns(self.last, q)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        x = torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)
        return self.last(functional.max_pool2d(x, 2))


def depthwise(spread: float) -> nn.Module:
    """Depthwise and pointwise convolutions by turns; the spread is in the batch norms behind."""
    torch.manual_seed(4)
    convs = [nn.Conv2d(3, 16, 3, padding=1, bias=False),
             nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
             nn.Conv2d(16, 24, 1, bias=False),
             nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False)]
    layers: list[nn.Module] = []
    r = torch.ones(3)
    for conv, q in zip(convs, _scales(spread, 16, 16, 24, 24), strict=True):
        _columns(conv, r)
        norm = nn.BatchNorm2d(conv.out_channels)
        with torch.no_grad():
            norm.weight.uniform_(0.7, 1.4).mul_(q)
            norm.bias.uniform_(-0.2, 0.4).mul_(q)
        layers += [conv, norm, nn.ReLU()]
        r = q
    last = nn.Conv2d(24, 5, 1)
    _columns(last, r)
    return nn.Sequential(*layers, last).eval()


def _scales(spread: float, *channels: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(5)
    for count in channels:
        yield spread ** (torch.rand(count, generator=generator) - 0.5)


@torch.no_grad()
def _rows(conv: nn.Conv2d, r: Tensor) -> None:
    conv.weight.mul_(r[:, None, None, None])
    if conv.bias is not None:
        conv.bias.mul_(r)


@torch.no_grad()
def _columns(conv: nn.Conv2d, r: Tensor) -> None:
    """Divide by the scale of what each column reads; a depthwise row reads its own channel."""
    conv.weight.div_(r[None, :, None, None] if conv.groups == 1 else r[:, None, None, None])
