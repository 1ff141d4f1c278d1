"""Memory rows for every tensor: first fit over the time in which it lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ...arch.config import Config
from ..errors import CompileError, too_small
from .layouts import Placed
from .lives import Life

# tensors that a sentence names
LISTED = 4


def first_fit(tensors: list[Life], order: list[int]) -> list[int]:
    """First rows when tensors are placed in this order, each as low as it fits."""
    first = [0] * len(tensors)
    done: list[int] = []
    for i in order:
        taken = sorted((first[j], first[j] + tensors[j].rows) for j in done
                       if tensors[i].meets(tensors[j]))
        at = 0
        for low, high in taken:
            if at + tensors[i].rows <= low:
                break
            at = max(at, high)
        first[i] = at
        done.append(i)
    return first


def pack(tensors: list[Life]) -> tuple[list[int], int]:
    """First rows and the rows needed in all; the best of a few orders."""
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (tensors[i].birth, -tensors[i].rows, i),
        lambda i: (-tensors[i].rows, i),
        lambda i: (tensors[i].birth - tensors[i].death, -tensors[i].rows, i)]
    plans = [first_fit(tensors, sorted(range(len(tensors)), key=key)) for key in keys]
    sizes = [max(f + t.rows for f, t in zip(plan, tensors, strict=True)) for plan in plans]
    best = sizes.index(min(sizes))
    return plans[best], sizes[best]


def rows_needed(placed: Placed) -> int:
    """Memory rows that the network takes."""
    return pack(placed.lives)[1]


def allocate(placed: Placed, config: Config, batch: int, fits: Callable[[int], bool]) -> Placed:
    """The layouts with addresses; CompileError where the memory is too small.

    fits: does the network fit with this number of images (asked to say the largest that does)?
    """
    tensors = placed.lives
    first, needed = pack(tensors)
    if needed > config.rows:
        raise CompileError(_too_large(placed, tensors, needed, config, batch, fits))
    return dataclasses.replace(placed, taken=needed, layouts=tuple(
        dataclasses.replace(layout, first_row=row, base=layout.base + row * config.row_codes)
        for layout, row in zip(placed.layouts, first, strict=True)))


def fullest(tensors: list[Life], layers: int) -> tuple[int, list[int]]:
    """The first of the layers at which most rows are taken, and the tensors then, largest first."""
    taken = [sum(t.rows for t in tensors if t.birth <= i <= t.death) for i in range(layers)]
    layer = taken.index(max(taken))
    then = [i for i, t in enumerate(tensors) if t.birth <= layer <= t.death]
    return layer, sorted(then, key=lambda i: -tensors[i].rows)


def _too_large(placed: Placed, tensors: list[Life], needed: int, config: Config, batch: int,
               fits: Callable[[int], bool]) -> str:
    net = placed.split.net
    layer, then = fullest(tensors, len(net.layers))
    sizes = [f"{net.values[i].name} ({tensors[i].rows * config.row_codes:,} codes)" for i in then]
    listed = ", ".join(sizes[:LISTED]) + (f" and {len(sizes) - LISTED} more"
                                          if len(sizes) > LISTED else "")
    least = 1 << (needed * config.row_codes - 1).bit_length()
    images = f" at batch {batch}" if batch > 1 else ""
    end = too_small(config, "memory_codes", least, "give it smaller images or fewer channels")
    text = (f"layer {net.paths[layer]}: the tensors that live with it{images}, {listed}, do not "
            f"fit {end}")
    if batch == 1:
        return text
    largest = _largest(batch, fits)
    return text + (f", or a batch of at most {largest}" if largest else "; no batch fits")


def _largest(batch: int, fits: Callable[[int], bool]) -> int:
    """The largest number of images below `batch` that fits, 0 if none does."""
    low, high = 0, batch
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
