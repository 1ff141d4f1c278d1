"""What is left of the float network, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..arch.show import Table, table
from .names import Names

if TYPE_CHECKING:
    from ..compiler.fidelity import Fidelity

CURES = {
    "weights clustered": "raise {clusters}, or bring the layer's weights nearer to one another",
    "activations clustered": "take a machine with more code_bits, or bring the layer's channels to "
                             "one range",
    "fixed point": "take a machine with more factor_bits and total_bits"}
COLUMNS = ("images measured", "output", "varying", "typical", "SQNR", "same largest")
# dB below which compile warns: at a quarter of its power the error decides. What networks keep is
# in docs/fidelity.md
LEAST = 6.0
# images held back keep so many dB less than those calibrated on: too few were calibrated on
APART = 6.0


def parts(fidelity: Mapping[str, Any]) -> Iterator[Table | str]:
    """A row for every output, of images held back and of those calibrated on, and where most is
    lost. fidelity: as in the binary's metadata."""
    held_back, calibration, worst = (fidelity[key] for key in ("held_back", "calibration", "worst"))
    rows = [] if held_back is None else _rows(held_back, "held back")
    yield table("what is left of the float network, dB", COLUMNS,
                rows + _rows(calibration, "calibrated on"), (0, 1))
    if held_back is None:
        yield ("no image was held back, so this tells nothing of other images; calibrate on three "
               "or more, better a hundred")
    if worst is not None:
        yield f"most is lost in {worst['layer']}: {worst['step']}"


def _rows(figures: Mapping[str, Any], kind: str) -> list[Sequence[object]]:
    count = figures["images"]
    return [(f"{count:,} {kind}", output["name"], *_kept(output, count == 1),
             None if output["agreement"] is None else f"{output['agreement']:,} of {count:,}")
            for output in figures["outputs"]]


def _kept(output: Mapping[str, Any], alone: bool) -> list[str | None]:
    """What varies, of a typical image, SQNR; None where a single image has nothing to vary from."""
    if output["equal"]:
        return ["equal"] * 3
    return [None if alone and output["varying"] is None and figure != "sqnr" else
            _decibel(output[figure]) for figure in ("varying", "typical", "sqnr")]


def _decibel(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.1f}"


def warning(fidelity: Fidelity, least: float, names: Names) -> str | None:
    """What is wrong and what to do, if less than `least` dB is left of an output."""
    told = fidelity.told
    if told.least >= least:
        return None
    output = "the output" if told.worst == "output" else f"output {told.worst!r}"
    if told.outputs[told.worst].varying == -math.inf:
        return (f"{output} of the float network is the same for all images, so nothing tells "
                "whether it is right; calibrate on images that it tells apart")
    lost = "" if fidelity.loss is None else f", and most is lost in {fidelity.loss.place}"
    varies = "" if math.isnan(told.outputs[told.worst].varying) else " of what varies"
    kept = (f"{told.least:.1f} dB{varies}" if math.isfinite(told.least) else
            "nothing of a typical image")
    return (f"{output} keeps {kept}, less than {names.option('min_sqnr')} {least:g}{lost}; "
            f"{_cure(fidelity, names)}")


def _cure(fidelity: Fidelity, names: Names) -> str:
    loss, others = fidelity.loss, fidelity.calibration.least
    if others - fidelity.told.least > APART:
        return (f"calibrate on more images, for those calibrated on keep {others:.1f} dB and the "
                "images held back are unlike them")
    if loss is None or loss.is_input:
        return "keep rare large values out of the input, or compress its range"
    return CURES[loss.step].format(clusters=names.option("clusters"))
