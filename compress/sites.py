"""Where features can be replaced: the convolutions, what follows them, who reads their maps.

The network is traced as the compiler traces it; a site is a Conv2d module without groups that runs
once. Its *map* is what leaves the batch norm and the functions behind it. Where the map goes only
through pools and flattening into layers, those are its readers, and a change of the map can be made
in their weights instead. A map that is added or concatenated has no readers here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..compiler.frontend.trace import trace
from ..compiler.ir.graph import Activation, AvgPool, BatchNorm, Conv, Flatten, Graph, MaxPool
from ..compiler.passes.rewrite import only_reader
from .data import logits
from .hooks import hooked

Layer = nn.Conv2d | nn.Linear


@dataclasses.dataclass(frozen=True)
class Reader:
    """A layer that reads a map. cells: its inputs for each channel; 1, or the pixels if flattened.

    constant: a constant added to a channel adds a constant to the layer's outputs, borders
    included, and the layer has a bias to take it.
    """

    layer: str
    cells: int
    constant: bool


@dataclasses.dataclass(frozen=True)
class Site:
    """A convolution by module path. norm: the batch norm right behind it. tail: the module that
    makes the map, None where a plain function does. pooled: maxima are taken before some reader.
    """

    conv: str
    norm: str | None
    tail: str | None
    readers: tuple[Reader, ...]
    pooled: bool

    @property
    def constant(self) -> bool:
        """A constant added to the map can be moved into every reader."""
        return all(reader.constant for reader in self.readers)


def sites(module: nn.Module, example: Tensor) -> list[Site]:
    """The sites in the order in which they run. example: (1, C, H, W). Raises CompileError."""
    graph, modules = trace(module, (example,)), dict(module.named_modules())
    return [_site(graph, modules, node.name) for node in graph
            if isinstance(node.op, Conv) and _is_own(graph, modules, node.name)
            and isinstance(modules[node.name], nn.Conv2d)]


def layer(module: nn.Module, path: str) -> Layer:
    """The Conv2d or Linear of this path."""
    found = module.get_submodule(path)
    assert isinstance(found, nn.Conv2d | nn.Linear)
    return found


def norm(module: nn.Module, site: Site) -> nn.BatchNorm2d | None:
    """The batch norm right behind a convolution."""
    found = None if site.norm is None else module.get_submodule(site.norm)
    assert found is None or isinstance(found, nn.BatchNorm2d)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What passes a site. inputs: (N, C, H, W) of the convolution. map: (N, K, cells...) as the
    first reader takes it, pooled where it is; without readers, what leaves the convolution, or the
    batch norm right behind it.
    """

    inputs: Tensor
    map: Tensor


def watch(module: nn.Module, chosen: Sequence[Site], x: Tensor) -> dict[str, Seen]:
    """What passes each of the sites for the images x, by path; one pass."""
    read: dict[str, list[Tensor]] = {}
    made: dict[str, list[Tensor]] = {}
    handles = []
    for site in chosen:
        read[site.conv], made[site.conv] = [], []
        handles.append(_keep_inputs(layer(module, site.conv), read[site.conv]))
        if site.readers:
            handles.append(_keep_inputs(layer(module, site.readers[0].layer), made[site.conv]))
        else:
            handles.append(_keep_output(module.get_submodule(site.norm or site.conv),
                                        made[site.conv]))
    with hooked(handles):
        logits(module, x)
    return {site.conv: Seen(torch.cat(read[site.conv]), _map(site, torch.cat(made[site.conv])))
            for site in chosen}


def _keep_inputs(part: nn.Module, kept: list[Tensor]) -> RemovableHandle:
    return part.register_forward_pre_hook(
        lambda part, inputs: kept.append(inputs[0].detach().clone()))


def _keep_output(part: nn.Module, kept: list[Tensor]) -> RemovableHandle:
    return part.register_forward_hook(
        lambda part, inputs, output: kept.append(output.detach().clone()))


def _map(site: Site, found: Tensor) -> Tensor:
    return found if found.ndim == 4 else found.unflatten(1, (-1, site.readers[0].cells))


# ---- finding -------------------------------------------------------------------------------
def _is_own(graph: Graph, modules: dict[str, nn.Module], name: str) -> bool:
    """A layer module without groups that runs once and pads with zeros."""
    part = modules.get(name)
    if isinstance(part, nn.Conv2d):
        return part.groups == 1 and part.padding_mode == "zeros" and f"{name}@2" not in graph
    return isinstance(part, nn.Linear) and f"{name}@2" not in graph


def _site(graph: Graph, modules: dict[str, nn.Module], conv: str) -> Site:
    norm, last = None, conv
    while (reader := only_reader(graph, last)) is not None:
        op = graph[reader].op
        if isinstance(op, BatchNorm) and last == conv and isinstance(
                modules.get(reader), nn.BatchNorm2d):
            norm = reader
        elif not isinstance(op, BatchNorm | Activation):
            break
        last = reader
    tail = last if last in modules else None
    found = _Readers(graph, modules)
    whole = found.follow(last, 1, True, False)
    readers = tuple(found.readers) if whole else ()
    return Site(conv, norm, tail, readers, bool(readers) and found.pooled)


class _Readers:
    """Follows a map to the layers that read it."""

    def __init__(self, graph: Graph, modules: dict[str, nn.Module]) -> None:
        self.graph, self.modules = graph, modules
        self.readers: list[Reader] = []
        self.pooled = False

    def follow(self, name: str, cells: int, constant: bool, flat: bool) -> bool:
        """False where something else than a layer needs the map."""
        return all(self._step(name, reader, cells, constant, flat)
                   for reader in self.graph.readers(name))

    def _step(self, source: str, name: str, cells: int, constant: bool, flat: bool) -> bool:
        op = self.graph[name].op
        if isinstance(op, Conv):
            return self._layer(name, op, cells, constant)
        if isinstance(op, MaxPool) and not flat:
            self.pooled = True
        elif isinstance(op, AvgPool) and not flat:
            constant = constant and not any(op.padding) and not op.divisor
        elif isinstance(op, Flatten):
            _, height, width = self.graph[source].shape
            cells, flat = cells * height * width, True
        else:
            return False
        return self.follow(name, cells, constant, flat)

    def _layer(self, name: str, op: Conv, cells: int, constant: bool) -> bool:
        if not _is_own(self.graph, self.modules, name):
            return False
        part = self.modules[name]
        assert isinstance(part, nn.Conv2d | nn.Linear)
        constant = constant and not any(op.padding) and part.bias is not None
        self.readers.append(Reader(name, cells, constant))
        return True

