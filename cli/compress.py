"""`kcnn compress`: a network with fewer and shared weights, within an accuracy budget."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import progress as bars
from rich.console import Console

from ..arch.errors import KcnnError
from ..arch.preprocess import OTHER, Affine
from ..arch.show import percent
from . import options, report
from .outputs import Outputs, write_bytes, write_json
from .stopping import Stopped

if TYPE_CHECKING:
    from torch import nn

    from ..compress.data import Data
    from ..compress.methods import Progress, Tell


def compress(
    model: options.Model,
    data: Annotated[Path, typer.Option(
        metavar="D.npz", show_default=False,
        help="x_train, y_train, x_test, y_test: images float32 (N, C, H, W), what the model's "
             "preprocess takes if it has one, and class numbers; or images, labels: uint8 pixels "
             "for the preprocess, with --test. Also x_val, y_val: images that decide.")],
    budget: Annotated[float, typer.Option(
        metavar="SHARE", show_default=False,
        help="Accuracy that may be lost on the validation images; 0.01 is one point.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="SMALL.pt2", show_default=False,
        help="The compressed network to write; kcnn compile takes it.")],
    test: Annotated[Path | None, typer.Option(
        metavar="T.npz", show_default=False,
        help="The held-out images, if D.npz has none: x_test, y_test or images, labels.")] = None,
    methods: Annotated[str | None, typer.Option(
        metavar="NAMES", show_default=False,
        help="What to do, in this order: some of lower, linear, prune, cluster; by default all "
             "four.")] = None,
    finetune_epochs: Annotated[int, typer.Option(
        min=0, metavar="N", help="Epochs of training behind every method.")] = 1,
    seed: Annotated[int, typer.Option(
        min=0, metavar="S", help="Of all that is drawn; the same seed gives the same bytes.")] = 0,
    preprocessed: options.Preprocessed = False,
    trust: options.Trust = False,
    figures: Annotated[Path | None, typer.Option(
        "--report", metavar="R.json", show_default=False,
        help="Also write accuracy and size after every method.")] = None,
) -> None:
    """Compress a network within an accuracy budget.

    Kernels get smaller windows (lower), features become multiples of others (linear), small weights
    become zero (prune), the others share a few magnitudes a layer (cluster). Losses count from the
    reference, the network trained on as it is, or untouched if that is better. A fifth of the
    training images, not trained on here, decides. Better give images for it that the network has
    never been trained on (x_val, y_val): on others it loses less than on new ones. The test images
    are only read for the report.
    An interrupted run leaves SMALL.pt2.partial, from which the same command goes on.

    \b
    kcnn compress net.pt2 --data D.npz --budget 0.01 -o small.pt2 --report R.json
    """
    with Outputs(model, data, test) as outputs:
        place = outputs.file(output)
        told = None if figures is None else outputs.file(figures)
        folder = _partial(output, model, data, test)
        from ..compress import compose
        from ..compress.export import exported_bytes
        chosen = tuple(compose.METHODS) if methods is None else tuple(methods.split(","))
        settings = compose.Settings(budget, chosen, finetune_epochs, seed)
        settings.check()
        network, images, kept = _read(model, trust, data, test, preprocessed)
        try:
            with _bars(len(chosen)) as tell:
                found = compose.compose(network, images, settings, folder, tell)
        except Stopped as stopped:
            raise Stopped(stopped.number, f"stopped; {folder} holds what is done, and the same "
                          "command goes on from there") from None
        write_bytes(place, exported_bytes(
            found.module, images.example, kept if isinstance(kept, Affine) else None))
        if told is not None:
            write_json(told, {"model": Path(model).name, **found.report})
        _show(found.report, output)
        if kept == OTHER:
            report.say("the model's preprocess is not one factor and offset a channel, so "
                       f"{output} does not hold it: it takes images after it")
    shutil.rmtree(folder)


def _partial(output: Path, *reads: str | Path | None) -> Path:
    """Where an unfinished run is kept; it is removed at the end, so no input may lie there."""
    folder = output.with_name(f"{output.name}.partial")
    for read in reads:
        if read is not None and folder.resolve() in Path(read).resolve().parents:
            raise KcnnError(f"{read}: lies in {folder}, which is removed when the run is done; "
                            "move it to another folder")
    return folder


def _read(model: str, trust: bool, data: Path, test: Path | None, preprocessed: bool
          ) -> tuple[nn.Module, Data, Affine | str | None]:
    """The network as torch layers, its data, and what is kept of its preprocess."""
    from torch import nn

    from ..compiler.frontend.model import load_model
    from ..compiler.frontend.preprocess import kept_of
    from ..compress.data import load, sample
    from ..compress.layered import layered
    network = load_model(model, trust)
    function = None if preprocessed else network.preprocess
    images = load(data, test, function)
    kept = None if function is None else kept_of(function, sample(data))
    module = network.module
    return module if isinstance(module, nn.Module) else layered(module), images, kept


@contextmanager
def _bars(methods: int) -> Iterator[Tell]:
    """Progress bars on standard error, if that is a terminal: of the methods, and of what they
    do."""
    screen = Console(stderr=True)
    columns = (bars.TextColumn("{task.description}", markup=False), bars.BarColumn(),
               bars.TaskProgressColumn(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=screen, disable=not screen.is_terminal,
                       transient=True) as shown:
        whole = shown.add_task("methods", total=methods)
        inner = shown.add_task("preparing", total=None)

        def tell(found: Progress) -> None:
            shown.update(whole if found.whole else inner, description=found.what,
                         completed=found.done, total=found.total or None)
        yield tell


def _show(figures: dict[str, Any], output: Path) -> None:
    report.table(
        f"{output}: loss {100 * figures['loss']['test']:+.2f} points on test images, budget "
        f"{100 * figures['budget']:.2f}",
        ("after", "validation", "test", "weights not zero", "multiply-accumulates"),
        ((row["step"], percent(row["validation"]), percent(row["test"]), row["taps"],
          row["macs"]) for row in figures["prefixes"]))
    if figures["loss"]["test"] > figures["budget"]:
        report.say("more is lost on test images than on those that decided: give images that the "
                   "network has not been trained on as x_val, y_val, or a smaller budget")
