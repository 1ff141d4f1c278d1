"""The page of what is supported, docs/supported.md, generated from `supported.py`.

`python -m kcnn.compiler.pages` rewrites it, in a checkout; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..arch.pages import table
from .frontend.supported import ADVICE, ADVICE_OF_LAYERS, LAYERS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "supported.md"

HEAD = """\
# What is supported

*Generated from `compiler/frontend/supported.py` by `python -m kcnn.compiler.pages`; do not edit.*

A network takes one floating-point tensor (N, C, H, W) and returns one or more tensors that are
computed from it, whole maps or flattened behind the batch, in any tuple, list or dictionary. Sizes
are fixed, a dynamic batch excepted. An export may be as torch makes it, or taken apart into core
operations by `run_decompositions()`: both are the same network. What does not depend on the input
is computed by torch while compiling, so weights may be normalised, masked or put together.
Arithmetic in half or double precision is taken as what it says in real numbers.

All the kernels, ceil modes, paddings and divisors that torch takes are exact here within the limits
below: what a padded or cut window counts is what torch counts."""

LAST = """
A constant that scales the network's input, as in (x - mean) / std, belongs into the `preprocess` of
the model: in front of a convolution with padding it is a layer of its own, which rounds the image
to codes.

What lives in the activation memory at the same time must fit: the message says which `memory_codes`
would do. Everything else is refused with its module, and the file and line that call it."""


def supported_page() -> str:
    """The text of docs/supported.md."""
    return "\n".join(_lines()) + "\n"


def write_supported_page() -> Path:
    """Write docs/supported.md of this checkout; returns its path."""
    PAGE.write_text(supported_page())
    return PAGE


def _lines() -> Iterator[str]:
    yield from (HEAD, "", "## Layers and functions", "")
    yield from table(("in torch", "what holds", "operations of an export"),
                     ((name, *_layer(name))
                      for name in dict.fromkeys(layer.name for layer in LAYERS if layer.name)))
    yield from (LAST, "", "## What to do instead", "")
    yield from table(("layers, operations of an export", "advice"),
                     ((_codes(operations), advice) for advice, operations in _advised().items()))


def _layer(name: str) -> tuple[str, str]:
    """Limits and operations of all entries of a name."""
    entries = [layer for layer in LAYERS if layer.name == name]
    limits = "; ".join(layer.limits for layer in entries if layer.limits)
    return limits, _codes([operation for layer in entries for operation in layer.operations])


def _advised() -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for word, advice in (*ADVICE_OF_LAYERS.items(), *ADVICE.items()):
        out.setdefault(advice, []).append(word)
    return out


def _codes(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    print(write_supported_page())
