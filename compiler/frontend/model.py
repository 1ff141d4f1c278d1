"""The user's network by name: a `.pt2` file or a function that makes it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram

from ..errors import CompileError, first_line
from . import archive
from .preprocess import noted
from .quiet import quiet
from .shapes import check_shapes


class Model(NamedTuple):
    """A network as the user gives it.

    example_inputs: tensors that it takes; none for a .pt2 file, which says itself what it takes.
    preprocess: what turns raw data into the network's input, None where nothing does; a .pt2 file
    that `kcnn compress` wrote has a note of it.
    """

    module: torch.nn.Module | ExportedProgram
    example_inputs: tuple[torch.Tensor, ...]
    preprocess: Callable[[Any], Any] | None = None


def load_model(spec: str, trust: bool = False) -> Model:
    """The model of `net.pt2`, `package.module:function` or `folder/file.py:function`.

    The function takes nothing and returns (nn.Module, example inputs[, preprocess]). The current
    folder and that of the file can be imported from: these two run the user's code. A .pt2 file
    runs none, unless it is trusted. Raises CompileError.
    """
    if spec.endswith(".pt2"):
        data = _read(spec)
        return Model(_load_export(spec, data, trust), (), noted(data, f"model {spec}"))
    source, colon, name = spec.rpartition(":")
    if not colon or not source or not name.isidentifier():
        raise CompileError(f"model {spec!r}: neither a .pt2 file nor module:function; write for "
                           "example net.pt2, package.module:network or folder/file.py:network")
    with _importable(Path.cwd(), Path(source).parent):
        return _checked(spec, _call(spec, _import(spec, source), name))


def _load_export(path: str, data: bytes, trust: bool) -> ExportedProgram:
    if not trust:
        data = archive.harmless(data, f"model {path}")
    exported = _load_archive(path, data)
    try:
        with quiet():
            check_shapes(exported)
    except Exception as error:
        raise CompileError(f"model {path}: the file contradicts itself ({first_line(error)}); "
                           "write it again with torch.export.save") from error
    return exported


def _load_archive(path: str, data: bytes) -> ExportedProgram:
    try:
        with quiet():
            return torch.export.load(io.BytesIO(data))
    except Exception as error:
        # of what goes wrong in its reader, torch says no more than that it warned
        said = "" if isinstance(error, RuntimeError) else f" ({first_line(error)})"
        raise CompileError(f"model {path}: torch.export cannot load it{said}; write it with "
                           f"torch.export.save of torch {torch.__version__}") from error


def _read(path: str) -> bytes:
    if not Path(path).is_file():
        raise CompileError(f"model {path}: there is no such file")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CompileError(f"model {path}: cannot be read ({error.strerror or error}); give the "
                           "path of a .pt2 file") from None


@contextlib.contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    """Modules of the folders can be imported, the first folder's first."""
    before = sys.path.copy()
    sys.path[:0] = [str(folder.resolve()) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = before


def _import(spec: str, source: str) -> ModuleType:
    try:
        if source.endswith(".py"):
            return _import_file(spec, Path(source))
        return importlib.import_module(source)
    except CompileError:
        raise
    except Exception as error:
        raise CompileError(f"model {spec}: {source} cannot be imported ({type(error).__name__}: "
                           f"{first_line(error)})") from error


def _import_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise CompileError(f"model {spec}: there is no file {path}")
    name = f"kcnn_model_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _call(spec: str, module: ModuleType, name: str) -> Any:
    function = getattr(module, name, None)
    if not callable(function):
        raise CompileError(f"model {spec}: {module.__name__.removeprefix('kcnn_model_')} has no "
                           f"function {name}")
    try:
        return function()
    except Exception as error:
        raise CompileError(f"model {spec}: {name}() fails ({type(error).__name__}: "
                           f"{first_line(error)})") from error


def _checked(spec: str, made: Any) -> Model:
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise CompileError(f"model {spec}: it must return (nn.Module, example inputs) or "
                           "(nn.Module, example inputs, preprocess), found "
                           f"{_described(made)}")
    module, examples, preprocess = (*made, None)[:3]
    if not isinstance(module, torch.nn.Module | ExportedProgram):
        raise CompileError(f"model {spec}: the first thing that it returns must be a "
                           f"torch.nn.Module, found {_described(module)}")
    examples = (examples,) if isinstance(examples, torch.Tensor) else examples
    if not isinstance(examples, tuple | list) or not all(
            isinstance(example, torch.Tensor) for example in examples):
        raise CompileError(f"model {spec}: its example inputs must be a tuple of tensors, found "
                           f"{_described(examples)}")
    if preprocess is not None and not callable(preprocess):
        raise CompileError(f"model {spec}: its preprocess must be a function, found "
                           f"{_described(preprocess)}")
    return Model(module, tuple(examples), preprocess)


def _described(value: Any) -> str:
    if isinstance(value, tuple | list):
        kinds = ", ".join(type(item).__name__ for item in value) or "nothing"
        return f"a {type(value).__name__} of {kinds}"
    return type(value).__name__
