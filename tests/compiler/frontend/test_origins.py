"""Refusals tell the line of the user's code."""

from __future__ import annotations

import io
import types
from pathlib import Path

import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.model import load_model
from kcnn.compiler.frontend.origins import code, module
from kcnn.compiler.frontend.quiet import quiet
from kcnn.compiler.frontend.trace import trace
from torch import Tensor, nn

HERE = Path(__file__)
HERE = HERE.relative_to(Path.cwd()) if HERE.is_relative_to(Path.cwd()) else HERE
LINE = next(i for i, line in enumerate(Path(__file__).read_text().splitlines(), 1)
            if line.endswith("# the call"))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + 1)                     # the call


def node(**meta: object) -> torch.fx.Node:
    return types.SimpleNamespace(meta=meta)         # type: ignore[return-value]


def trace_of(*files: str) -> torch.fx.Node:
    return node(stack_trace="".join(f'  File "{file}", line {i}, in forward\n    x = f(x)\n'
                                    for i, file in enumerate(files, 1)))


def test_refusals_tell_file_and_line_of_the_call() -> None:
    with pytest.raises(CompileError, match=r"^norm: GroupNorm \(group_norm\) is not supported here "
                                           rf"\(.*\), at {HERE}:{LINE}$"):
        trace(Net(), (torch.zeros(1, 2, 3, 3),))


@pytest.mark.parametrize("apart", [False, True])
def test_files_tell_it_too(tmp_path: Path, apart: bool) -> None:
    with quiet():
        exported = torch.export.export(Net(), (torch.zeros(1, 2, 3, 3),))
        exported = exported.run_decompositions() if apart else exported
        buffer = io.BytesIO()
        torch.export.save(exported, buffer)
    (tmp_path / "net.pt2").write_bytes(buffer.getvalue())
    loaded = load_model(str(tmp_path / "net.pt2")).module
    with pytest.raises(CompileError, match=rf"^norm: GroupNorm \((native_)?group_norm\) .*, at "
                                           rf"{HERE}:{LINE}$"):
        trace(loaded, ())


def test_a_network_of_torch_s_layers_alone_has_no_line() -> None:
    with pytest.raises(CompileError, match=r"^1: Softmax .*whoever reads the output\)$"):
        trace(nn.Sequential(nn.ReLU(), nn.Softmax(1)), (torch.zeros(1, 2, 3, 3),))


def test_lines_of_torch_are_none_of_the_user_s() -> None:
    torchs = f"{Path(torch.__file__).parent}/nn/modules/conv.py"
    assert code(trace_of("/a/net.py", torchs)) == "/a/net.py:1"
    assert code(trace_of("/a/net.py", "/b/site-packages/torch/nn/conv.py")) == "/a/net.py:1"
    assert code(trace_of(r"C:\net.py", r"C:\x\site-packages\torch\nn\conv.py")) == r"C:\net.py:1"
    assert code(trace_of("/a/net.py", "<eval_with_key>.3")) == "/a/net.py:1"
    assert code(trace_of("/b/site-packages/torchvision/net.py")) == (
        "/b/site-packages/torchvision/net.py:1")
    assert code(trace_of(torchs)) == code(node()) == code(node(stack_trace=3)) == ""


def test_files_below_the_current_folder_are_told_from_there() -> None:
    assert code(trace_of(str(Path.cwd() / "nets" / "a.py"))) == "nets/a.py:1"


def test_what_a_file_says_stays_a_line() -> None:
    assert code(trace_of("/a/net.py", "/b/\x1b[31mred.py")) == "/a/net.py:1"
    assert len(code(trace_of("/" + "a" * 10000))) < 320


def test_modules_are_told_by_path_and_layer() -> None:
    stack = {"a": ("", "net.Net"), "b@1": ("conv", "torch.nn.modules.conv.Conv2d")}
    assert module(node(nn_module_stack=stack)) == ("b@1", "conv", "torch.nn.modules.conv.Conv2d")
    assert module(node(nn_module_stack=stack)).layer == "Conv2d"
    assert module(node(nn_module_stack={"a": ("x", "net.Net")})).layer == ""
    sequential = {"a": ("x", "torch.nn.modules.container.Sequential")}
    assert module(node(nn_module_stack=sequential)).layer == ""
    assert module(node()) == ("", "", "")
