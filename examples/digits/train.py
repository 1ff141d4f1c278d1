"""Train the digits network: 15 epochs, one thread, a fixed seed, a few seconds.

    python examples/digits/train.py

writes weights.pt, calibration.npz (`x`), data.npz (what `kcnn compress` takes), test.npy,
labels.npy, and few.npy, the first test images, into out/digits.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from model import WEIGHTS, preprocess, small_cnn
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS = 15
BATCH = 32
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.1
# keeps the logits small, so that fewer images stand on the edge of two classes after clustering
LABEL_SMOOTHING = 0.1
SEED = 0
CALIBRATION_IMAGES = 256
FEW_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class Digits:
    """scikit-learn's digits as the network takes them, a quarter of them held back for the test."""

    train_x: NDArray[np.float32]        # (1347, 1, 8, 8), 0..1
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]         # (450, 1, 8, 8)
    test_y: NDArray[np.int64]

    @property
    def calibration(self) -> NDArray[np.float32]:
        """Training images that the compiler sees."""
        return self.train_x[:CALIBRATION_IMAGES]


def load() -> Digits:
    """The data set and its fixed split."""
    digits = load_digits()
    pixels = torch.tensor(digits.images[:, None], dtype=torch.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        preprocess(pixels).numpy(), digits.target, test_size=0.25, random_state=SEED,
        stratify=digits.target)
    return Digits(train_x, train_y, test_x, test_y)


def train(digits: Digits, epochs: int = EPOCHS) -> nn.Module:
    """The trained network in inference mode; the same one every time on the same machine."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    module = small_cnn()
    x, y = torch.tensor(digits.train_x), torch.tensor(digits.train_y)
    optimiser = torch.optim.AdamW(module.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, epochs=epochs, steps_per_epoch=-(-len(x) // BATCH))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(module(x[batch]), y[batch],
                                               label_smoothing=LABEL_SMOOTHING)
            loss.backward()
            optimiser.step()
            schedule.step()
    return module.eval()


def logits(module: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The module's outputs for all images at once."""
    with torch.no_grad():
        return module(torch.tensor(x)).numpy()


def accuracy(outputs: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Share of images whose largest logit is that of the label, in percent."""
    return 100 * float(np.mean(outputs.argmax(axis=1) == labels))


def save(module: nn.Module, digits: Digits, folder: Path) -> None:
    """Write the weights, and the data that `kcnn compile`, `compress` and `run` take."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "calibration.npz", x=digits.calibration)
    np.savez(folder / "data.npz", x_train=digits.train_x, y_train=digits.train_y,
             x_test=digits.test_x, y_test=digits.test_y)
    np.save(folder / "test.npy", digits.test_x)
    np.save(folder / "labels.npy", digits.test_y)
    np.save(folder / "few.npy", digits.test_x[:FEW_IMAGES])
    partial = folder / f"weights.{os.getpid()}"
    torch.save(module.state_dict(), partial)
    partial.rename(folder / WEIGHTS.name)


def main() -> None:
    """Train and save."""
    digits = load()
    module = train(digits)
    save(module, digits, WEIGHTS.parent)
    print(f"test accuracy {accuracy(logits(module, digits.test_x), digits.test_y):.1f} %, "
          f"weights in {WEIGHTS}")


if __name__ == "__main__":
    main()
