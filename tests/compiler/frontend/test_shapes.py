"""What a file says of its tensors is compared with what torch finds."""

from __future__ import annotations

import pytest
import torch
from kcnn.compiler.frontend.shapes import check_shapes
from torch import nn
from torch.export import Dim, ExportedProgram, export


def exported() -> ExportedProgram:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    return export(net.eval(), (torch.ones(2, 1, 6, 6),),
                  dynamic_shapes=({0: Dim("n", min=1, max=8)},))


def test_an_export_says_what_is_true() -> None:
    check_shapes(exported())


@pytest.mark.parametrize(("name", "sentence"), [
    ("relu", r"relu is said to be \(1, 2, 3\), and is \(.*, 2, 4, 4\)"),
    ("p_0_weight", r"p_0_weight is said to be \(1, 2, 3\), and is \(2, 1, 3, 3\)"),
])
def test_another_shape_is_found(name: str, sentence: str) -> None:
    program = exported()
    (node,) = (node for node in program.graph.nodes if node.name == name)
    with node.meta["val"].fake_mode:
        node.meta["val"] = torch.empty(1, 2, 3)
    with pytest.raises(ValueError, match=sentence):
        check_shapes(program)
