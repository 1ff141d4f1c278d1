"""Trains the networks of the studies: `python bench/compression/train.py vgg7 cifar10`.

ResNet-20 starts from the published weights, which were trained on the original pixels of all
training images, and is trained on for a few epochs: without it, whatever is fine-tuned on these
JPEG-decoded files would look better than it is. The others start from a seed.

One fifth of every class of the training images is never trained on: split(data, HELD, SEED) of any
share up to HELD holds back only these, so what decides with them meets a network that has not seen
them. The test images are read once, at the end. Without arguments all networks are trained that
have no weights yet. One thread and a seed: the same weights every time on the same machine.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import torch
from kcnn.compress.data import Data, accuracy, batches, split
from networks import DATA, WEIGHTS, build, save_weights, trained
from torch import Tensor, nn
from torch.nn import functional

HELD = 0.2
SEED = 0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Gradient descent with momentum, or Adam, and one rise and fall of the learning rate."""

    epochs: int
    rate: float
    shift: int              # pixels that an image is moved by at most, each way
    mirror: bool
    adam: bool = False
    batch: int = 128
    decay: float = 5e-4                     # Adam's is decoupled: times 20

    def optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        """For all parameters of the network."""
        if self.adam:
            return torch.optim.AdamW(module.parameters(), self.rate, weight_decay=20 * self.decay)
        return torch.optim.SGD(module.parameters(), self.rate, momentum=0.9, nesterov=True,
                               weight_decay=self.decay)


RECIPES = {
    ("lenet5", "mnist"): Recipe(8, 0.05, shift=0, mirror=False),
    ("lenet5", "fashion"): Recipe(10, 3e-3, shift=0, mirror=False, adam=True),
    ("vgg7", "fashion"): Recipe(6, 0.15, shift=1, mirror=True),
    ("resnet20", "cifar10"): Recipe(4, 0.02, shift=3, mirror=True),
    ("vgg7", "cifar10"): Recipe(15, 0.15, shift=3, mirror=True),
}


def train(network: str, data: str) -> nn.Module:
    """A network trained from scratch; tells the accuracy on held-back images as it goes."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    recipe, generator = RECIPES[network, data], torch.Generator().manual_seed(SEED)
    part = split(DATA[data].load(), HELD, SEED)
    start: Any = trained(network, data) if network == "resnet20" else build(network, data)
    module = start.to(memory_format=torch.channels_last)
    optimiser = recipe.optimiser(module)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, epochs=recipe.epochs,
        steps_per_epoch=-(-len(part.x_train) // recipe.batch))
    for epoch in range(recipe.epochs):
        module.train()
        _epoch(module, part, recipe, generator, optimiser, schedule)
        print(f"{network} {data} epoch {epoch + 1} of {recipe.epochs}: held back "
              f"{accuracy(module, part.x_test, part.y_test):.4f}", flush=True)
    return module.to(memory_format=torch.contiguous_format).eval()


def _epoch(module: nn.Module, part: Data, recipe: Recipe, generator: torch.Generator,
           optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
           ) -> None:
    for x, y in batches(part, recipe.batch, generator):
        x = varied(x, recipe.shift, recipe.mirror, generator)
        optimiser.zero_grad()
        functional.cross_entropy(
            module(x.contiguous(memory_format=torch.channels_last)), y).backward()
        optimiser.step()
        schedule.step()


def varied(x: Tensor, shift: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Every image (N, C, H, W) moved by -shift..shift pixels, half of them mirrored if said."""
    if mirror:
        turned = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(turned[:, None, None, None], x.flip(3), x)
    if not shift:
        return x
    height, width = x.shape[2:]
    down, right = torch.randint(2 * shift + 1, (2, len(x), 1), generator=generator)
    rows = (down + torch.arange(height))[:, :, None]
    columns = (right + torch.arange(width))[:, None, :]
    padded = functional.pad(x, (shift,) * 4)
    return padded[torch.arange(len(x))[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def main() -> None:
    """Train what is named, or all that is missing, and keep the weights."""
    parser = argparse.ArgumentParser(description="Train the small networks of the studies.")
    parser.add_argument("network", nargs="?", choices=sorted({net for net, _ in RECIPES}))
    parser.add_argument("data", nargs="?", choices=sorted(DATA))
    arguments = parser.parse_args()
    named = [(arguments.network, arguments.data)] if arguments.data else list(RECIPES)
    WEIGHTS.mkdir(exist_ok=True)
    for network, data in named:
        path = WEIGHTS / f"{network}_{data}.npz"
        if not arguments.data and path.exists():
            continue
        module = train(network, data)
        save_weights(module, path)
        test = DATA[data].load()
        print(f"{network} {data}: test {accuracy(module, test.x_test, test.y_test):.4f}, "
              f"{path.name}, {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
