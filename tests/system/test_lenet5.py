"""LeNet-5 (20, 50, 500, 10) on `small`: one image and four at once."""

from __future__ import annotations

import pytest
import torch
from kcnn.rtl import toolchain
from tools import need
from trained import assert_machines_agree, compiled, data, integer_logits, needs_data, studies

pytestmark = needs_data


@pytest.mark.parametrize(("batch", "most"), [(1, 620_000), (4, 1_230_000)])
def test_model_and_reference_agree(batch: int, most: int) -> None:
    program = compiled("lenet5", "mnist", batch).program
    assert assert_machines_agree(program, data("mnist").x_test[::600][:8], ()) < most


def test_verilog_computes_the_same_in_the_same_cycles() -> None:
    need(*toolchain.TOOLS["verilator"].programs)
    program = compiled("lenet5", "mnist").program
    assert_machines_agree(program, data("mnist").x_test[5:7], ("verilator",))


def test_integers_decide_as_the_float_network_does() -> None:
    """99.12 % of all 5,000 test images in floating point, 99.14 % in integers."""
    x = data("mnist").x_test[::10]
    with torch.no_grad():
        exact = studies().trained("lenet5", "mnist")(x).argmax(1)
    found = torch.from_numpy(integer_logits(compiled("lenet5", "mnist").program, x)).argmax(1)
    assert (found == exact).double().mean() >= 0.99
