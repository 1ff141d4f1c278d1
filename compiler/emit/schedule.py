"""The order of work: which RUNs compute each layer, and when memory is filled with pads.

Layers stay in the order of the graph, which is topological. A layer is one RUN for each part of its
channels (where the base table is too small for all), residue of its outputs and piece.
"""

from __future__ import annotations

import dataclasses

from ...arch import isa
from ...arch.columns import columns, dims
from ...arch.config import Config
from ...arch.kind import Kind
from ...arch.layout import Layout
from ...arch.program import Layer, Piece
from ..errors import too_small
from ..lower.lowered import Ints, Value
from ..place.layouts import Placed
from ..place.splits import Walk
from .addressing import Addressing, lacking_entries


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One RUN: channels first..end-1 of a layer, one residue of one piece.

    entries: the base entries that it reads, of all that the layer has.
    """

    layer: int
    first: int
    end: int
    entries: Ints
    phase: tuple[int, int]
    piece: int


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Jobs in order; addressing of every layer; tensors to fill before a layer starts."""

    placed: Placed
    jobs: tuple[Job, ...]
    addressing: tuple[Addressing, ...]
    fills: dict[int, int]

    def __str__(self) -> str:
        """A line a RUN: what it computes, and how many entries of the tables it reads."""
        return columns(("RUN", "of", "channels", "lines", "columns", "residue", "bases", "offsets",
                        "fills before"), (
            (number, *self._row(job, number == 0 or self.jobs[number - 1].layer != job.layer))
            for number, job in enumerate(self.jobs)))

    def _row(self, job: Job, first: bool) -> tuple[object, ...]:
        net, addressing = self.placed.split.net, self.addressing[job.layer]
        layer = net.layers[job.layer]
        area = pieces(layer, net.values[layer.output])[job.piece]
        filled = self.fills.get(job.layer) if first else None
        return (layer.name, _range(job.first, job.end - job.first), _range(area.y, area.height),
                _range(area.x, area.width), dims(job.phase) if addressing.phases()[1:] else "",
                len(job.entries), addressing.blocks.slots,
                "" if filled is None else net.values[filled].name)


def schedule(placed: Placed, config: Config) -> Schedule:
    """The RUNs of all layers; CompileError where a channel reads more than the base table holds."""
    addressing = addressings(placed)
    needs = lacking_entries(addressing, config)
    if needs:
        raise too_small(config, needs)
    net = placed.split.net
    outputs = {value for _, value in net.outputs}
    jobs: list[Job] = []
    fills = {}
    for i, (layer, walk, found) in enumerate(zip(net.layers, placed.split.walks, addressing,
                                                 strict=True)):
        jobs += [Job(i, first, end, entries, phase, piece)
                 for first, end, entries in found.parts() for phase in found.phases()
                 for piece, area in enumerate(pieces(layer, net.values[layer.output]))
                 if _outputs(area, phase, walk)]
        if placed.padded[layer.output] or (layer.output in outputs and not _full(
                placed.kinds[layer.output], placed.layouts[layer.output], config)):
            fills[i] = layer.output
    return Schedule(placed, tuple(jobs), addressing, fills)


def addressings(placed: Placed) -> tuple[Addressing, ...]:
    """That of every layer; addresses of tensors do not count yet."""
    net = placed.split.net
    return tuple(Addressing(layer, path, placed, walk, placed.config) for layer, path, walk
                 in zip(net.layers, net.paths, placed.split.walks, strict=True))


def _range(first: int, count: int) -> str:
    return f"{first}..{first + count - 1}"


def pieces(layer: Layer, output: Value) -> tuple[Piece, ...]:
    """The layer's pieces; for a maximum one of no numbers that covers everything."""
    channels, height, width = output.shape
    return layer.pieces or (Piece(0, 0, height, width, (0,) * channels, (0,) * channels),)


def _full(kind: Kind, layout: Layout, config: Config) -> bool:
    """Elements are all there is in the allocation; otherwise a STORE would read unwritten cells."""
    return kind.size == layout.rows * config.row_codes


def _residue(start: int, count: int, q: int, phase: int) -> tuple[int, int]:
    """First output >= start that is phase mod q, and how many of them lie in the stretch."""
    first = start + (phase - start) % q
    return first, max(0, -(-(start + count - first) // q))


def _outputs(piece: Piece, phase: tuple[int, int], walk: Walk) -> bool:
    return bool(_residue(piece.y, piece.height, walk.qy, phase[0])[1]
                and _residue(piece.x, piece.width, walk.qx, phase[1])[1])


def geometry(job: Job, order: Schedule, origin: int, config: Config) -> dict[str, int]:
    """The operands of a RUN that say where it reads and writes."""
    net, walk = order.placed.split.net, order.placed.split.walks[job.layer]
    layer = net.layers[job.layer]
    target = order.placed.layouts[layer.output]
    images = order.placed.kinds[layer.output].images
    source = layer.sources[0].tensor
    fields = (_flat(target, images) if walk.flat else
              _raster(pieces(layer, net.values[layer.output])[job.piece], job.phase, walk, target,
                      order.placed.pitches[source], order.placed.rows[source], images))
    fields["origin"] += origin
    fields["dst"] += target.base + job.first * target.channel
    fields |= {"dst_channel": target.channel, "dst_plane": target.plane,
               **isa.chunk_fields(config.lanes, fields["pitch"], fields["image_rows"])}
    addresses = isa.Run.addresses()
    return {name: value % config.memory_codes if name in addresses else value
            for name, value in fields.items()}


def _flat(target: Layout, images: int) -> dict[str, int]:
    """One row whose columns are the images."""
    return {"origin": 0, "dst": 0, "pitch": images, "image_rows": 1, "images": 1,
            "height": 1, "width": images, "dst_image": 0, "x_step": target.image,
            "x_wrap": 0, "y_step": 0, "y_wrap": 0, "split": 1, "x_start": 0, "x_mod": 0,
            "y_start": 0, "y_mod": 0}


def _raster(piece: Piece, phase: tuple[int, int], walk: Walk, target: Layout, pitch: int,
            image_rows: int, images: int) -> dict[str, int]:
    """Every q-th output of the piece, from the residue's first one on."""
    y, height = _residue(piece.y, piece.height, walk.qy, phase[0])
    x, width = _residue(piece.x, piece.width, walk.qx, phase[1])
    split = target.split
    return {
        "origin": (y // walk.qy) * pitch + x // walk.qx,
        "dst": int(target.offset(y, x)),
        "pitch": pitch, "image_rows": image_rows, "images": images,
        "height": height, "width": width, "dst_image": target.image,
        "x_step": walk.qx // split * target.column + walk.qx % split * target.phase_x,
        "x_wrap": target.column - split * target.phase_x if split > 1 else 0,
        "y_step": walk.qy // split * target.row + walk.qy % split * target.phase_y,
        "y_wrap": target.row - split * target.phase_y if split > 1 else 0,
        "split": split, "x_start": x % split, "x_mod": walk.qx % split,
        "y_start": y % split, "y_mod": walk.qy % split}


def kind(layer: Layer, order: int) -> dict[str, int]:
    """The operands of a RUN that say what it does with its sums. order: of the sources' codes."""
    return {"mode": layer.mode, "shift": layer.shift // 2, "digits": layer.digits,
            "radix_width": layer.radix_width if layer.mode == isa.Mode.RADIX else 0,
            "order": order if layer.mode == isa.Mode.PASS else 0}
