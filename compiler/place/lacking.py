"""Is the activation memory too small, and what would do?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ...arch.config import MOST, Config
from ..errors import CompileError, Need
from ..lower.scaling import Scaled
from .allocate import arrange
from .bands import Bands, Part
from .homes import Home
from .layouts import Placed, layouts
from .splits import split
from .tile import tile

# tensors that a sentence names
LISTED = 4


def lacking_memory(placed: Placed, batch: int) -> list[Need]:
    """What is lacking, if it is. placed: all on chip, not tiled."""
    config, tiled = placed.config, tile(placed)
    failing = arrange(tiled).failing
    if failing is None:
        return []
    path = placed.split.net.paths[failing]
    images = f" at batch {batch}" if batch > 1 else ""
    what = (f"what it needs at once{images}, {_listed(tiled, failing)}, does not fit")
    other = _fewer_images(placed.split.scaled, config, batch)
    least = _least(placed)
    if least is None:
        raise CompileError(f"layer {path}: {what} memory_codes = {MOST['memory_codes']}, the most "
                           f"that a machine has; give it smaller images or fewer channels{other}")
    return [Need("memory_codes", least, path, what, "give it smaller images or fewer channels",
                 other)]


def _least(placed: Placed) -> int | None:
    """The least memory in which the network fits, if there is one."""
    codes = placed.config.memory_codes * 2
    while codes <= MOST["memory_codes"]:
        config = dataclasses.replace(placed.config, memory_codes=codes)
        if arrange(tile(dataclasses.replace(placed, config=config))).failing is None:
            return codes
        codes *= 2
    return None


def _listed(placed: Placed, number: int) -> str:
    """What a layer has on chip in its smallest band, largest first."""
    bands, layer = Bands(placed, number), placed.split.net.layers[number]
    *_, least = bands.sizes()
    band = bands.cut(least)[0]
    values = dict.fromkeys([*(source.tensor for source in layer.sources), layer.output])
    sizes = []
    for value in values:
        part = bands.part(value, band) if value in bands.outside else None
        codes = (part or placed.layouts[value]).rows * placed.config.row_codes
        sizes.append((codes, f"{_said(placed, value, part)} ({codes:,} codes)"))
    texts = [text for _, text in sorted(sizes, key=lambda size: -size[0])]
    return ", ".join(texts[:LISTED]) + (f" and {len(texts) - LISTED} more"
                                        if len(texts) > LISTED else "")


def _said(placed: Placed, value: int, part: Part | None) -> str:
    name = placed.split.net.values[value].name
    if part is None:
        return name
    unit = "line" if placed.homes[value] == Home.LINES else "channel"
    count = part.span[1] - part.span[0]
    return f"{count} {unit}{'s' * (count > 1)} of {name}"


def _fewer_images(net: Scaled, config: Config, batch: int) -> str:
    """What a smaller batch would do, if there is one."""
    if batch == 1:
        return ""

    def fits(images: int) -> bool:
        halves = split(net, images, config.codes)
        return arrange(tile(layouts(halves, config, images))).failing is None

    largest = _largest(batch, fits)
    return f", or a batch of at most {largest}" if largest else "; no batch fits"


def _largest(batch: int, fits: Callable[[int], bool]) -> int:
    """The largest number of images below `batch` that fits, 0 if none does."""
    low, high = 0, batch
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
