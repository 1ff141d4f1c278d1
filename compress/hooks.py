"""Networks that are looked into while they run: hooks that go away again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Hooks that are there while inside."""
    handles = list(handles)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """Inference mode while inside, then the mode that the module was in."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def reading(layers: Mapping[str, nn.Module], changes: Mapping[str, Callable[[Tensor], Tensor]]
            ) -> Iterator[None]:
    """While inside, the layers named in `changes` read what these make of their input."""
    def change(made: Callable[[Tensor], Tensor]) -> Any:
        return lambda part, arguments: (made(arguments[0]), *arguments[1:])

    with hooked([layers[name].register_forward_pre_hook(change(made))
                 for name, made in changes.items()]):
        yield
