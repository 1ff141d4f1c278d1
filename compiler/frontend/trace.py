"""From torch to the traced graph: torch.export, then one node of ours for each ATen operation.

What every operation becomes is said in `aten.py`; here are the export, the walk over torch's graph
and the names of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

from ...arch import names
from ..construct.functions import Sign
from ..construct.site import Site, Value, input_, output
from ..errors import CompileError, InternalError, first_line
from ..ir.graph import Graph, Input, Output
from .calls import Call
from .constants import Constants
from .origins import code, module
from .quiet import quiet
from .schema import Fx, is_bookkeeping, operation, writes_in_place
from .supported import ADVICE, ADVICE_OF_LAYERS, HANDLERS, NAMES, SILENT, SUPPORTED


def trace(model: torch.nn.Module | ExportedProgram, example_inputs: Sequence[torch.Tensor]
          ) -> Graph:
    """The traced graph of a network in inference form.

    example_inputs: one float tensor (N, C, H, W); its batch is left out. Raises CompileError for
    what cannot be exported or has no meaning here.
    """
    exported = export(model, example_inputs)
    walk = Walk(exported)
    for node in exported.graph.nodes:
        walk.step(node)
    return _reachable(walk.graph)


def export(model: torch.nn.Module | ExportedProgram, example_inputs: Sequence[torch.Tensor]
           ) -> ExportedProgram:
    """An export without in-place operations that keeps layers whole."""
    if not isinstance(model, ExportedProgram):
        check_examples(example_inputs)
        model = _export_module(model, tuple(example_inputs))
    if not any(writes_in_place(node) for node in model.graph.nodes):
        return model
    with quiet():
        return model.run_decompositions({})


def check_examples(example_inputs: Sequence[torch.Tensor]) -> None:
    """Refuse everything but one floating-point tensor (N, C, H, W)."""
    if len(example_inputs) != 1:
        raise CompileError(f"the network takes {len(example_inputs)} inputs; networks of one input "
                           "tensor can be compiled, so give one example tensor")
    (example,) = example_inputs
    if not isinstance(example, torch.Tensor) or not example.is_floating_point():
        found = example.dtype if isinstance(example, torch.Tensor) else type(example).__name__
        raise CompileError(f"the example input must be a floating-point tensor, found {found}; let "
                           "the network take floats, and turn other data into them in preprocess")
    _check_shape(tuple(example.shape), "the example input")


def _check_shape(shape: tuple[Any, ...], what: str) -> None:
    if len(shape) == 4 and 0 not in shape:
        return
    advice = {
        2: "give (N, features, 1, 1), and Flatten before the first Linear",
        3: "give one image as (1, C, H, W), and signals as maps of height 1, (N, C, 1, L), with "
           "Conv2d in place of Conv1d",
        5: "maps have two dimensions, so Conv3d cannot be compiled",
    }.get(len(shape), "give a batch of images")
    raise CompileError(f"{what} must have the shape (N, C, H, W) without zeros, found {shape}; "
                       f"{advice}")


def _export_module(model: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]
                   ) -> ExportedProgram:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(model, example_inputs, strict=False)
    except Exception as error:
        raise CompileError(f"torch.export cannot export the network ({first_line(error)}); it must "
                           "run on the example input and not branch on values") from error
    finally:
        for module, mode in modes.items():
            module.training = mode


class Walk:
    """Walks torch's graph in order and builds ours."""

    def __init__(self, exported: ExportedProgram) -> None:
        self.graph = Graph()
        self._values: dict[Fx, Value | Sign] = {}
        self._constants = Constants(exported)
        self._inputs = set(exported.graph_signature.user_inputs)
        self._outputs = list(exported.graph_signature.user_outputs)
        self._last = _last_of_modules(exported)

    def step(self, node: Fx) -> None:
        """Take one node of torch's graph."""
        if node.op == "placeholder":
            self._placeholder(node)
        elif node.op == "output":
            self._output()
        elif node.op == "call_function" and node.users:
            self._call(node)
        elif node.op not in ("call_function", "get_attr"):
            raise CompileError(f"{_path(node)}: {node.target} is not supported; export the "
                               "network again with torch.export")

    def _placeholder(self, node: Fx) -> None:
        if node.name not in self._inputs:
            return
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise CompileError(f"the network's input {node.name} must be a tensor of shape "
                               "(N, C, H, W)")
        _check_shape(tuple(value.shape), f"the network's input {node.name}")
        channels, height, width = self._sizes(node)
        self._values[node] = input_(Site(self.graph, "forward", node.name),
                                    (channels, height, width))

    def _output(self) -> None:
        by_name = {node.name: value for node, value in self._values.items()}
        for i, torch_name in enumerate(self._outputs):
            value = by_name.get(torch_name)
            if isinstance(value, Sign):
                raise CompileError(f"output {i} of the network is a comparison; return what it "
                                   "compares, and leave the rest to whoever reads the output")
            if value is None:
                raise CompileError(f"output {i} of the network is not computed from its input; "
                                   "leave it out")
            name = "output" if len(self._outputs) == 1 else f"output_{i}"
            output(Site(self.graph, "forward", name), value, i)

    def _call(self, node: Fx) -> None:
        if is_bookkeeping(node):
            return
        if not any(source in self._values for source in node.all_input_nodes):
            self._constant(node)
            return
        called, site = operation(node), self._site(node)
        advice = ADVICE_OF_LAYERS.get(module(node).layer) or ADVICE.get(called)
        if advice:
            raise site.refuse(advice)
        if called not in HANDLERS:
            raise CompileError(f"{site.path}: {site.called} is not supported{site.at}; supported "
                               f"layers are {', '.join(SUPPORTED)}")
        made = HANDLERS[called](Call(node, site, self._values, self._constants))
        self._values[node] = made
        if isinstance(node.meta["val"], torch.Tensor) and isinstance(made, Value) \
                and made.sizes != self._sizes(node):
            raise InternalError(f"{site.path}: {called} makes {made.sizes}, and for torch "
                                f"{self._sizes(node)}")

    def _constant(self, node: Fx) -> None:
        try:
            self._constants.compute(node)
        except ValueError as error:
            raise self._site(node).refuse(str(error)) from error

    def _sizes(self, node: Fx) -> tuple[int, ...]:
        """What torch says of the sizes behind the batch."""
        shape = node.meta["val"].shape
        if not all(isinstance(size, int) for size in shape[1:]):
            raise CompileError(f"{_path(node)}: the shape {tuple(shape)} is not fixed; export with "
                               "a dynamic batch at most")
        return tuple(shape[1:])

    def _site(self, node: Fx) -> Site:
        """Where a node stands, and what ours is called: as its layer, if it ends one."""
        found, called = module(node), operation(node)
        name = NAMES.get(called, called)
        if found.layer and self._last.get(found.key) is node:
            name = found.path or name
        elif found.path:
            name = f"{found.path}.{name}"
        said = f"{found.layer} ({called})" if found.layer else called
        return Site(self.graph, _path(node), names.clean(name), said, code(node))


def _last_of_modules(exported: ExportedProgram) -> dict[str, Fx]:
    """The last operation of every call of a module that makes a node of ours."""
    return {module(node).key: node for node in exported.graph.nodes
            if node.op == "call_function" and node.users and not is_bookkeeping(node)
            and operation(node) not in SILENT}


def _path(node: Fx) -> str:
    """The torch module path that a node comes from."""
    return module(node).path or "forward"


def _reachable(graph: Graph) -> Graph:
    """Without the nodes that no output depends on; refuses a network without layers."""
    for node in reversed(list(graph)):
        if not isinstance(node.op, Output | Input) and not graph.readers(node.name):
            graph.nx.remove_node(node.name)
    if not any(isinstance(node.op, Input) and graph.readers(node.name) for node in graph):
        raise CompileError("the network's outputs do not depend on its input")
    return graph
