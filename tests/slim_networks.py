"""Small networks for the tests of slimming, with weights from a seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def seeded(module: nn.Module, seed: int) -> nn.Module:
    """Random weights, biases and batch-norm statistics; inference mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point():
                value.uniform_(-0.5, 0.5, generator=generator)
    return module.eval()


def images(count: int = 16, shape: tuple[int, int, int] = (2, 9, 8), seed: int = 1) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def chain(padding: int = 0, pool: str = "max", norm: bool = True, bias: bool = True,
          flat: bool = False, kernel: int = 3) -> nn.Sequential:
    """conv1 [norm] relu [pool] and a reader: conv2, or a linear layer."""
    parts: dict[str, nn.Module] = {"conv1": nn.Conv2d(2, 6, kernel, padding=kernel // 2,
                                                      bias=bias)}
    if norm:
        parts["norm1"] = nn.BatchNorm2d(6)
    parts["relu1"] = nn.ReLU()
    if pool == "max":
        parts["pool1"] = nn.MaxPool2d(2)
    elif pool == "average":
        parts["pool1"] = nn.AvgPool2d(2)
    if flat:
        size = 6 * (4 * 4 if pool else 9 * 8)
        return _named(parts, flatten=nn.Flatten(), linear=nn.Linear(size, 5, bias=bias))
    return _named(parts, conv2=nn.Conv2d(6, 4, 3, padding=padding, bias=bias), relu2=nn.ReLU(),
                  mean=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(4, 5))


def _named(parts: dict[str, nn.Module], **more: nn.Module) -> nn.Sequential:
    module = nn.Sequential()
    for name, part in {**parts, **more}.items():
        module.add_module(name, part)
    return module


class Residual(nn.Module):
    """stem, then relu(x + norm2(conv2(relu(norm1(conv1(x)))))), mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.conv1 = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return self.linear(self.mean(torch.relu(x + y)).flatten(1))
