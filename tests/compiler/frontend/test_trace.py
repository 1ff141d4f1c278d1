"""torch to the traced graph: names, meanings, refusals."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.supported import SUPPORTED
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Activation, AvgPool, Conv, Flatten, Graph, Input, MaxPool, Output
from kcnn.compiler.quantise import emulate
from networks import networks, randomise
from torch import Tensor, nn
from torch.nn import functional as F

LIST = re.escape(f"supported layers are {', '.join(SUPPORTED)}")


class Function(nn.Module):
    """A module of a function and some submodules."""

    def __init__(self, function: Callable[..., object], *modules: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(modules)
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x, *self.layers)


def traced(module: nn.Module, *shape: int) -> Graph:
    return trace(randomise(module, 0), (torch.zeros(2, *shape),))


def assert_equal(module: nn.Module, graph: Graph, shape: tuple[int, ...], images: int = 3) -> None:
    """The graph computes what torch does."""
    x = torch.randn(images, *shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = module(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = emulate.run(graph, x.numpy().astype(np.float64))
    names = [node.name for node in graph if isinstance(node.op, Output)]
    assert len(names) == len(expected)
    for name, y in zip(names, expected, strict=True):
        np.testing.assert_allclose(found[name].reshape(y.shape), y.numpy(), rtol=1e-4, atol=1e-4)


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph]


# ---- names ----------------------------------------------------------------------------------
def test_nodes_are_named_by_their_module_path() -> None:
    inner = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    net = nn.Sequential()
    net.add_module("features", inner)
    net.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    graph = traced(net, 2, 6, 6)
    assert names(graph) == ["input", "features.0", "features.1", "features.2",
                            "features.2.flatten", "head.1", "output"]
    assert graph["features.1"].path == "features.1"


def test_functions_are_named_by_the_module_that_calls_them_and_second_uses_are_counted() -> None:
    conv = nn.Conv2d(2, 2, 3, padding=1)
    block = Function(lambda x, conv: F.relu(conv(F.relu(conv(x)))) + x, conv)
    graph = traced(nn.Sequential(block, block), 2, 5, 4)
    assert names(graph)[1:6] == ["0.layers.0", "0.relu", "0.layers.0@2", "0.relu@2", "0.add"]
    assert graph["0.layers.0@2"].path == "0.layers.0"
    assert graph["0.add"].path == "0"


def test_root_functions_have_the_path_forward() -> None:
    graph = traced(Function(lambda x: F.avg_pool2d(x, 2)), 1, 4, 4)
    assert graph["avg_pool2d"].path == "forward"


def test_names_do_not_depend_on_the_run() -> None:
    def once() -> list[str]:
        return names(traced(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(),
                                          nn.Linear(32, 2)), 1, 4, 4))
    assert once() == once()


# ---- meaning --------------------------------------------------------------------------------
@settings(max_examples=12)
@given(networks())
def test_random_networks_compute_what_torch_computes(case: tuple) -> None:
    module, shape = case
    assert_equal(module, trace(module, (torch.zeros(2, *shape),)), shape)


def test_in_place_operations_change_what_later_readers_see() -> None:
    def function(x: Tensor, conv: nn.Module) -> Tensor:
        y = conv(x)
        z = F.relu(y, inplace=True)
        y += x
        return torch.cat([y, z], 1)

    module = randomise(Function(function, nn.Conv2d(2, 2, 3, padding=1)), 1)
    assert_equal(module, traced(module, 2, 5, 5), (2, 5, 5))


def test_same_padding_of_even_kernels_is_larger_at_the_end() -> None:
    module = nn.Conv2d(1, 2, (4, 2), padding="same", dilation=(1, 3))
    op = traced(module, 1, 7, 6)["conv2d"].op
    assert isinstance(op, Conv) and op.padding == (1, 1, 2, 2)


@pytest.mark.parametrize("function", [
    lambda x: x.flatten(1),
    lambda x: x.view(x.size(0), -1),
    lambda x: x.reshape(-1, 24),
    lambda x: torch.flatten(x.contiguous().clone(), start_dim=1),
    lambda x: x.flatten(2).flatten(1),
])
def test_every_way_to_flatten_is_a_flatten(function: Callable[[Tensor], Tensor]) -> None:
    graph = traced(Function(lambda x, conv: function(conv(x)), nn.Conv2d(1, 2, 1)), 1, 3, 4)
    assert [type(node.op) for node in graph] == [Input, Conv, Flatten, Output]


@pytest.mark.parametrize("function", [
    lambda x: x.mean((2, 3)),
    lambda x: x.mean(dim=[-1, -2], keepdim=True),
    lambda x: x.mean(3).mean(2),
    lambda x: x.mean(2).mean(-1),
    lambda x: x.flatten(2).mean(2),
    lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    lambda x: F.avg_pool2d(x, x.shape[2:]),
])
def test_every_way_to_average_maps_is_an_average_pool(function: Callable[[Tensor], Tensor]) -> None:
    module = Function(function)
    graph = traced(module, 3, 4, 6)
    assert {type(node.op) for node in graph} == {Input, AvgPool, Output}
    assert_equal(module, graph, (3, 4, 6))


@pytest.mark.parametrize(("module", "name"), [
    (nn.ReLU(), "relu"), (nn.ReLU6(), "relu6"), (nn.Hardtanh(0, 6), "relu6"),
    (nn.Hardtanh(-2, 3), "clamp(-2.0,3.0)"), (nn.LeakyReLU(0.25), "leaky_relu(0.25)"),
    (nn.LeakyReLU(), "leaky_relu(0.01)"), (nn.Hardswish(), "hardswish"),
    (nn.Hardsigmoid(), "hardsigmoid"), (nn.SiLU(), "silu"), (nn.Sigmoid(), "sigmoid"),
    (nn.Tanh(), "tanh"), (nn.GELU(), "gelu"), (nn.GELU("tanh"), "gelu_tanh"),
    (nn.ELU(0.5), "elu(0.5)"), (Function(lambda x: x.clamp(min=0)), "relu"),
    (Function(lambda x: x.clamp(-1, 2)), "clamp(-1.0,2.0)"),
    (Function(lambda x: x.clamp(max=1)), "clamp(-inf,1.0)"),
    (Function(lambda x: torch.clamp_min(x, 0.5)), "clamp(0.5,inf)"),
    (Function(lambda x: x.clip(-1, 2)), "clamp(-1.0,2.0)"),
    (Function(lambda x: F.relu_(x + x)), "relu"),
])
def test_elementwise_functions(module: nn.Module, name: str) -> None:
    graph = traced(module, 1, 3, 3)
    functions = [node.op.function for node in graph if isinstance(node.op, Activation)]
    assert functions == [name]
    assert_equal(module, graph, (1, 3, 3))


def test_prelu_of_one_slope_is_a_leaky_relu() -> None:
    module = nn.PReLU(init=0.5)
    graph = trace(module, (torch.zeros(1, 2, 3, 3),))
    assert [n.op.function for n in graph if isinstance(n.op, Activation)] == ["leaky_relu(0.5)"]


def test_sums_over_maps_are_average_pools_that_divide_by_one() -> None:
    module = Function(lambda x: (x.sum((2, 3)), x.sum(3, keepdim=True)))
    assert_equal(module, traced(module, 3, 4, 6), (3, 4, 6))


def test_global_maxima() -> None:
    for function in (lambda x: x.amax((2, 3)), lambda x: F.adaptive_max_pool2d(x, (1, 2))):
        module = Function(function)
        graph = traced(module, 2, 3, 4)
        assert any(isinstance(node.op, MaxPool) for node in graph)
        assert_equal(module, graph, (2, 3, 4))


@pytest.mark.parametrize("module", [
    nn.AdaptiveAvgPool2d((3, 4)), nn.MaxPool2d(1), nn.AvgPool2d(1), nn.AvgPool2d(1, 1),
    nn.Dropout2d(), nn.Dropout(), nn.Identity(),
    Function(lambda x: x.contiguous().clone().detach()), Function(lambda x: x.float()),
])
def test_layers_that_change_nothing_leave_no_node(module: nn.Module) -> None:
    assert names(traced(module, 2, 3, 4)) in (["input", "output"], ["x", "output"])


def test_several_outputs_keep_their_order() -> None:
    module = Function(lambda x, a, b: (b(a(x)), a(x), x.mean((2, 3))),
                      nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 1))
    graph = traced(module, 1, 5, 5)
    assert names(graph)[-3:] == ["output_0", "output_1", "output_2"]
    assert_equal(module, graph, (1, 5, 5))


def test_outputs_in_a_dictionary_are_numbered_as_it_holds_them() -> None:
    module = Function(lambda x, a, b: {"z": a(x), "m": (b(x), x)}, nn.Conv2d(1, 2, 3),
                      nn.Conv2d(1, 3, 3))
    graph = traced(module, 1, 5, 5)
    found = {name: graph[name].shape[0] for name in names(graph)[-3:]}
    assert found == {"output_0": 2, "output_1": 3, "output_2": 1}


def test_layers_that_no_output_needs_are_left_out() -> None:
    def function(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        F.relu(b(x))
        return a(x)

    graph = traced(Function(function, nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)), 1, 5, 5)
    assert names(graph) == ["x", "layers.0", "output"]


def test_training_mode_is_given_back() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    module[1].eval()
    graph = trace(module, (torch.zeros(2, 1, 5, 5),))
    assert module.training and module[2].training and not module[1].training
    assert names(graph) == ["input", "0", "1", "output"]


# ---- exported programs ------------------------------------------------------------------------
def test_an_exported_file_gives_the_same_graph() -> None:
    module = randomise(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
                                     nn.Flatten(), nn.Linear(36, 3)), 3)
    example = (torch.zeros(2, 2, 5, 5),)
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(module, example), buffer)
    buffer.seek(0)
    exported = trace(torch.export.load(buffer), ())
    assert names(exported) == names(trace(module, example))
    assert_equal(module, exported, (2, 5, 5))


def test_a_dynamic_batch_is_left_out() -> None:
    module = randomise(Function(lambda x, c: c(x).view(x.shape[0], -1), nn.Conv2d(1, 2, 2)), 0)
    exported = torch.export.export(module, (torch.zeros(2, 1, 4, 4),),
                                   dynamic_shapes=({0: torch.export.Dim("n", min=1, max=64)},))
    assert_equal(module, trace(exported, ()), (1, 4, 4))


def test_other_dynamic_dimensions_are_refused() -> None:
    size = torch.export.Dim("h", min=4, max=64)
    exported = torch.export.export(nn.Conv2d(1, 2, 2), (torch.zeros(2, 1, 5, 5),),
                                   dynamic_shapes=({2: size},))
    with pytest.raises(CompileError, match="is not fixed; export with a dynamic batch at most"):
        trace(exported, ())


def test_exports_in_training_mode_are_refused() -> None:
    for layer, name in ((nn.BatchNorm2d(1), "BatchNorm2d"), (nn.Dropout(), "Dropout")):
        exported = torch.export.export(nn.Sequential(layer.train()), (torch.zeros(2, 1, 5, 5),))
        with pytest.raises(CompileError, match=rf"^0: {name} \(.*\) is not supported here \(it was "
                                               r"exported in training mode; call eval\(\) before"):
            trace(exported, ())


def test_exports_of_a_network_on_signals_are_told_what_to_do() -> None:
    exported = torch.export.export(nn.Conv1d(1, 2, 3), (torch.zeros(2, 1, 5),))
    with pytest.raises(CompileError, match=r"input input must have the shape \(N, C, H, W\) .*"
                                           r"found \(2, 1, 5\); .* with Conv2d in place of Conv"):
        trace(exported, ())


# ---- slices -----------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [
    lambda x: x[:, 1:], lambda x: x[:, ::2, 1:-1], lambda x: x[..., 2:5:2], lambda x: x[:, -1:],
    lambda x: x[:, :, 1::3, ::2][:, :, 1:], lambda x: F.pad(x, (0, 0, 0, 0, 2, 1)),
    lambda x: F.pad(x, (1, 0, 0, 2, 0, 1)), lambda x: x.flatten(1)[:, 7:90:3],
    lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))[:, :, :2], lambda x: x[:],
    lambda x: x.narrow(1, 1, 2), lambda x: x.narrow(3, 2, 4), lambda x: x[:, [2, 0, -2, 0]],
    lambda x: x.index_select(1, torch.tensor([1, 0])), lambda x: F.channel_shuffle(x, 3),
    lambda x: torch.cat(x.split([1, 2], 1)[::-1], 1), lambda x: x.chunk(3, 3)[1],
    lambda x: torch.cat([F.relu(part) for part in x.chunk(2, 1)], 1),
    lambda x: torch.cat([x, -x], 1).view(-1, 2, 3, 6, 7).transpose(1, 2).reshape(-1, 6, 6, 7),
    lambda x: torch.cat([x, -x], 1).view(-1, 3, 2, 6, 7).permute(0, 2, 1, 3, 4).flatten(1),
])
def test_slices_and_zero_channels(function: Callable) -> None:
    module = Function(function)
    assert_equal(module, traced(module, 3, 6, 7), (3, 6, 7))


# ---- refusals ---------------------------------------------------------------------------------
@pytest.mark.parametrize(("module", "sentence"), [
    (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Softmax(1)),
     r"1: Softmax \(softmax\) is not supported here \(it keeps the order of the logits; leave it "
     r"to whoever reads the output\)$"),
    (Function(lambda x: F.log_softmax(x.flatten(1), 1)), "forward: log_softmax is not supported"),
    (nn.InstanceNorm2d(2), r"forward: InstanceNorm2d \(instance_norm\) .*train with BatchNorm2d"),
    (nn.LocalResponseNorm(5), r"forward: LocalResponseNorm \(mul\) .*put nn.Identity\(\) in its "
                              "place to leave it out, and train again or measure"),
    (nn.Sequential(nn.ConvTranspose2d(2, 4, 3)),
     r"0: ConvTranspose2d \(conv_transpose2d\) is not supported here \(it is a transposed conv"),
    (nn.Sequential(nn.Upsample(scale_factor=2)),
     r"0: Upsample \(upsample_nearest2d\) is not supported;"),
    (nn.Sequential(nn.Identity(), nn.GroupNorm(1, 2)),
     r"1: GroupNorm \(group_norm\) is not supported here \(its statistics come from the input;"),
    (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
     r"0: Conv2d \(pad\) is not supported here \(it pads with something else than zeros\)$"),
    (nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False)),
     r"0: BatchNorm2d \(batch_norm\) .*it has no running statistics; train it with track_running"),
    (nn.Sequential(nn.AdaptiveAvgPool2d(4)),
     r"0: AdaptiveAvgPool2d \(adaptive_avg_pool2d\) is not supported here \(its output \(4, 4\) "
     r"does not divide its input \(6, 6\); choose an output size that does\)$"),
    (Function(lambda x: F.prelu(x, torch.tensor([0.1, 0.2]))),
     r"forward: prelu .*a slope for every channel"),
    (nn.Sequential(nn.ZeroPad2d(-1)), r"0: ZeroPad2d \(pad\) .*not cropped"),
    (nn.Sequential(nn.Linear(6, 3)), r"0: Linear \(linear\) .*4 dimensions, 2 are needed"),
    (Function(lambda x: x[:1]), r"forward: slice .*it takes some of the images"),
    (Function(lambda x: x[:, :, 6:]), r"forward: slice .*nothing is left of its tensor"),
    (Function(lambda x: x.flatten(2)[:, :, :6]), r"forward: (flatten|slice) is not supported here"),
    (Function(lambda x: F.pad(x, (0,) * 6 + (1, 0))), r"forward: pad .*only channels, height and"),
    (Function(lambda x: x * x), r"forward: mul .*it multiplies two tensors that depend on the inp"),
    (Function(lambda x: x + x.mean((2, 3), keepdim=True)), r"forward: add .*they must be equal"),
    (Function(lambda x: torch.cat([x, x], 2)), r"forward: cat .*does not join channels"),
    (Function(lambda x: x.flatten()), r"forward: flatten .*may only flatten everything behind the"),
    (Function(lambda x: x.view(2, 4, 3, 6)), r"forward: view .*may only flatten"),
    (Function(lambda x: x.mean(1)), r"forward: mean .*does not reduce height and width"),
    (Function(lambda x: x.transpose(2, 3)), r"forward: transpose .*maps stay \(N, C, H, W\): for"),
    (Function(lambda x: x[:, 0]), r"forward: select .*keep it with a slice, x\[:, i:i \+ 1\]"),
    (Function(lambda x: F.dropout(x, 0.5)), r"forward: dropout .*hand self.training to a dropout"),
    (Function(lambda x: x + torch.rand(2, 1, 1)), r"forward: rand .*\(it draws random numbers\)"),
    (Function(lambda x, m: m(x.flatten(2)), nn.Conv1d(2, 3, 3)),
     r"layers.0: Conv1d \(conv1d\) .*use its 2-d kind on maps of height 1, \(N, C, 1, L\)"),
    (Function(lambda x, m: m(x.flatten(2))[0], nn.LSTM(36, 2, batch_first=True)),
     r"layers.0: LSTM \(lstm\) .*recurrent layers cannot be compiled"),
    (Function(lambda x: F.adaptive_avg_pool2d(F.pad(x, (6, 0, 6, 0)), (2, 1))),
     r"forward: adaptive_avg_pool2d .*its output \(2, 1\) takes a step of 12 over its input "
     r"\(12, 12\), and steps go up to 4; pool before it or choose a larger output"),
    (Function(lambda x: x[:, torch.tensor([[0, 1]])]), r"forward: index .*(else|tensor of 5 dim)"),
    (nn.MaxPool2d((2, 1), 1, (1, 0), (7, 1), ceil_mode=True),
     r"forward: MaxPool2d \(max_pool2d\) .*some windows lie wholly in the padding; use less"),
    (Function(lambda x: (x > 0).float()), r"forward: to .*it computes with a comparison"),
    (Function(lambda x: torch.where(x > 1, x, 0 * x)), r"forward: gt .*else than zero"),
    (Function(lambda x: torch.where(x.mean((2, 3), keepdim=True) > x, x, -x)),
     r"forward: gt .*it compares with something else than zero"),
    (Function(lambda x: torch.addmm(torch.ones(2, 3), x.flatten(1), torch.ones(72, 3))),
     r"forward: addmm .*its bias differs between images"),
    (Function(lambda x: x.view(2, 1, 2, 6, 6) * torch.tensor([1., 2.])[:, None, None]),
     r"forward: mul .*differs within a channel"),
    (Function(lambda x: torch.where(torch.ones(6) > 0, x, -x)), r"forward: where .*than a compari"),
    (nn.Sequential(nn.PixelShuffle(1), nn.SELU()), r"0: PixelShuffle .*is not supported; support"),
    (Function(lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 2, 2)),
     r"forward: expand .*it repeats values"),
    (Function(lambda x: F.conv2d(x, F.relu(x))), r"forward: its weights are computed by the net"),
])
def test_what_is_not_supported_is_named_with_its_path(module: nn.Module, sentence: str) -> None:
    with pytest.raises(CompileError, match="^" + sentence):
        trace(module, (torch.zeros(2, 2, 6, 6),))


def test_refusals_list_what_is_supported() -> None:
    with pytest.raises(CompileError, match=LIST + "$"):
        trace(nn.PixelShuffle(2), (torch.zeros(1, 4, 2, 2),))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_must_be_finite(value: float) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        module[1].weight[0, 0] = value
    sentence = r"^1\.weight: 1 of 4 values are NaN or infinite; train or load the network again$"
    with pytest.raises(CompileError, match=sentence):
        trace(module, (torch.zeros(1, 1, 3, 3),))


@pytest.mark.parametrize(("examples", "sentence"), [
    ((), r"the network takes 0 inputs; .* give one example tensor"),
    ((torch.zeros(1, 1, 4, 4),) * 2, r"the network takes 2 inputs"),
    ((torch.zeros(1, 1, 4, 4, dtype=torch.int64),), r"floating-point tensor, found torch.int64"),
    ((np.zeros((1, 1, 4, 4)),), r"floating-point tensor, found ndarray"),
    ((torch.zeros(1, 4, 4),), r"\(N, C, H, W\) without zeros, found \(1, 4, 4\); give one image as "
                              r"\(1, C, H, W\), and signals as maps of height 1, .* of Conv1d"),
    ((torch.zeros(1, 4),), r"found \(1, 4\); give \(N, features, 1, 1\), and Flatten before the"),
    ((torch.zeros(1, 1, 2, 4, 4),), r"maps have two dimensions, so Conv3d cannot be compiled"),
    ((torch.zeros(0, 1, 4, 4),), r"without zeros, found \(0, 1, 4, 4\)"),
    ((torch.zeros(1, 3, 4, 4),), r"torch.export cannot export the network \(.*\); it must run on"),
])
def test_example_inputs_are_checked(examples: tuple, sentence: str) -> None:
    with pytest.raises(CompileError, match=sentence):
        trace(nn.Conv2d(1, 2, 1), examples)


def test_outputs_know_their_dimensions() -> None:
    graph = traced(Function(lambda x: (x + x, x.mean((2, 3)), x.mean(3))), 2, 3, 4)
    assert [node.op.dims for node in graph if isinstance(node.op, Output)] == [4, 2, 3]


def test_half_flattened_outputs_are_refused() -> None:
    with pytest.raises(CompileError, match=r"^output 0 of the network has the shape \(N, 2, 12\); "
                                           "return whole maps or flatten everything behind"):
        trace(Function(lambda x: x.flatten(2)), (torch.zeros(1, 2, 3, 4),))


def test_branches_on_values_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CompileError, match="run on the example input and not branch on values"):
        trace(Function(lambda x: x if x.sum() > 0 else F.relu(x)), (torch.zeros(1, 1, 2, 2),))
    assert capfd.readouterr() == ("", "")


def test_constant_outputs_are_refused() -> None:
    with pytest.raises(CompileError, match="output|depend"):
        trace(Function(lambda x: torch.zeros(1, 2)), (torch.zeros(1, 1, 2, 2),))


def test_comparisons_are_no_outputs() -> None:
    with pytest.raises(CompileError, match="^output 0 of the network is a comparison; return"):
        trace(Function(lambda x: x > 0), (torch.zeros(1, 1, 2, 2),))


def test_a_network_may_not_take_more_inputs() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    exported = torch.export.export(Two(), (torch.zeros(1, 1, 2, 2),) * 2)
    with pytest.raises(CompileError, match="takes more than one input"):
        trace(exported, ())
