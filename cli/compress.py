"""`kcnn compress`: a network with fewer and shared weights, within an accuracy budget."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress as bars
from rich.console import Console

from .. import api
from ..api.names import Names
from ..arch.errors import KcnnError
from . import options, report
from .outputs import Outputs, write_json
from .stopping import Stopped

if TYPE_CHECKING:
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
        chosen = None if methods is None else methods.split(",")
        try:
            with _bars() as tell:
                found = api.compress(
                    model, data, budget, test=test, methods=chosen, seed=seed, folder=folder,
                    finetune_epochs=finetune_epochs, preprocessed=preprocessed, trust=trust,
                    names=Names(str(output), shell=True), progress=tell)
        except Stopped as stopped:
            if not folder.exists():
                raise
            raise Stopped(stopped.number, f"stopped; {folder} holds what is done, and the same "
                          "command goes on from there") from None
        found.save(place)
        if told is not None:
            write_json(told, {"model": Path(model).name, **found.report})
        report.show(found.parts())
    shutil.rmtree(folder)


def _partial(output: Path, *reads: str | Path | None) -> Path:
    """Where an unfinished run is kept; it is removed at the end, so no input may lie there."""
    folder = output.with_name(f"{output.name}.partial")
    for read in reads:
        if read is not None and folder.resolve() in Path(read).resolve().parents:
            raise KcnnError(f"{read}: lies in {folder}, which is removed when the run is done; "
                            "move it to another folder")
    return folder


@contextmanager
def _bars() -> Iterator[Tell]:
    """Progress bars on standard error, if that is a terminal: of the methods, and of what they
    do."""
    screen = Console(stderr=True)
    columns = (bars.TextColumn("{task.description}", markup=False), bars.BarColumn(),
               bars.TaskProgressColumn(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=screen, disable=not screen.is_terminal,
                       transient=True) as shown:
        whole = shown.add_task("methods", total=None)
        inner = shown.add_task("preparing", total=None)

        def tell(found: Progress) -> None:
            shown.update(whole if found.whole else inner, description=found.what,
                         completed=found.done, total=found.total or None)
        yield tell

