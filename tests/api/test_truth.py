"""What is said of what is left of the float network."""

from __future__ import annotations

import math

import pytest
from kcnn.api import truth
from kcnn.api.names import Names
from kcnn.compiler.fidelity import STEPS, Fidelity, Figures, Loss
from kcnn.compiler.quantise.closeness import Closeness

SHELL = Names(shell=True)


def fidelity(held, calibrated=10.0, step=STEPS[0], is_input=False):
    figures = [Figures(4, {"y": Closeness(30.0, least, least, None)})
               for least in (calibrated, held)]
    return Fidelity(*figures, Loss("conv", step, is_input))


@pytest.mark.parametrize("step, cure", [
    (STEPS[0], "raise --clusters"), (STEPS[1], "take a machine with more code_bits"),
    (STEPS[2], "take a machine with more factor_bits")])
def test_what_to_do_depends_on_the_step(step, cure):
    said = truth.warning(fidelity(5.0, step=step), 6.0, SHELL)
    assert said.startswith("output 'y' keeps 5.0 dB of what varies, less than --min-sqnr 6, and "
                           f"most is lost in layer conv; {cure}")


def test_an_input_and_too_few_images_have_cures_of_their_own():
    assert truth.warning(fidelity(5.0, is_input=True), 6.0, SHELL).endswith(
        "lost in the input; keep rare large values out of the input, or compress its range")
    assert truth.warning(fidelity(5.0, 20.0), 6.0, SHELL).endswith(
        "; calibrate on more images, for those calibrated on keep 20.0 dB and the images held "
        "back are unlike them")
    assert truth.warning(fidelity(6.0, SHELL), 6.0, SHELL) is None
    alone = Figures(1, {"y": Closeness(5.0, math.nan, math.nan, None)})
    assert truth.warning(Fidelity(alone, None, None), 6.0, SHELL).startswith(
        "output 'y' keeps 5.0 dB, less than --min-sqnr 6; ")
    assert truth.warning(fidelity(-math.inf), -1e9, SHELL) is not None
    lost = Figures(4, {"y": Closeness(30.0, 9.0, -math.inf, None)})
    assert truth.warning(Fidelity(lost, None, None), 6.0, SHELL).startswith(
        "output 'y' keeps nothing of a typical image, less than --min-sqnr 6; ")


def test_equal_outputs_and_those_of_which_nothing_is_left_are_told_as_such():
    same = Closeness(math.inf, math.inf, math.inf, 4)
    lost = Closeness(1.0, -math.inf, -math.inf, None)
    (table, said) = truth.parts(Fidelity(Figures(4, {"y": same, "z": lost}), None, None).to_json())
    assert [row[1:] for row in table.rows] == [("y", *["equal"] * 3, "4 of 4"),
                                               ("z", "nothing", "nothing", "1.0", None)]
    assert said.startswith("no image was held back")


def test_in_python_arguments_are_named():
    said = truth.warning(fidelity(5.0), 6.0, Names())
    assert "less than min_sqnr 6" in said and "raise clusters, or" in said
