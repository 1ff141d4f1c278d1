"""A float network as the user gives it: a module, an export, or the name of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..arch.errors import KcnnError
from .names import Names

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from ..compiler.frontend.model import Model

Network: TypeAlias = "torch.nn.Module | ExportedProgram | str | Path"
Preprocess = Callable[[Any], Any]


def load(network: Network, preprocess: Preprocess | None = None, trust: bool = False) -> Model:
    """A network by name, or as it is; preprocess: of one that has no name. Raises KcnnError."""
    import torch

    from ..compiler.frontend.model import Model, load_model
    if isinstance(network, str | Path):
        return load_model(str(network), trust)
    if not isinstance(network, torch.nn.Module | torch.export.ExportedProgram):
        raise KcnnError(f"the model is a {type(network).__name__}; give a torch.nn.Module, an "
                        "export of torch.export, the path of a .pt2 file, or file.py:function")
    return Model(network, (), preprocess)


def telling(model: Model) -> Model:
    """The model, if it says without images what it takes; KcnnError for a module alone."""
    import torch
    if isinstance(model.module, torch.nn.Module) and not model.example_inputs:
        raise KcnnError("calibration: a module alone does not say what it takes; give images, or "
                        "an export of torch.export in its place")
    return model


def fitted(model: Model, network: Network, image: tuple[int, ...]) -> Model:
    """The model with an example input: a module alone does not say what it takes. image: a shape.
    """
    import torch
    if not isinstance(network, torch.nn.Module):
        return model
    return model._replace(example_inputs=(torch.zeros(1, *image),))


def name_of(network: Network) -> str:
    """How a network is called in a binary: the file or function, or the module's class."""
    return Path(network).name if isinstance(network, str | Path) else type(network).__name__


def golden_name(network: Network, names: Names) -> str:
    """How messages name a float network that a binary is compared with."""
    spec = f" {network}" if isinstance(network, str | Path) else ""
    return names.option("golden") + spec


def model_name(network: Network) -> str:
    """How messages name a network that is compiled."""
    return f"model {network}" if isinstance(network, str | Path) else "the model"
