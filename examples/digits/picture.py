"""The picture of a run: images and predictions, accuracy by step, cycles by layer, codebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from kcnn.engines.figures import LayerFigures
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

INK = "#1f2937"
GREY = "#94a3b8"
BLUE = "#2563eb"
GREEN = "#16a34a"
ORANGE = "#ea580c"
RED = "#dc2626"
BOUND_COLOURS = {"taps": BLUE, "memory": ORANGE, "stream": ORANGE, "multiplier": RED,
                 "drain": GREEN, "collect": GREEN}
STYLE = {"font.size": 9, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
         "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
         "axes.spines.right": False, "axes.titlesize": 10, "axes.titleweight": "bold",
         "axes.titlelocation": "left"}


def draw(path: Path, title: str, images: NDArray[np.floating], predicted: Sequence[int],
         labels: Sequence[int], steps: Mapping[str, float], layers: Sequence[LayerFigures],
         codebooks: Mapping[str, Sequence[int]]) -> None:
    """Write the picture.

    images: (n, h, w); steps: accuracy in percent by name, in order; layers: with cycles;
    codebooks: integer values by tensor.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(12, 7.6), dpi=130, layout="constrained")
        figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.35))
        left, right = top.subfigures(1, 2, width_ratios=(1.35, 1))
        _images(left, images, predicted, labels)
        _accuracy(right.subplots(), steps)
        cycles, books = bottom.subplots(1, 2, width_ratios=(1.35, 1))
        _cycles(cycles, layers)
        _codebooks(books, codebooks)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": "kcnn"})
    plt.close(figure)


def _images(area: SubFigure, images: NDArray[np.floating], predicted: Sequence[int],
            labels: Sequence[int]) -> None:
    area.suptitle("Test images, as the MyHDL RTL reads them", x=0.02, ha="left", fontsize=10,
                  fontweight="bold")
    for axes, image, said, label in zip(area.subplots(1, len(images), squeeze=False)[0], images,
                                        predicted, labels, strict=True):
        axes.imshow(image, cmap="Blues", interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        right = said == label
        axes.set_xlabel(str(said) if right else f"{said} (is {label})", fontsize=15,
                        fontweight="bold", color=GREEN if right else RED)


def _accuracy(axes: Axes, steps: Mapping[str, float]) -> None:
    places = np.arange(len(steps))
    values = np.array(list(steps.values()))
    low = np.floor(values.min()) - 1
    axes.bar(places, values - low, 0.6, bottom=low, color=[GREY, *[BLUE] * (len(steps) - 2), GREEN])
    for place, value in zip(places, values, strict=True):
        axes.text(place, value + 0.03 * (100 - low), f"{value:.1f}", ha="center", fontweight="bold")
    axes.set_title("Test accuracy, step by step (%)")
    axes.set_xticks(places, [name.replace(" ", "\n") for name in steps])
    axes.set_ylim(low, 100 + 0.18 * (100 - low))
    axes.set_yticks(np.arange(low, 101))


def _cycles(axes: Axes, layers: Sequence[LayerFigures]) -> None:
    places = np.arange(len(layers))
    cycles = np.array([layer.cycles or 0 for layer in layers])
    busy = cycles * np.array([layer.issue_utilisation or 0 for layer in layers])
    axes.barh(places, cycles, 0.62, color="#e2e8f0")
    bounds = [layer.bound or "taps" for layer in layers]
    axes.barh(places, busy, 0.62, color=[BOUND_COLOURS.get(bound, GREY) for bound in bounds])
    for place, layer, total in zip(places, layers, cycles, strict=True):
        share = 100 * (layer.issue_utilisation or 0)
        axes.text(total + cycles.max() * 0.012, place, f"{share:.0f} %  {layer.bound or ''}",
                  va="center")
    axes.set_title("Cycles by layer; coloured: a tap was issued")
    axes.set_yticks(places, [layer.name for layer in layers])
    axes.set_xlim(0, cycles.max() * 1.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.invert_yaxis()


def _codebooks(axes: Axes, codebooks: Mapping[str, Sequence[int]]) -> None:
    low = min(min(values) for values in codebooks.values())
    high = max(max(values) for values in codebooks.values())
    for place, values in enumerate(codebooks.values()):
        axes.hlines(place, low, high, color="#e2e8f0", linewidth=1)
        axes.plot(values, np.full(len(values), place), "|", color=BLUE, markersize=11,
                  markeredgewidth=1.6)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_title("Activation codebooks: the values between layers")
    axes.set_yticks(np.arange(len(codebooks)), list(codebooks))
    axes.set_xlim(low - 4, high + 4)
    axes.invert_yaxis()
