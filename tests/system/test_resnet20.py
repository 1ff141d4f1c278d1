"""ResNet-20 as published, on `small` in one piece: what it needs, what it computes, how fast."""

from __future__ import annotations

import numpy as np
import torch
from kcnn.compiler.ir.graph import Conv
from kcnn.rtl import toolchain
from tools import need
from trained import (
    assert_machines_agree,
    compiled,
    data,
    integer_logits,
    memory_codes,
    needs_data,
    studies,
)

pytestmark = needs_data


def test_shortcuts_cost_no_layer_and_no_copy() -> None:
    found = compiled("resnet20", "cifar10")
    kinds = [layer.kind for layer in found.program.layers]
    assert kinds == ["Conv2d"] * 19 + ["AvgPool2d", "Linear"]
    skips = {node.name: node.op.skip for node in found.quantised.graph
             if isinstance(node.op, Conv) and node.op.skip.channels is not None}
    assert list(skips) == ["layer2.0.conv2", "layer3.0.conv2"]
    for skip, channels in zip(skips.values(), (16, 32), strict=True):
        assert skip.stride == (2, 2) and skip.channels is not None
        shifted = np.full(2 * channels, -1)
        shifted[channels // 2:channels // 2 + channels] = np.arange(channels)
        np.testing.assert_array_equal(skip.channels, shifted)


def test_it_fits_the_memory_of_small_whole() -> None:
    program = compiled("resnet20", "cifar10").program
    assert program.config.name == "small" and memory_codes(program) <= 60_000
    split = {t.name: t.layout.split for t in program.tensors if t.layout.split > 1}
    assert split == {"layer1.2.conv2": 2, "layer2.2.conv2": 2}


def test_model_and_reference_agree_on_several_images() -> None:
    program = compiled("resnet20", "cifar10").program
    assert assert_machines_agree(program, data("cifar10").x_test[::1700], ()) < 3_000_000


def test_verilog_computes_the_same_in_the_same_cycles() -> None:
    need(*toolchain.TOOLS["verilator"].programs)
    program = compiled("resnet20", "cifar10").program
    assert_machines_agree(program, data("cifar10").x_test[7:9], ("verilator",))


def test_integers_decide_as_the_float_network_does() -> None:
    """81.0 % of all 5,000 test images in floating point, 80.5 % in integers."""
    images = slice(3, 5000, 50)
    x, y = data("cifar10").x_test[images], data("cifar10").y_test[images]
    with torch.no_grad():
        exact = studies().trained("resnet20", "cifar10")(x).argmax(1)
    found = torch.from_numpy(integer_logits(compiled("resnet20", "cifar10").program, x)).argmax(1)
    assert (found == exact).double().mean() >= 0.9
    assert (found == y).double().mean() >= (exact == y).double().mean() - 0.05
