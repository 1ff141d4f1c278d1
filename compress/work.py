"""The work of each layer as a machine with kernel classes sees it: features by the window they use.

Costs that a search can lower are functions of it: `macs` and `issues` here, cycles in diannao.py.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from . import account
from .linear import Approximate
from .lower_kernel import Window, current
from .sites import layer


@dataclasses.dataclass(frozen=True)
class Work:
    """One layer and one image.

    kind: conv, fc, or linear: features approximated by others, one multiply-accumulate an output.
    positions: outputs of a feature. sources: channels of which any weight is used. pixels: values
    of each input channel. windows: features by the window (height, width) of their kernel; features
    without any weight are nowhere. box: the window that holds them all. taps: weights not zero.
    """

    name: str
    kind: str
    positions: int
    sources: int
    pixels: int
    windows: Mapping[tuple[int, int], int]
    box: tuple[int, int]
    taps: int

    @property
    def features(self) -> int:
        """Features that are computed."""
        return sum(self.windows.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates without those of zero weights."""
        return self.taps * self.positions


Cost = Callable[[Sequence[Work]], float]


def macs(works: Sequence[Work]) -> float:
    """Multiply-accumulates of one image over all layers."""
    return sum(work.macs for work in works)


def issues(lanes: int) -> Cost:
    """Clocks in which a machine of so many lanes issues taps: one tap for `lanes` positions."""
    def cost(works: Sequence[Work]) -> float:
        return sum(work.taps * -(-work.positions // lanes) for work in works)
    return cost


class Meter:
    """Finds the work of modules of one architecture, which a run on one image has shown."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.layers = account.measure(module, example[:1])

    def __call__(self, module: nn.Module) -> list[Work]:
        """The work of every Conv2d and Linear with the weights that they have now."""
        linear = {f"{name}.mix" for name, part in module.named_modules()
                  if isinstance(part, Approximate)}
        return [_linear(found, layer(module, found.name).weight) if found.name in linear
                else _work(found, layer(module, found.name).weight) for found in self.layers]


def _work(found: account.Layer, weight: Tensor) -> Work:
    weight = weight.detach().view(*weight.shape, *(1,) * (4 - weight.ndim))
    used = [window for window in current(weight) if window is not None]
    windows = Counter((window.height, window.width) for window in used)
    channels = found.shape[1]
    sources = int((weight != 0).flatten(2).any(2).any(0).sum())
    return Work(found.name, found.kind, found.positions, sources, found.inputs // channels,
                dict(sorted(windows.items())), _box(used), int((weight != 0).sum()))


def _box(used: Sequence[Window]) -> tuple[int, int]:
    if not used:
        return 0, 0
    bottom, right = (max(w.top + w.height for w in used), max(w.left + w.width for w in used))
    return bottom - min(w.top for w in used), right - min(w.left for w in used)


def _linear(found: account.Layer, weight: Tensor) -> Work:
    """Only rows that are not an identity's take work."""
    flat = weight.detach().flatten(1)
    copied = (flat != 0).sum(1).eq(1) & flat.diagonal().eq(1)
    count = int((~copied & flat.ne(0).any(1)).sum())
    return Work(found.name, "linear", found.positions, count, found.inputs // len(flat),
                {(1, 1): count} if count else {}, (1, 1), count)
