"""The order of work: which RUNs compute each layer, and when memory is filled with pads.

Layers stay in the order of the graph, which is topological. A layer is one RUN for each part of its
channels (where the base table is too small for all), residue of its outputs and piece; of each
band, where it works in bands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ...arch import isa
from ...arch.columns import columns, dims
from ...arch.config import Config
from ...arch.kind import Kind
from ...arch.layout import Layout
from ...arch.place import Box
from ...arch.program import Layer, Piece
from ..errors import too_small
from ..lower.lowered import Ints, Value
from ..place.bands import Bands
from ..place.homes import Home
from ..place.layouts import Placed
from ..place.splits import Walk
from .addressing import Addressing, lacking_entries

PITCH_BITS = isa.Run.field("pitch").width


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One RUN: channels first..end-1 of a layer, some lines, one residue of one piece.

    entries: the base entries that it reads, of all that the layer has. band: that it is of; y,
    height: its lines. ahead: the layer and the band for which it packs lines, if it does.
    """

    layer: int
    first: int
    end: int
    entries: Ints
    phase: tuple[int, int]
    piece: int
    band: Box
    y: int
    height: int
    ahead: tuple[int, Box] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Jobs in order; addressing and bands of every layer; tensors to fill before a layer starts."""

    placed: Placed
    jobs: tuple[Job, ...]
    addressing: tuple[Addressing, ...]
    bands: tuple[Bands, ...]
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
        area = self.area(job)
        filled = self.fills.get(job.layer) if first else None
        return (layer.name, _range(job.first, job.end - job.first), _range(area.y, area.height),
                _range(area.x, area.width), dims(job.phase) if addressing.phases()[1:] else "",
                len(job.entries), addressing.slots,
                "" if filled is None else net.values[filled].name)

    def area(self, job: Job) -> Piece:
        """The lines of its piece that a job computes."""
        net = self.placed.split.net
        layer = net.layers[job.layer]
        return _within(pieces(layer, net.values[layer.output])[job.piece], job.y, job.height)


def schedule(placed: Placed, config: Config) -> Schedule:
    """The RUNs of all layers; CompileError where a channel reads more than the base table holds."""
    addressing = addressings(placed)
    needs = lacking_entries(addressing, config)
    if needs:
        raise too_small(config, needs)
    net = placed.split.net
    outputs = {value for _, value in net.outputs}
    bands = tuple(Bands(placed, number) for number in range(len(net.layers)))
    jobs = [job for number in range(len(net.layers)) if not placed.packs(number)
            for job in _jobs(placed, bands, addressing, number)]
    fills = {number: layer.output for number, layer in enumerate(net.layers)
             if placed.homes[layer.output] == Home.CHIP
             and (placed.margins[layer.output].padded or (layer.output in outputs and not _full(
                 placed.kinds[layer.output], placed.layouts[layer.output], config)))}
    return Schedule(placed, tuple(jobs), addressing, bands, fills)


def _jobs(placed: Placed, bands: Sequence[Bands], found: Sequence[Addressing], number: int
          ) -> Iterator[Job]:
    """The RUNs of a layer, band after band, each behind those that pack lines for it."""
    copies = placed.packing(number)
    parts = {one: found[one].parts() for one in (number, *copies)}
    for band in placed.bands_of(number):
        for copy in copies:
            for some in bands[number].packed_lines(bands[copy], band):
                for job in _of_band(placed, bands[copy], found[copy], parts[copy], some):
                    yield dataclasses.replace(job, ahead=(number, band))
        yield from _of_band(placed, bands[number], found[number], parts[number], band)


def _of_band(placed: Placed, bands: Bands, found: Addressing, parts: list[tuple[int, int, Ints]],
             band: Box) -> Iterator[Job]:
    number, net = bands.number, placed.split.net
    layer, walk = net.layers[number], placed.walk(number)
    for first, end, entries in _cut(parts, band, found):
        for y, height in _stretches(placed, bands, band):
            for phase in found.phases():
                for piece, area in enumerate(pieces(layer, net.values[layer.output])):
                    area = _within(area, y, height)
                    if area.height > 0 and _outputs(area, phase, walk):
                        yield Job(number, first, end, entries, phase, piece, band, y, height)


def _cut(parts: list[tuple[int, int, Ints]], band: Box, found: Addressing
         ) -> Iterator[tuple[int, int, Ints]]:
    """The parts of a layer's channels that are in a band, with the entries that these read."""
    low, high = band.channel, band.channel + band.channels
    for first, end, entries in parts:
        if low <= first and end <= high:
            yield first, end, entries
        elif max(low, first) < min(high, end):
            yield (max(low, first), min(high, end),
                   found.used(max(low, first), min(high, end)))


def _stretches(placed: Placed, bands: Bands, band: Box) -> list[tuple[int, int]]:
    """Lines that a RUN computes together: of lines, one where those of its sources are not all as
    far apart, or beyond the reach of a pitch, or hold several images."""
    together = not placed.by_lines(bands.number) or (
        placed.batch == 1 and bands.step is not None and bands.step < 1 << PITCH_BITS)
    if together:
        return [(band.y, band.height)]
    return [(y, 1) for y in range(band.y, band.y + band.height)]


def _within(piece: Piece, y: int, height: int) -> Piece:
    """The lines of a piece among these; a height below 1 for none."""
    first, end = max(piece.y, y), min(piece.y + piece.height, y + height)
    return dataclasses.replace(piece, y=first, height=end - first)


def addressings(placed: Placed) -> tuple[Addressing, ...]:
    """That of every layer; addresses of tensors do not count yet."""
    net = placed.split.net
    return tuple(Addressing(layer, path, [placed.layouts[s.tensor] for s in layer.sources],
                            [placed.kinds[s.tensor] for s in layer.sources], placed.walk(number),
                            placed.config)
                 for number, (layer, path) in enumerate(zip(net.layers, net.paths, strict=True)))


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


def geometry(job: Job, order: Schedule, target: Layout, origin: int, config: Config
             ) -> dict[str, int]:
    """The operands of a RUN that say where it reads and writes. target: where its outputs lie,
    from the tensor's first line and channel on."""
    placed = order.placed
    layer = placed.split.net.layers[job.layer]
    source = layer.sources[0].tensor
    images, pitch = placed.kinds[layer.output].images, placed.pitches[source]
    walk, area = placed.walk(job.layer), order.area(job)
    if walk.flat:
        fields = _flat(target, images)
    elif placed.by_lines(job.layer):
        fields = _by_lines(area, job, walk, target, order.bands[job.layer].step, pitch, images)
    else:
        fields = _raster(area, job.phase, walk, target, pitch, placed.rows[source], images)
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


def _by_lines(area: Piece, job: Job, walk: Walk, target: Layout, step: int | None, pitch: int,
              images: int) -> dict[str, int]:
    """Outputs whose sources are lines: tables are for the band's first line, a further line is a
    step away. One line holds images one after the other, several that of a single image."""
    down = (area.y - job.band.y) * (step or 0)
    fields = _raster(area, job.phase, walk, target, step or pitch, area.height, 1)
    fields["origin"] += down - area.y * (step or pitch)
    if area.height > 1:
        return fields
    return fields | {"pitch": pitch, "image_rows": images, "height": images,
                     "y_step": target.image, "y_wrap": 0, "y_start": 0, "y_mod": 0}


def kind(layer: Layer, order: int) -> dict[str, int]:
    """The operands of a RUN that say what it does with its sums. order: of the sources' codes."""
    return {"mode": layer.mode, "shift": layer.shift // 2, "digits": layer.digits,
            "radix_width": layer.radix_width if layer.mode == isa.Mode.RADIX else 0,
            "order": order if layer.mode == isa.Mode.PASS else 0}
