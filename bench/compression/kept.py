"""What integers keep of float networks: `python bench/compression/kept.py`, for docs/fidelity.md.

Healthy networks, trained and random, dense and compressed; one that is not, by too few clusters;
and a network on images with rare large values, calibrated on few and on many. A hundred
calibration images, every fifth held back, as `kcnn compile` does it. `make demo` makes those of
digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from kcnn.arch.config import Config
from kcnn.compiler import fidelity, pipeline
from kcnn.compiler.frontend.model import load_model
from networks import DATA, compressed, folder, trained
from numpy.typing import NDArray
from tables import Cell, Table
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 100
COLUMNS = ("network, data", "machine", "varying, dB", "typical, dB", "SQNR, dB", "same largest",
           "calibrated on: varying", "most is lost in")
RARE = 1e-4                 # share of the pixels that are LARGE times as large
LARGE = 100.0

Images = NDArray[np.float32]
Case = tuple[str, nn.Module, Images, str, int]


def cases() -> Iterator[Case]:
    """Name, module, calibration images, machine, clusters."""
    odd = _example("odd")
    x = np.random.default_rng(7).normal(size=(IMAGES, 2, 9, 7)).astype(np.float32)
    for machine in ("tiny", "small"):
        yield "odd, random weights, noise", odd, x, machine, 16
    yield "odd, 3 clusters", odd, x, "tiny", 3
    with np.load(ROOT / "out" / "digits" / "calibration.npz") as file:
        yield "digits", _example("digits"), file["x"][:IMAGES], "tiny", 16
    for name, data in (("lenet5", "mnist"), ("lenet5", "fashion"), ("resnet20", "cifar10")):
        x = _typical(data)
        yield f"{name}, {data}", trained(name, data), x, "small", 16
        if data != "fashion":
            yield f"{name}, {data}, compressed", compressed(name, data), x, "small", 16
    x = _typical("cifar10", pixels=True)
    yield "resnet8 of MLPerf Tiny, cifar10", Resnet8().eval(), x, "small", 16
    for images in (20, 400):
        yield (f"three convolutions, rare large values, {images} images", plain(), rare(images),
               "small", 16)


def _example(name: str) -> nn.Module:
    module = load_model(f"{ROOT}/examples/{name}/model.py:network").module
    assert isinstance(module, nn.Module)
    return module


def _typical(data: str, pixels: bool = False) -> Images:
    """Some of the training images, as networks take them or as pixels."""
    if pixels:
        with np.load(folder() / DATA[data].train) as file:
            x = file["images"].transpose(0, 3, 1, 2)
    else:
        x = DATA[data].load().x_train.numpy()
    return x[::len(x) // IMAGES][:IMAGES].astype(np.float32)


class Resnet8(nn.Module):
    """(N, 3, 32, 32) pixels 0..255 to (N, 10), with the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = np.load(folder() / "mlperf_resnet8_cifar10.npz")
        self.convs = nn.ModuleList(self._conv(i) for i in range(9))
        self.norms = nn.ModuleList(self._norm(i) for i in range(7))
        self.dense = nn.Linear(64, 10)
        self._fill(self.dense, "dense")
        del self.folder

    def _conv(self, number: int) -> nn.Conv2d:
        name = f"conv2d_{number}" if number else "conv2d"
        outputs, inputs, size, _ = self.folder[f"{name}.weight"].shape
        stride = 2 if number in (3, 5, 6, 8) else 1
        # with stride 2 the border of a 3x3 kernel is on the right and below
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2 if stride == 1 else 0)
        self._fill(conv, name)
        return conv

    def _norm(self, number: int) -> nn.BatchNorm2d:
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        norm = nn.BatchNorm2d(len(self.folder[f"{name}.weight"]), eps=1e-3)
        self._fill(norm, name)
        return norm

    def _fill(self, module: nn.Module, name: str) -> None:
        for key, value in module.state_dict().items():
            if key != "num_batches_tracked":
                value.copy_(torch.from_numpy(self.folder[f"{name}.{key}"]))

    def forward(self, x: Tensor) -> Tensor:
        def conv(number: int, y: Tensor) -> Tensor:
            layer = self.convs[number]
            even = layer.stride == (2, 2) and layer.kernel_size == (3, 3)
            return layer(functional.pad(y, (0, 1, 0, 1)) if even else y)

        x = torch.relu(self.norms[0](conv(0, x)))
        for first, second, short in ((1, 2, None), (3, 4, 5), (6, 7, 8)):
            norm = first if short is None else first - (first > 3)
            y = torch.relu(self.norms[norm](conv(first, x)))
            y = self.norms[norm + 1](conv(second, y))
            x = torch.relu(y + (x if short is None else conv(short, x)))
        return self.dense(x.mean((2, 3)))


def plain() -> nn.Module:
    """Random weights, (N, 1, 16, 16) to (N, 10)."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)).eval()


def rare(images: int) -> Images:
    """Noise, RARE of whose values are LARGE times as large."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(images, 1, 16, 16))
    return np.where(rng.random(x.shape) < RARE, LARGE * x, x).astype(np.float32)


def row(case: Case, cut: bool = True) -> list[Cell]:
    """What one network keeps. cut: rare large values may be cut off."""
    name, module, x, machine, clusters = case
    calibrated, held = fidelity.held(x)
    made = pipeline.compile(module, (torch.tensor(x[:1]),), calibrated, Config.preset(machine),
                            clusters=clusters, held_back=held if cut else None)
    found = fidelity.measure(made, calibrated, held)
    kept = found.told.outputs[found.told.worst]
    before = found.calibration.outputs[found.told.worst].varying
    lost = "" if found.loss is None else f"{found.loss.place}: {found.loss.step}"
    return [name if cut else f"{name}, nothing cut off", machine, kept.varying, kept.typical,
            kept.sqnr, f"{kept.agreement} of {found.told.images}", before, lost]


def table(found: Iterator[Case], show: Callable[[str], None] = print) -> Table:
    """All rows, each told when it is ready."""
    rows = []
    for case in found:
        for cut in (False, True) if "rare" in case[0] else (True,):
            rows.append(row(case, cut))
            show(" | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in rows[-1]))
    shown = dict.fromkeys((*COLUMNS[2:5], COLUMNS[6]), ".1f")
    return Table("What networks keep on images held back", COLUMNS, rows, shown)


if __name__ == "__main__":
    print(table(cases()).markdown())
