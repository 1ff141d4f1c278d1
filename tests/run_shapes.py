"""Random geometry of a RUN: raster, chunks, and destinations that never meet."""

from __future__ import annotations

import dataclasses

import numpy as np
from kcnn.arch import isa
from kcnn.arch.config import Config

Fields = dict[str, int]


class Draw:
    """Random numbers for one program, and the sizes that it may draw."""

    def __init__(self, rng: np.random.Generator, config: Config, channels: int,
                 positions: int) -> None:
        self.rng, self.config = rng, config
        self.most_channels, self.positions = channels, positions

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, low: int, high: int) -> int:
        """Uniform from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def few(self, high: int) -> int:
        """From 1 to high, small numbers more often."""
        return min(self.pick(1, high), self.pick(1, high))


PHASES = ("split", "x_start", "x_mod", "y_start", "y_mod")


@dataclasses.dataclass(frozen=True)
class Shape:
    """A RUN's geometry: fields; source codes a tap reads over; destination fields and codes."""

    channels: int
    fields: Fields
    extent: int
    destination: tuple[Fields, int]


def draw_shape(draw: Draw, mode: isa.Mode) -> Shape:
    config, pick, few = draw.config, draw.pick, draw.few
    images, pitch, image_rows = few(3), few(14), few(8)
    height = image_rows if draw.chance(0.4) else pick(1, image_rows)
    width = pitch if draw.chance(0.4) else pick(1, pitch)
    if images * image_rows * pitch > draw.positions:
        images = 1
    raster = image_rows * pitch
    digits = pick(1, 4) if mode == isa.Mode.RADIX else 1
    channels = few(draw.most_channels)

    def width_of(digits: int) -> int:
        return pick(2, min(16, digits * config.code_bits))
    fields = {
        "shift": pick(0, 3), "digits": digits,
        "order": pick(0, config.codes - 1) if mode == isa.Mode.PASS else 0,
        "radix_width": width_of(digits) if mode == isa.Mode.RADIX else 0,
        "pitch": pitch, "image_rows": image_rows, "images": images, "height": height,
        "width": width, "chunk_images": config.lanes // raster,
        "chunk_rows": config.lanes % raster // pitch, "chunk_columns": config.lanes % pitch,
        "image_pitch": raster % config.memory_codes,
        "chunk_pitch": config.lanes // raster * raster % config.memory_codes}
    extent = (images - 1) * raster + (height - 1) * pitch + width
    return Shape(channels, fields, extent,
                  _destination(draw, channels, digits, images, height, width))


def _destination(draw: Draw, channels: int, digits: int, images: int, height: int,
                 width: int) -> tuple[Fields, int]:
    """Destination fields (dst counted from the region's first cell) and the region's size.

    Every dimension gets its own stride, in random order, sign and spacing, so no two elements meet.
    """
    pick, chance = draw.pick, draw.chance
    split = pick(1, 4) if chance(0.5) else 1
    q = {axis: pick(1, 5) if split > 1 else 1 for axis in "yx"}
    first = {axis: pick(0, 5) if chance(0.3) else 0 for axis in "yx"}
    last = {"y": first["y"] + q["y"] * (height - 1), "x": first["x"] + q["x"] * (width - 1)}
    sizes = {"channel": channels, "plane": digits, "image": images}
    for axis in "yx":
        sizes[axis] = last[axis] // split + 1
        sizes[axis + "phase"] = split
    names = list(sizes)
    if chance(0.6):
        draw.rng.shuffle(names)
    else:
        names = names[::-1]
    strides, extent, base = {}, 1, 0
    for name in names:
        stride = extent + (pick(0, 3) if chance(0.2) else 0)
        extent = stride * (sizes[name] - 1) + extent
        down = chance(0.1)
        base += stride * (sizes[name] - 1) if down else 0
        strides[name] = -stride if down else stride
    fields = {"dst": base, "dst_channel": strides["channel"], "dst_plane": strides["plane"],
              "dst_image": strides["image"], "split": split}
    for axis in "yx":
        step, phase = strides[axis], strides[axis + "phase"]
        fields["dst"] += first[axis] // split * step + first[axis] % split * phase
        fields[axis + "_step"] = q[axis] // split * step + q[axis] % split * phase
        fields[axis + "_wrap"] = step - split * phase
        fields[axis + "_start"] = first[axis] % split
        fields[axis + "_mod"] = q[axis] % split
    return fields, extent
