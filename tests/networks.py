"""Random small torch networks with everything that the compiler takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "none": None, "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky": nn.LeakyReLU, "tanh": nn.Tanh,
    "hardswish": nn.Hardswish, "gelu": nn.GELU,
}


class Residual(nn.Module):
    """function(branch(x) + x)"""

    def __init__(self, branch: nn.Module, function: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.branch(x) + x)


class Shortcut(nn.Module):
    """function(branch(x) + part of x): every so many pixels, channels shifted, others zero."""

    def __init__(self, branch: nn.Module, stride: int, channels: tuple[int, int],
                 function: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.stride = stride
        self.channels = channels
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        part = x[:, :, ::self.stride, ::self.stride]
        return self.function(self.branch(x) + functional.pad(part, (0, 0, 0, 0, *self.channels)))


class Join(nn.Module):
    """Concatenation of branches."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """Weights and batch-norm statistics from a seed; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                if tensor.ndim > 1:
                    tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
                elif name.endswith(("running_var", "weight")):
                    tensor.uniform_(0.5, 1.5, generator=generator)
                else:
                    tensor.uniform_(-0.3, 0.3, generator=generator)
    return module.eval()


class Drawn:
    """What hypothesis draws."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choose(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def flag(self) -> bool:
        return self.draw(st.booleans())


class Builder:
    """Draws layers one after the other and keeps the shape that they make."""

    KINDS: tuple[str, ...] = ("conv", "conv", "conv", "residual", "shortcut", "join", "maximum",
                              "average", "pad", "norm", "function")

    def __init__(self, source: Any, shape: tuple[int, int, int],
                 activations: Sequence[str] = tuple(ACTIVATIONS)) -> None:
        self.number, self.choose, self.flag = source.number, source.choose, source.flag
        self.shape = shape
        self.activations = activations

    def function(self) -> nn.Module:
        kind = ACTIVATIONS[self.choose(self.activations)]
        return nn.Identity() if kind is None else kind()

    def layer(self) -> nn.Module:
        """A layer of any kind that fits the shape; nothing where it does not."""
        made = getattr(self, self.choose(self.KINDS))()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using padding='same'")    # it is only slower
            try:
                y = made.eval()(torch.zeros(1, *self.shape))
            except RuntimeError:        # a window larger than the map, for one
                return nn.Identity()
        shape = tuple(y.shape[1:])
        whole = bool(y.isfinite().all())        # no window of a pool lies in the padding
        if 0 in shape or shape[0] * shape[1] * shape[2] > 800 or not whole:
            return nn.Identity()
        self.shape = shape
        return made

    def conv(self) -> nn.Module:
        channels, out = self.shape[0], self.number(1, 4) * 2
        groups = self.choose(
            [g for g in range(1, channels + 1) if channels % g == 0 and out % g == 0])
        kernel = (self.number(1, 4), self.number(1, 4))
        same = self.flag()
        conv = nn.Conv2d(
            channels, out, kernel, 1 if same else (self.number(1, 3), self.number(1, 3)),
            "same" if same else (self.number(0, kernel[0] - 1), self.number(0, kernel[1] - 1)),
            dilation=self.number(1, 2), groups=groups, bias=self.flag())
        norm = nn.BatchNorm2d(out) if self.flag() else nn.Identity()
        return nn.Sequential(conv, norm, self.function())

    def residual(self) -> nn.Module:
        channels = self.shape[0]
        branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), self.function())
        return Residual(branch, self.function())

    def shortcut(self) -> nn.Module:
        channels, stride = self.shape[0], self.number(1, 3)
        more = (self.number(0, 2), self.number(0, 2))
        branch = nn.Sequential(nn.Conv2d(channels, 3, 3, stride, padding=1), nn.ReLU(),
                               nn.Conv2d(3, channels + sum(more), 1))
        return Shortcut(branch, stride, more, self.function())

    def join(self) -> nn.Module:
        channels = self.shape[0]
        return Join(nn.Identity() if self.flag() else nn.ReLU(),
                    nn.Sequential(nn.Conv2d(channels, 2, 3, padding=1), self.function()))

    def maximum(self) -> nn.Module:
        kernel = (self.number(1, 3), self.number(1, 3))
        return nn.MaxPool2d(kernel, (self.number(1, 3), self.number(1, 3)),
                            (self.number(0, kernel[0] // 2), self.number(0, kernel[1] // 2)),
                            dilation=self.number(1, 2), ceil_mode=self.flag())

    def average(self) -> nn.Module:
        kernel = (self.number(1, 3), self.number(1, 3))
        return nn.AvgPool2d(kernel, (self.number(1, 3), self.number(1, 3)),
                            (self.number(0, kernel[0] // 2), self.number(0, kernel[1] // 2)),
                            ceil_mode=self.flag(), count_include_pad=self.flag(),
                            divisor_override=self.choose([None, 3]))

    def pad(self) -> nn.Module:
        return nn.ZeroPad2d([self.number(0, 2) for _ in range(4)])

    def norm(self) -> nn.Module:
        return nn.BatchNorm2d(self.shape[0])

    def end(self) -> nn.Module:
        channels, height, width = self.shape
        size = channels * height * width
        ends = [
            nn.Sequential(nn.Flatten(), nn.Linear(size, 5)),
            nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Dropout(), nn.Linear(size, 6), nn.Tanh(),
                          nn.Linear(6, 3)),
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(size), nn.Linear(size, 4)),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)),
            nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
            nn.Sequential(nn.Conv2d(channels, 3, 1)),
        ]
        return self.choose(ends)


@st.composite
def networks(draw: Any, activations: tuple[str, ...] = tuple(ACTIVATIONS), layers: int = 5
             ) -> tuple[nn.Module, tuple[int, int, int]]:
    """(network in evaluation mode, (C, H, W) of its input) of up to `layers` layers and an end."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)))
    builder = Builder(Drawn(draw), shape, list(activations))
    count = draw(st.integers(1, layers))
    body = [builder.layer() for _ in range(count)]
    seed = draw(st.integers(0, 1 << 16))
    return randomise(nn.Sequential(*body, builder.end()), seed), shape
