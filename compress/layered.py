"""An exported network as torch layers again, so that it can be trained and compressed.

An export calls operations on parameters; here each convolution, linear layer and batch norm becomes
a module of its own, at the path of its parameters. Everything else stays as exported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..compiler.frontend.quiet import quiet
from ..compiler.frontend.schema import arguments, operation
from ..compiler.frontend.trace import export
from .errors import CompressError

Fx = torch.fx.Node
Arguments = dict[str, Any]


def layered(exported: ExportedProgram) -> nn.Module:
    """A module of Conv2d, Linear and BatchNorm layers that computes the same, in inference mode.

    Raises CompressError where there is no layer, or one is used in two ways.
    """
    with quiet():
        source = export(exported, ()).module(check_guards=False)
    assert isinstance(source, torch.fx.GraphModule)
    _rejoin(source.graph)
    held = {node.target: operator.attrgetter(node.target)(source)
            for node in source.graph.nodes if node.op == "get_attr"}
    made: dict[str, str] = {}
    for node in list(source.graph.nodes):
        if node.op == "call_function" and operation(node) in MAKERS:
            _replace(source, node, held, made)
    if not any(isinstance(source.get_submodule(path), nn.Conv2d | nn.Linear)
               for path in made.values()):
        raise CompressError("the network has no convolution and no linear layer of constant "
                            "weights; there is nothing to compress")
    _plain_output(source.graph)
    source.graph.eliminate_dead_code()
    return torch.fx.GraphModule(source, source.graph).eval()


def _rejoin(graph: torch.fx.Graph) -> None:
    """Make the layers whole that run_decompositions() has taken apart into core operations."""
    for node in list(graph.nodes):
        whole = _whole(node) if node.op == "call_function" else None
        if whole is not None:
            with graph.inserting_before(node):
                layer = graph.call_function(*whole)
            layer.meta = node.meta.copy()
            node.replace_all_uses_with(layer)
            graph.erase_node(node)


def _whole(node: Fx) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """(operation, arguments) of the layer that a core operation is of, None for anything else."""
    given, called = arguments(node), operation(node)
    if called == "convolution" and len(given["stride"]) == 2 and not given["transposed"]:
        return torch.ops.aten.conv2d.default, tuple(given[name] for name in (
            "input", "weight", "bias", "stride", "padding", "dilation", "groups"))
    if called in ("addmm", "mm") and operation(given["mat2"]) == "permute" \
            and given.get("beta", 1) == given.get("alpha", 1) == 1:
        x = given["mat1" if called == "addmm" else "self"]
        bias = (given["self"],) if called == "addmm" else ()
        return torch.ops.aten.linear.default, (x, arguments(given["mat2"])["self"], *bias)
    return None


def _plain_output(graph: torch.fx.Graph) -> None:
    """One tensor in, one tensor out, without the trees that an export packs them in."""
    output = graph.output_node()
    (values,) = output.args
    if not isinstance(values, tuple | list) or len(values) != 1:
        raise CompressError("the network has several outputs; one tensor of logits is needed to "
                            "tell what compression costs")
    output.args = (values[0],)
    graph.set_codegen(torch.fx.graph.CodeGen())


def _replace(source: torch.fx.GraphModule, node: Fx, held: Arguments, made: dict[str, str]
             ) -> None:
    """Call a module in a node's place, one for all calls on the same parameters.

    held: parameters by name. made: paths of modules by the parameter that names them.
    """
    given = arguments(node)
    values = {name: _value(held, value) for name, value in given.items()}
    key = OWNERS.get(operation(node), "weight")
    if not isinstance(values[key], Tensor):
        return
    owner = given[key].target
    part = MAKERS[operation(node)](values, node)
    if owner not in made:
        made[owner] = owner.rpartition(".")[0] or node.name
        source.add_submodule(made[owner], part)
    elif str(source.get_submodule(made[owner])) != str(part):
        raise CompressError(f"{made[owner]}: its weights are used by two different layers; give "
                            "each its own")
    _call(source, node, made[owner], given["input"])


def _call(source: torch.fx.GraphModule, node: Fx, path: str, given: Fx) -> None:
    """Call the module `path` instead of a node, and of those that take its first result."""
    with source.graph.inserting_before(node):
        call = source.graph.call_module(path, (given,))
        call.meta = node.meta.copy()
    users = [user for user in node.users if user.target is operator.getitem]
    for whole in users or [node]:
        whole.replace_all_uses_with(call)
    for old in [*users, node]:
        source.graph.erase_node(old)


def _value(held: Arguments, value: Any) -> Any:
    """An argument, with the tensor in place of a parameter; None for what the network computes."""
    return held.get(str(value.target)) if isinstance(value, Fx) else value


# ---- layers --------------------------------------------------------------------------------
def _conv(values: Arguments, node: Fx) -> nn.Module:
    weight, groups = values["weight"], values["groups"]
    padding = values["padding"]
    part = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]),
        tuple(values["stride"]), padding if isinstance(padding, str) else tuple(padding),
        tuple(values["dilation"]), groups, values["bias"] is not None)
    return _filled(part, values)


def _linear(values: Arguments, node: Fx) -> nn.Module:
    outputs, inputs = values["weight"].shape
    return _filled(nn.Linear(inputs, outputs, values["bias"] is not None), values)


def _norm(values: Arguments, node: Fx) -> nn.Module:
    dimensions = len(arguments(node)["input"].meta["val"].shape)
    kind = nn.BatchNorm2d if dimensions == 4 else nn.BatchNorm1d
    part = kind(len(values["running_mean"]), values["eps"], values["momentum"],
                values["weight"] is not None)
    return _filled(part, values)


def _filled(part: nn.Module, values: Arguments) -> nn.Module:
    with torch.no_grad():
        for name, tensor in [*part.named_parameters(), *part.named_buffers()]:
            if name in values:
                tensor.copy_(values[name])
    return part


MAKERS: dict[str, Callable[[Arguments, Fx], nn.Module]] = {
    "conv2d": _conv, "linear": _linear, "batch_norm": _norm,
    "_native_batch_norm_legit_no_training": _norm}
# the argument that names a layer, where it is not its weight
OWNERS = {"batch_norm": "running_mean", "_native_batch_norm_legit_no_training": "running_mean"}
