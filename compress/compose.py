"""Compression by several methods under one accuracy budget.

The training images are split once; one part trains, the other one, the validation images, decides
(or images given for it, which the network has not been trained on).
First the network is trained a little as it is: that, or the untouched one if it is better, is the
reference and the teacher of all that follows. Then each method in turn may take the loss on the
validation images to its share of the budget: the first of four to a quarter, the last one to all of
it. The test images are only read for the report.

A run keeps its state in a folder: the network after every method, and what the methods keep. The
folder knows which run it belongs to; the same run goes on from it, another one is refused.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..arch.threads import one_thread
from ..compiler.errors import first_line
from . import budget, checkpoint
from .clusters import weighted
from .compact import Compact
from .data import Data, accuracy, logits, split
from .errors import CompressError
from .methods import METHODS, Notes, Progress, Task, Tell
from .sites import sites
from .work import Meter, macs

RUN = "run.json"
# seeds of single steps are made of it and stay below 2^63
SEEDS = 1 << 32
# relative difference between a network and its compact form that rounding can make
CLOSE = 1e-4


@dataclasses.dataclass(frozen=True)
class Settings:
    """budget: accuracy that may be lost, 0.01 is one point. methods: names of METHODS, in order.

    epochs: of training behind every method, and of the network before the first one. validation:
    share of the training images that decides.
    """

    budget: float
    methods: tuple[str, ...]
    epochs: int = 1
    seed: int = 0
    validation: float = 0.2

    def check(self) -> None:
        """Raise CompressError for settings that mean nothing."""
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods:
            found = f"there is no method {unknown[0]!r}" if unknown else "no method is given"
            raise CompressError(f"{found}; give some of {','.join(METHODS)}")
        if len(set(self.methods)) < len(self.methods):
            raise CompressError("a method is given twice; give each once")
        if "cluster" in self.methods[:-1]:
            raise CompressError("cluster must come last: methods behind it would undo the sharing")
        if not 0 <= self.budget < 1:
            raise CompressError(f"the budget must be 0 to 1, found {self.budget}; 0.01 is one "
                                "point of accuracy")
        if self.epochs < 0:
            raise CompressError(f"epochs must be 0 or more, found {self.epochs}")
        if not 0 <= self.seed < SEEDS:
            raise CompressError(f"the seed must be 0 to {SEEDS - 1}, found {self.seed}")


@dataclasses.dataclass(frozen=True, eq=False)
class Composed:
    """The smallest network, without features that nothing reads, and the report."""

    module: nn.Module
    report: dict[str, Any]


def compose(module: nn.Module, data: Data, settings: Settings, folder: Path,
            tell: Tell | None = None) -> Composed:
    """Compress a network; it is not changed. The folder is made if it is missing, and stays.

    Raises CompressError for a network, data or settings that do not go together.
    """
    settings.check()
    module = copy.deepcopy(module).eval()
    check_network(module, data)
    module.requires_grad_(True)
    with repeatable(settings.seed):
        part = split(data, settings.validation, settings.seed)
        _claim(folder, _fingerprint(module, data, settings))
        run = _Run(module, data, part, settings, folder, tell or (lambda progress: None))
        return run.composed()


def check_network(module: nn.Module, data: Data) -> None:
    """Refuse a network that does not take the images, does not tell their classes apart, or has
    nothing that can be compressed."""
    _check_outputs(module, data)
    weights = [part.weight for part in weighted(module).values()]
    if not any(bool(weight.any()) for weight in weights):
        raise CompressError("the network has no Conv2d and no Linear module with weights that are "
                            "not zero, so there is nothing to compress; write a network that calls "
                            "functions on its parameters to a .pt2 file")
    sites(module, data.example)                     # refuses what the compiler cannot trace


def _check_outputs(module: nn.Module, data: Data) -> None:
    try:
        with torch.no_grad():
            found = module(data.x_train[:2].expand(2, -1, -1, -1))
    except Exception as error:                      # of the user's code, so of any kind
        raise CompressError(f"the network does not take two images of shape "
                            f"{tuple(data.example.shape[1:])} ({first_line(error)}); give the data "
                            "it is made for, and leave the number of images free") from error
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != 2:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise CompressError(f"the network makes {what} of two images; one tensor of logits (N, "
                            "classes) is needed")
    if not torch.isfinite(found).all():
        raise CompressError("the network makes numbers that are not finite of the first images; "
                            "give images as it takes them, or train it again")
    labels = (data.y_train, data.y_test, *([] if data.y_val is None else [data.y_val]))
    most, classes = int(torch.cat(labels).max()), found.flatten(1).shape[1]
    if classes <= most:
        raise CompressError(f"the network has {classes} outputs, the labels go to {most}; "
                            "give the data it is made for")


def layers(module: nn.Module) -> list[dict[str, Any]]:
    """What the machine will see of each layer: weights, taps (not zero), clusters (different
    magnitudes of a channel, over all channels), and the most magnitudes that a channel has."""
    out = []
    for name, part in weighted(module).items():
        weight = part.weight.detach()
        sizes = [len(row[row > 0].unique()) for row in weight.abs().flatten(1)]
        out.append({"layer": name, "weights": weight.numel(), "taps": int((weight != 0).sum()),
                    "clusters": sum(sizes), "magnitudes": max(sizes)})
    return out


@contextlib.contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """One thread and algorithms that give the same bits every time; what was set before returns."""
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    try:
        with one_thread():
            yield
    finally:
        torch.use_deterministic_algorithms(strict)


# ---- the folder --------------------------------------------------------------------------------
def _fingerprint(module: nn.Module, data: Data, settings: Settings) -> dict[str, Any]:
    state = {name: value for name, value in module.state_dict().items()}
    return {"settings": {**dataclasses.asdict(settings), "methods": list(settings.methods)},
            "network": _digest(state, str(module)),
            "data": _digest({name: value for name, value in vars(data).items()
                             if value is not None}, "")}


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def _claim(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Make the folder this run's; CompressError if it is another one's."""
    path = folder / RUN
    if path.exists():
        if _known(path) != fingerprint:
            raise CompressError(f"{folder}: holds an unfinished run with another network, data or "
                                "settings; give the same again, or remove the folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CompressError(f"{folder}: exists and is no unfinished run; remove it or name "
                            "another output")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{RUN}"
    partial.write_text(json.dumps(fingerprint, indent=1) + "\n")
    partial.replace(path)


def _known(path: Path) -> Any:
    """What _claim has written, None if it is damaged."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


# ---- a run -------------------------------------------------------------------------------------
class _Run:
    """Networks after each prefix of the methods; the first is the reference."""

    def __init__(self, module: nn.Module, data: Data, part: Data, settings: Settings, folder: Path,
                 tell: Tell) -> None:
        self.untouched = module
        self.data, self.part, self.settings = data, part, settings
        self.folder, self.tell = folder, tell
        self.meter = Meter(self.untouched, part.example)

    def composed(self) -> Composed:
        module, _ = self._kept("0_reference", self._reference)
        rows = [self._row("untouched", self.untouched, {}), self._row("reference", module, {})]
        teacher, right = module, budget.right(module, self.part)
        for number, name in enumerate(self.settings.methods):
            module, notes = self._after(number, name, module, teacher, right)
            rows.append(self._row(name, module, notes))
        self.tell(Progress("done", len(self.settings.methods), len(self.settings.methods), True))
        small = self._compact(module)
        return Composed(small, self._report(rows, small))

    def _after(self, number: int, name: str, start: nn.Module, teacher: nn.Module, right: Tensor
               ) -> tuple[nn.Module, Notes]:
        """The network after a method."""
        settings = self.settings
        share = settings.budget * (number + 1) / len(settings.methods)
        task = Task(self.part, teacher, right, share, settings.epochs, settings.seed, number + 1,
                    self.folder, self.tell)
        self.tell(Progress(name, number, len(settings.methods), True))
        return self._kept(f"{number + 1}_{name}", lambda: METHODS[name](start, task))

    def _kept(self, name: str, make: Callable[[], tuple[nn.Module, Notes]]
              ) -> tuple[nn.Module, Notes]:
        """A network that is made once, then read from its checkpoint."""
        path = self.folder / f"{name}.network"
        if not path.exists():
            module, notes = make()
            checkpoint.write(path, {"module": module.state_dict(), "notes": notes})
        module, notes = copy.deepcopy(self.untouched), Notes()

        def restore(state: Mapping[str, Any]) -> None:
            module.load_state_dict(state["module"])
            notes.update(state["notes"])

        checkpoint.resume(path, restore)
        return module.eval(), notes

    def _reference(self) -> tuple[nn.Module, Notes]:
        """The network trained as it is, if that makes it better."""
        module = copy.deepcopy(self.untouched)
        right = budget.right(module, self.part)
        Task(self.part, self.untouched, right, 0.0, self.settings.epochs, self.settings.seed, 0,
             self.folder, self.tell).train(module, "the network as it is")
        better = float(budget.right(module, self.part).mean()) > float(right.mean())
        return module if better else self.untouched, {}

    def _compact(self, module: nn.Module) -> nn.Module:
        """The network without features that nothing reads, unless its code counts on them."""
        images = self.part.x_test[:64]
        wanted = logits(module, images)
        small = Compact(module, sites(module, self.part.example)).module.eval()
        try:
            found = logits(small, images)
        except RuntimeError:
            return module
        near = float((found - wanted).abs().max()) <= CLOSE * float(wanted.abs().max())
        return small if near else module

    # ---- figures -------------------------------------------------------------------------------
    def _row(self, step: str, module: nn.Module, notes: Notes) -> dict[str, Any]:
        """A step and all before it: the network that they have made."""
        works = self.meter(module)
        return {"step": step, **notes,
                "validation": accuracy(module, self.part.x_test, self.part.y_test),
                "test": accuracy(module, self.data.x_test, self.data.y_test),
                "taps": sum(work.taps for work in works), "macs": int(macs(works))}

    def _report(self, rows: list[dict[str, Any]], small: nn.Module) -> dict[str, Any]:
        settings, reference, last = self.settings, rows[1], rows[-1]
        return {
            "budget": settings.budget, "methods": list(settings.methods),
            "finetune_epochs": settings.epochs, "seed": settings.seed,
            "images": {"training": len(self.part.x_train), "validation": len(self.part.x_test),
                       "test": len(self.data.x_test)},
            "prefixes": rows,
            "layers": layers(small),
            "loss": {part: reference[part] - last[part] for part in ("validation", "test")},
            "parameters": {name: sum(p.numel() for p in module.parameters())
                           for name, module in (("before", self.untouched), ("after", small))}}
