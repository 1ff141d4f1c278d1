"""From torch to the traced graph: torch.export, then one node of ours for each ATen operation.

What every operation becomes is said in `aten.py`; here are the export, the walk over torch's graph,
names and parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from ...arch import names
from ..errors import CompileError, first_line
from ..ir.graph import Graph, Input, Node, Output, Shape
from .aten import VIEWS
from .calls import Call, is_bookkeeping, operation, writes_in_place
from .constants import Constants
from .quiet import quiet
from .supported import ADVICE, HANDLERS, SUPPORTED

Floats = NDArray[np.float64]
Fx = torch.fx.Node

# bytes of a parameter beyond what is stored of it (it repeats a few values)
LARGEST = 1 << 26


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
        self.values: dict[Fx, str] = {}              # torch's node -> node of ours
        self._constants = Constants(exported)
        self._inputs = set(exported.graph_signature.user_inputs)
        self._outputs = list(exported.graph_signature.user_outputs)

    def step(self, node: Fx) -> None:
        """Take one node of torch's graph."""
        if node.op == "placeholder":
            self._placeholder(node)
        elif node.op == "output":
            self._output(node)
        elif node.op == "call_function" and node.users:
            self._call(node)
        elif node.op not in ("call_function", "get_attr"):
            raise CompileError(f"{self.where(node)}: {node.target} is not supported; export the "
                               "network again with torch.export")

    def _placeholder(self, node: Fx) -> None:
        if node.name not in self._inputs:
            return
        if any(isinstance(self.graph[name].op, Input) for name in self.values.values()):
            raise CompileError("the network takes more than one input; networks of one input "
                               "tensor can be compiled")
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise CompileError(f"the network's input {node.name} must be a tensor of shape "
                               "(N, C, H, W)")
        _check_shape(tuple(value.shape), f"the network's input {node.name}")
        self.values[node] = self.add(node, Input(), [], self.shape(node), name=node.name)

    def _output(self, node: Fx) -> None:
        by_name = {other.name: other for other in self.values}
        for i, torch_name in enumerate(self._outputs):
            if torch_name not in by_name:
                raise CompileError(f"output {i} of the network is not computed from its input; "
                                   "leave it out")
            other = by_name[torch_name]
            source = self.graph[self.values[other]]
            dims = len(other.meta["val"].shape)
            if self.shape(other) != source.shape:
                raise CompileError(f"output {i} of the network has the shape "
                                   f"{tuple(other.meta['val'].shape)}; return whole maps or "
                                   "flatten everything behind the batch")
            name = "output" if len(self._outputs) == 1 else f"output_{i}"
            self.add(node, Output(dims), [source.name], source.shape, name=name)

    def _call(self, node: Fx) -> None:
        if is_bookkeeping(node):
            return
        if not any(source in self.values for source in node.all_input_nodes):
            self._constant(node)
            return
        handler = HANDLERS.get(operation(node))
        if handler is None:
            raise self.unsupported(node, ADVICE.get(operation(node), ""))
        self.values[node] = handler(Call(self, node))

    def _constant(self, node: Fx) -> None:
        try:
            self._constants.compute(node)
        except ValueError as error:
            raise self.unsupported(node, str(error)) from error

    # ---- for calls.py ----------------------------------------------------------------------
    def add(self, node: Fx, op: Any, inputs: list[str], shape: Shape, name: str = "") -> str:
        """Add a node to our graph; returns its name."""
        name = self.graph.unique(name or self._name(node))
        self.graph.add(Node(name, op, shape, self.where(node)), inputs)
        return name

    def shape(self, node: Fx) -> Shape:
        """(C, H, W) of a value of torch's graph, missing dimensions 1."""
        sizes = node.meta["val"].shape[1:]
        if len(sizes) > 3 or len(sizes) == 0:
            raise self.unsupported(node, f"it makes a tensor of {len(sizes) + 1} dimensions")
        if not all(isinstance(size, int) for size in sizes):
            raise CompileError(f"{self.where(node)}: the shape {tuple(node.meta['val'].shape)} is "
                               "not fixed; export with a dynamic batch at most")
        c, h, w = (*sizes, 1, 1)[:3]
        return c, h, w

    def is_constant(self, node: Fx) -> bool:
        """A parameter, a buffer, or what is computed of those alone."""
        return node in self._constants

    def parameter(self, node: Fx) -> Floats:
        """Value of a parameter, buffer or constant; refuses NaN and infinite values."""
        if not isinstance(node, Fx) or node not in self._constants:
            raise CompileError(f"{self.where(node)}: its weights are computed by the network; only "
                               "constant weights can be compiled")
        tensor = self._constants[node]
        where = self._constants.path(node) or self.where(node)
        if tensor.numel() * tensor.element_size() > LARGEST + tensor.untyped_storage().nbytes():
            raise CompileError(f"{where}: {tensor.numel():,} values repeat a few; store the "
                               "weights in full")
        values = tensor.detach().to("cpu", torch.float64).numpy()
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise CompileError(f"{where}: {bad} of {values.size} values are NaN or infinite; train "
                               "or load the network again")
        return values

    def where(self, node: Fx) -> str:
        """The torch module path that a node comes from."""
        path, _ = _module(node)
        return path or "forward"

    def unsupported(self, node: Fx, why: str = "") -> CompileError:
        """The error for an operation that has no meaning here."""
        reason = f" here ({why})" if why else ""
        return CompileError(f"{self.where(node)}: {_called(node)} is not supported{reason}; "
                            f"supported layers are {', '.join(SUPPORTED)}")

    # ---- names -----------------------------------------------------------------------------
    def _name(self, node: Fx) -> str:
        path, kind = _module(node)
        called = operation(node)
        if path and _is_layer(kind) and (called not in VIEWS or kind.endswith(".Flatten")):
            return names.clean(path)
        called = "flatten" if called in VIEWS else called
        return names.clean(f"{path}.{called}" if path else called)


def _module(node: Fx) -> tuple[str, str]:
    """(path, type) of the innermost module that a node of torch's graph belongs to."""
    stack = node.meta.get("nn_module_stack") if isinstance(node, Fx) else None
    if not stack:
        return "", ""
    path, kind = list(stack.values())[-1]
    if path.startswith("_empty_nn_module_stack"):      # torch's mark of nodes without a module
        return "", ""
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return path, kind


def _is_layer(kind: str) -> bool:
    return kind.startswith("torch.nn.modules.") and ".container." not in kind


def _called(node: Fx) -> str:
    called = operation(node)
    _, kind = _module(node)
    if _is_layer(kind):
        return f"{kind.rpartition('.')[2]} ({called})"
    return called


def _reachable(graph: Graph) -> Graph:
    """Without the nodes that no output depends on; refuses a network without layers."""
    for node in reversed(list(graph)):
        if not isinstance(node.op, Output | Input) and not graph.readers(node.name):
            graph.nx.remove_node(node.name)
    if not any(isinstance(node.op, Input) and graph.readers(node.name) for node in graph):
        raise CompileError("the network's outputs do not depend on its input")
    return graph
