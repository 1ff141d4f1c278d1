"""From a trained network to a smaller one that is compiled next."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arch.preprocess import OTHER, Affine
from ..arch.show import Shown, Table, percent, table
from . import models
from .models import Network, Preprocess
from .names import Names

if TYPE_CHECKING:
    import torch

    from ..compress.methods import Tell

NETWORK = Names("the network")


@dataclasses.dataclass(frozen=True, eq=False)
class Compressed(Shown):
    """A smaller network. report: accuracy and size after every method. example: an image that it
    takes; kept: what a file of it holds of the preprocess."""

    module: torch.nn.Module
    report: dict[str, Any]
    example: torch.Tensor
    kept: Affine | str | None
    names: Names

    def save(self, path: str | Path) -> None:
        """Write a .pt2 file, with a note of the preprocess if that is plain arithmetic."""
        from ..compress.export import exported_bytes
        Path(path).write_bytes(exported_bytes(
            self.module, self.example, self.kept if isinstance(self.kept, Affine) else None))

    def to_json(self) -> dict[str, Any]:
        """The report."""
        return self.report

    def parts(self) -> Iterator[Table | str]:
        """A row after every method, and what to know."""
        found, name = self.report, self.names.program
        yield table(
            f"{name}: loss {100 * found['loss']['test']:+.2f} points on test images, budget "
            f"{100 * found['budget']:.2f}",
            ("after", "validation", "test", "weights not zero", "multiply-accumulates"),
            ((row["step"], percent(row["validation"]), percent(row["test"]), row["taps"],
              row["macs"]) for row in found["prefixes"]))
        if found["loss"]["test"] > found["budget"]:
            yield ("more is lost on test images than on those that decided: give images that the "
                   "network has not been trained on as x_val, y_val, or a smaller budget")
        if self.kept == OTHER:
            yield (f"the model's preprocess is not one factor and offset a channel, so {name} does "
                   "not hold it: it takes images after it")


def compress(model: Network, data: str | Path, budget: float, *, test: str | Path | None = None,
             methods: Sequence[str] | None = None, finetune_epochs: int = 1, seed: int = 0,
             preprocess: Preprocess | None = None, preprocessed: bool = False, trust: bool = False,
             folder: Path | None = None, names: Names = NETWORK, progress: Tell | None = None
             ) -> Compressed:
    """Compress a trained network within a budget of accuracy; see `kcnn compress --help`.

    data: an .npz file of training and test images with labels; test: one of test images, where
    data has none. budget: accuracy that may be lost, 0.01 is one point. methods: some of lower,
    linear, prune, cluster, by default all. folder: keeps an unfinished run, which the same call
    goes on with; it stays. progress: hears of compress.methods.Progress. Raises KcnnError.
    """
    import torch

    from ..compiler.frontend.preprocess import kept_of
    from ..compress import compose
    from ..compress.data import load, sample
    from ..compress.layered import layered
    settings = compose.Settings(budget, tuple(methods or compose.METHODS), finetune_epochs, seed)
    settings.check()
    network = models.load(model, preprocess, trust)
    function = None if preprocessed else network.preprocess
    images = load(Path(data), None if test is None else Path(test), function)
    kept = None if function is None else kept_of(function, sample(Path(data)))
    module = network.module
    if not isinstance(module, torch.nn.Module):
        module = layered(module)
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = compose.compose(module, images, settings, place, progress)
    return Compressed(found.module, found.report, images.example, kept, names)
