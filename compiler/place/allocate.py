"""Memory rows for every tensor: first fit over the time in which it lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ...arch.config import Config
from ..errors import Need, power_of_two
from ..lower.scaling import Scaled
from .layouts import Placed, layouts
from .lives import Life
from .splits import split

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


def allocate(placed: Placed) -> Placed:
    """The layouts with addresses, in as many rows as that takes."""
    first, needed = pack(placed.lives)
    return dataclasses.replace(placed, taken=needed, layouts=tuple(
        dataclasses.replace(layout, first_row=row, base=layout.base + row * placed.config.row_codes)
        for layout, row in zip(placed.layouts, first, strict=True)))


def fullest(tensors: list[Life], layers: int) -> tuple[int, list[int]]:
    """The first of the layers at which most rows are taken, and the tensors then, largest first."""
    taken = [sum(t.rows for t in tensors if t.birth <= i <= t.death) for i in range(layers)]
    layer = taken.index(max(taken))
    then = [i for i, t in enumerate(tensors) if t.birth <= layer <= t.death]
    return layer, sorted(then, key=lambda i: -tensors[i].rows)


def lacking_memory(placed: Placed, batch: int) -> list[Need]:
    """Is the activation memory too small?"""
    config, needed = placed.config, rows_needed(placed)
    if needed <= config.rows:
        return []
    net, tensors = placed.split.net, placed.lives
    layer, then = fullest(tensors, len(net.layers))
    sizes = [f"{net.values[i].name} ({tensors[i].rows * config.row_codes:,} codes)" for i in then]
    listed = ", ".join(sizes[:LISTED]) + (f" and {len(sizes) - LISTED} more"
                                          if len(sizes) > LISTED else "")
    images = f" at batch {batch}" if batch > 1 else ""
    return [Need("memory_codes", power_of_two(needed * config.row_codes), net.paths[layer],
                 f"the tensors that live with it{images}, {listed}, do not fit",
                 "give it smaller images or fewer channels",
                 _fewer_images(placed.split.scaled, config, batch))]


def _fewer_images(net: Scaled, config: Config, batch: int) -> str:
    """What a smaller batch would do, if there is one."""
    if batch == 1:
        return ""

    def fits(images: int) -> bool:
        halves = split(net, images, config.codes)
        return rows_needed(layouts(halves, config, images)) <= config.rows

    largest = _largest(batch, fits)
    return f", or a batch of at most {largest}" if largest else "; no batch fits"


def _largest(batch: int, fits: Callable[[int], bool]) -> int:
    """The largest number of images below `batch` that fits, 0 if none does."""
    low, high = 0, batch
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
