"""What is left of the float network, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..compiler.fidelity import Fidelity

CURES = {
    "weights clustered": "raise --clusters, or bring the layer's weights nearer to one another",
    "activations clustered": "take a machine with more code_bits, or bring the layer's channels to "
                             "one range",
    "fixed point": "take a machine with more factor_bits and total_bits"}
# dB below which compile warns: at a quarter of its power the error decides. What networks keep is
# in docs/fidelity.md
LEAST = 6.0
# images held back keep so many dB less than those calibrated on: too few were calibrated on
APART = 6.0


def lines(fidelity: Mapping[str, Any]) -> list[str]:
    """A line for every output, of images held back and of those calibrated on, and one for the
    layer where most is lost. fidelity: as in the binary's metadata."""
    out, held_back = [], fidelity["held_back"]
    if held_back is not None:
        out += _lines(held_back, "held back")
    out += _lines(fidelity["calibration"],
                  "calibrated on" + ("" if held_back else ", none held back"))
    worst = fidelity["worst"]
    if worst is not None:
        out.append(f"most is lost in {worst['layer']}: {worst['step']}")
    return out


def _lines(figures: Mapping[str, Any], kind: str) -> list[str]:
    images = f"{figures['images']} image{'s' * (figures['images'] > 1)} {kind}"
    return [f"{images}: {output['name']} {_kept(output, figures['images'] == 1)}"
            for output in figures["outputs"]]


def _kept(output: Mapping[str, Any], alone: bool) -> str:
    if output["equal"]:
        return "is equal to that of the float network"
    same = ("" if output["agreement"] is None else
            f", and the same largest element in {output['agreement']}")
    if output["varying"] is None and alone:
        return f"has an SQNR of {_decibel(output['sqnr'])}{same}"
    return (f"keeps {_decibel(output['varying'])} of what varies, {_decibel(output['typical'])} in "
            f"a typical image, SQNR {_decibel(output['sqnr'])}{same}")


def _decibel(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.1f} dB"


def warning(fidelity: Fidelity, least: float) -> str | None:
    """What is wrong and what to do, if less than `least` dB is left of an output."""
    told = fidelity.told
    if told.least >= least:
        return None
    output = f"output {told.worst!r}"
    if told.outputs[told.worst].varying == -math.inf:
        return (f"{output} of the float network is the same for all images, so nothing tells "
                "whether it is right; calibrate on images that it tells apart")
    lost = "" if fidelity.loss is None else f", and most is lost in {fidelity.loss.place}"
    kept = f"{told.least:.1f} dB" if math.isfinite(told.least) else "nothing of a typical image"
    return f"{output} keeps {kept}, less than --min-sqnr {least:g}{lost}; {_cure(fidelity)}"


def _cure(fidelity: Fidelity) -> str:
    loss, others = fidelity.loss, fidelity.calibration.least
    if others - fidelity.told.least > APART:
        return (f"calibrate on more images, for those calibrated on keep {others:.1f} dB and the "
                "images held back are unlike them")
    if loss is None or loss.is_input:
        return "keep rare large values out of the input, or compress its range"
    return CURES[loss.step]
