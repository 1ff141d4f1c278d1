"""Every layer, exported as it is and taken apart into core operations, is the same network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np
import pytest
import torch
from kcnn.compiler import passes
from kcnn.compiler.frontend.quiet import quiet
from kcnn.compiler.frontend.schema import operation
from kcnn.compiler.frontend.supported import HANDLERS
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Graph
from networks import randomise
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional as F

SHAPE = 4, 6, 6


class Branches(nn.Module):
    """Layers and functions behind a convolution, an output each."""

    def __init__(self, cases: Sequence[nn.Module | Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.layers = nn.ModuleList(case for case in cases if isinstance(case, nn.Module))
        self.functions = [case for case in cases if not isinstance(case, nn.Module)]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv(x)
        return [case(x) for case in (*self.layers, *self.functions)]


def exported(cases: Sequence[nn.Module | Callable[[Tensor], Tensor]]) -> list[ExportedProgram]:
    """The branches as they are, and taken apart."""
    net = randomise(Branches(cases), 0).eval()
    with quiet():
        plain = torch.export.export(net, (torch.zeros(2, *SHAPE),))
        return [plain, plain.run_decompositions()]


def described(graph: Graph, output: str, named: bool) -> list[tuple]:
    """All that is said of an output, in the graph's order; names as numbers if not asked for."""
    behind = nx.ancestors(graph.nx, output) | {output}
    names = [node.name for node in graph if node.name in behind]
    return [(name if named else "", type(graph[name].op).__name__, graph[name].shape,
             [names.index(source) for source in graph.inputs(name)],
             {key: value.tolist() if isinstance(value, np.ndarray) else str(value)
              for key, value in vars(graph[name].op).items()}) for name in names]


LAYERS = [
    nn.Conv2d(4, 3, 3, 2, 1), nn.Conv2d(4, 4, (2, 3), padding="same", groups=2),
    nn.Conv2d(4, 2, 3, padding="valid", dilation=2, bias=False), nn.BatchNorm2d(4),
    nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout(),
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(), nn.ELU(0.7),
    nn.Hardtanh(-1, 2), nn.Hardtanh(0, 6), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(3, 2, 1, True, count_include_pad=False),
    nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((3, 2)), nn.AdaptiveMaxPool2d(3),
    nn.ZeroPad2d((1, 0, 2, 1)), nn.ChannelShuffle(2),
    nn.Sequential(nn.Flatten(), nn.Linear(144, 3)),
    nn.Sequential(nn.Flatten(), nn.Linear(144, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU()),
    nn.Sequential(nn.Hardswish(), nn.Conv2d(4, 2, 3), nn.Hardsigmoid()), nn.Tanhshrink(),
]

FUNCTIONS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.clamp(-1, 2), lambda x: torch.clamp_min(x, 0.5), lambda x: x.clamp(max=1),
    lambda x: torch.clamp_max(x.clip(0, 6), 5), lambda x: x * F.hardsigmoid(x),
    lambda x: x * F.relu6(x + 3) / 6, lambda x: x * torch.sigmoid(x), F.hardswish, F.silu,
    lambda x: F.leaky_relu(x, 0.3), lambda x: torch.where(x > 0, x, 0.1 * x),
    lambda x: torch.where(x <= 0, x * 0.1, x), lambda x: torch.where(x >= 0, x, x * 0.1),
    lambda x: torch.where(x < 0, -x, x),
    lambda x: x.mean((2, 3)), lambda x: x.mean(3, keepdim=True), lambda x: x.sum((2, 3)),
    lambda x: x.amax((-1, -2)), lambda x: x.flatten(2).mean(2), lambda x: x.mean(3).mean(2),
    lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    lambda x: x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1),
    lambda x: F.pad(x, (1, 0, 0, 2, 0, 1)), lambda x: x[:, ::2, 1:-1], lambda x: x.narrow(1, 1, 2),
    lambda x: torch.cat(x.split([1, 3], 1)[::-1], 1), lambda x: x.chunk(2, 1)[1],
    lambda x: torch.cat(x.split(2, 1)[::-1], 1),
    lambda x: x[:, [2, 0, -2]], lambda x: x.index_select(1, torch.tensor([1, 0])),
    lambda x: F.channel_shuffle(x, 2),
    lambda x: x.view(2, 2, 2, 6, 6).transpose(1, 2).contiguous().view(2, 4, 6, 6),
    lambda x: x + F.relu(x), lambda x: torch.add(x, F.relu(x), alpha=2),
    lambda x: x - 0.5 * F.relu(x), lambda x: 1 - x, lambda x: torch.rsub(x, 3, alpha=2),
    lambda x: -x / 4, lambda x: x * torch.ones(4, 1, 1), lambda x: x.flatten(1),
    lambda x: x.reshape(2, -1), lambda x: x.flatten(1) @ torch.ones(144, 2),
    lambda x: torch.mm(x.flatten(1), torch.ones(144, 2)),
    lambda x: torch.addmm(torch.ones(2), x.flatten(1), torch.ones(144, 2), beta=2, alpha=0.5),
    lambda x: F.linear(x.flatten(1), torch.ones(2, 144), torch.ones(2)),
    lambda x: x.float().contiguous().clone().detach().expand(-1, -1, -1, -1),
    lambda x: F.dropout(F.conv2d(x, torch.ones(2, 4, 1, 1)), 0.5, training=False),
]


# of training, and of torch's other ways to take an export apart
OTHER = ["_native_batch_norm_legit", "_native_batch_norm_legit_functional", "_to_copy",
         "_unsafe_view", "detach_copy"]
CASES = [*LAYERS, *FUNCTIONS]


@pytest.fixture(scope="module")
def exports() -> list[ExportedProgram]:
    return exported(CASES)


@pytest.fixture(scope="module")
def graphs(exports: list[ExportedProgram]) -> list[Graph]:
    return [passes.canonicalise(trace(export, ())) for export in exports]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_both_spellings_are_one_network(graphs: list[Graph], number: int) -> None:
    """Nodes of functions are named by operations, of which the spellings have different ones."""
    plain, apart = (described(graph, f"output_{number}", named=number < len(LAYERS))
                    for graph in graphs)
    assert len(plain) > 2 and plain == apart


def test_layers_that_write_in_place_are_the_same_too() -> None:
    plain, apart = (trace(export, ()) for export in exported([nn.ReLU(inplace=True)]))
    assert described(plain, "output", named=True) == described(apart, "output", named=True)


def test_every_operation_of_the_table_is_met(exports: list[ExportedProgram]) -> None:
    met = {operation(node) for export in exports for node in export.graph.nodes
           if node.op == "call_function"}
    assert sorted(HANDLERS.keys() - met) == OTHER
