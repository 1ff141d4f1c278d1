"""What moves between external memory and chip: inputs, outputs, and the windows of bands.

A LOAD behind a STORE has no token that orders the two, so a FILL of a row that the LOAD overwrites
stands between them.
"""

from __future__ import annotations

import dataclasses

from ...arch import isa
from ...arch.config import Config
from ...arch.effects import Regions
from ...arch.layout import Layout
from ...arch.place import Box, Place
from ...arch.program import Tensor
from ...arch.region import Region, Space
from ..place.bands import Bands, Part, clipped, layout_in, place
from ..place.homes import Home, Window, line_codes
from ..place.layouts import Placed
from . import step
from .areas import Role, area, transfers
from .step import Step


@dataclasses.dataclass(frozen=True, eq=False)
class _Open:
    """What a window holds: a part of a value, where its layout counts from the tensor's first line
    and channel; whether it was there before the band; the last step that put it there."""

    part: Part
    window: Window
    layout: Layout
    since: int = -1

    @property
    def region(self) -> Region:
        """Its rows."""
        first = self.window.first_row
        return Region(Space.ROWS, 0, first, first + self.part.rows)


class Moves:
    """Collects the steps of a plan, those of others too.

    places: in the activation memory, of values outside. opens: what the windows of a layer hold, by
    value, of the one at work and of those that pack lines for it; packed: such lines in planes.
    """

    def __init__(self, placed: Placed, config: Config) -> None:
        self.placed, self.config = placed, config
        self.net = placed.split.net
        self.steps: list[Step] = []
        self.kept = tuple(Tensor(value.name, kind, self._kept(number)) for number, (value, kind)
                          in enumerate(zip(self.net.values, placed.kinds, strict=True)))
        self.areas = [area(role, name, value, placed.layouts[value], config)
                      for role, values in ((Role.INPUT, self.net.inputs),
                                           (Role.OUTPUT, self.net.outputs),
                                           (Role.BETWEEN, self._between()))
                      for name, value in values]
        self.area_of = {found.tensor: number for number, found in enumerate(self.areas)}
        self.places: dict[int, list[Place]] = {}
        self.layer = -1
        self.opens: dict[int, dict[int, _Open]] = {-1: {}}
        self.packed: dict[int, _Open] = {}

    def _kept(self, number: int) -> tuple[Place, ...]:
        home = self.placed.homes[number]
        if home == Home.PACKED:
            return ()
        space = Space.ROWS if home == Home.CHIP else Space.EXTERNAL
        return (Place(self.placed.layouts[number], space=space),)

    def _between(self) -> list[tuple[str, int]]:
        ports = {value for _, value in (*self.net.inputs, *self.net.outputs)}
        return [(value.name, number) for number, value in enumerate(self.net.values)
                if self.placed.homes[number] in (Home.LINES, Home.PLANES) and number not in ports]

    def tensors(self) -> tuple[Tensor, ...]:
        """Every value with where it is kept, and with its windows."""
        return tuple(dataclasses.replace(tensor, places=(
            *tensor.places, *self.places.get(number, ())))
            for number, tensor in enumerate(self.kept))

    # ---- whole tensors ------------------------------------------------------------------------
    def transfers(self, role: Role) -> None:
        """LOADs of all inputs on chip, or STOREs of all outputs there."""
        self.steps += transfers(self.areas, role, self.kept, self.config)

    def fill(self, value: int, layer: int) -> None:
        """Pads wherever a tensor on chip will lie."""
        self.steps.append(step.fill(self.kept[value], layer, self.config))

    # ---- what RUNs see --------------------------------------------------------------------------
    def layout(self, value: int) -> Layout:
        """Where a value lies now, from its first line and channel on."""
        found = self._there(value)
        return found.layout if found else self.placed.layouts[value]

    @property
    def open(self) -> dict[int, _Open]:
        """What the windows of the layer at work hold."""
        return self.opens[self.layer]

    def _there(self, value: int) -> _Open | None:
        return self.open.get(value) or self.packed.get(value)

    def sources(self, number: int, band: Box) -> list[Layout]:
        """The layouts of a layer's sources; of lines, such that output line 0 is the band's."""
        found = []
        for source in self.net.layers[number].sources:
            layout = self.layout(source.tensor)
            if self.placed.homes[source.tensor] == Home.LINES:
                down = band.y * source.stride_y * line_codes(layout)
                layout = dataclasses.replace(layout, base=layout.base + down)
            found.append(layout)
        return found

    def touched(self, number: int) -> tuple[Regions, Regions]:
        """The rows that a RUN of a layer reads and writes."""
        layer = self.net.layers[number]
        sources = dict.fromkeys(source.tensor for source in layer.sources)
        return tuple(map(self._rows, sources)), (self._rows(layer.output),)

    def _rows(self, value: int) -> Region:
        found = self._there(value)
        return found.region if found else step.rows(self.kept[value])

    # ---- bands ----------------------------------------------------------------------------------
    def begin(self, bands: Bands, band: Box) -> None:
        """What a band reads is there, and room for what it makes."""
        self.layer = bands.number
        first = self.layer not in self.opens
        if first:
            self.opens = {**(self.opens if self.placed.packs(self.layer) else {}), self.layer: {}}
        for value in reversed(bands.outside):      # its output first, whose FILL leads to LOADs
            if value in self.packed:
                continue
            part = bands.part(value, band)
            if value in self.open and self.open[value].part.span == part.span:
                continue
            if value == bands.layer.output:
                self._make(value, part, first)
            else:
                self._bring(value, part)

    def end(self, bands: Bands, band: Box) -> None:
        """What a band made is outside, or stays until its window is complete."""
        last = len(self.steps) - 1
        for value in bands.outside:
            if value in self.packed:
                self._end_packed(value, value == bands.layer.output, last)
            elif value != bands.layer.output:
                self._note(value, self.open[value], self.open[value].since, last)
            elif bands.completes(band):
                self._store(value, last)

    def ahead(self, bands: Bands, value: int, band: Box) -> None:
        """Room for the lines of a value that a band reads in planes, with pads around them."""
        if value not in self.packed:
            part, window = bands.part(value, band), self.placed.windows[bands.number][value]
            layout = layout_in(self.placed, value, part, window.first_row)
            self.packed[value] = _Open(part, window, layout)
            self._fill(window.first_row, part.rows, value)

    def _end_packed(self, value: int, made: bool, last: int) -> None:
        """Lines in planes are complete so far, or nobody reads them any more."""
        if made:
            self.packed[value] = dataclasses.replace(self.packed[value], since=last)
        else:
            found = self.packed.pop(value)
            self._note(value, found, found.since, last)

    def _opened(self, value: int, part: Part) -> _Open:
        window = self.placed.windows[self.layer][value]
        layout = layout_in(self.placed, value, part, window.first_row)
        self.open[value] = found = _Open(part, window, layout)
        return found

    def _make(self, value: int, part: Part, first: bool) -> None:
        """Pads around what will be made, once: RUNs write elements alone."""
        made = self._opened(value, part)
        if first:
            self._fill(made.window.first_row, made.window.rows, value)

    def _bring(self, value: int, part: Part) -> None:
        """Lines or channels from outside; pad lines are filled."""
        found = self._opened(value, part)
        box = clipped(self.placed, value, part.span)
        if self.placed.homes[value] == Home.LINES:
            self._pad(value, found)
        elif part.tail:
            self._fill(found.window.first_row + part.rows - part.tail, part.tail, value)
        if box is not None:
            for outside, row, rows in self._stretches(value, found):
                self._lead(row)
                self._move(isa.Load, value, outside, row, rows)
        self.open[value] = dataclasses.replace(found, since=len(self.steps) - 1)

    def _pad(self, value: int, found: _Open) -> None:
        """Lines above the first and below the last one."""
        line = line_codes(found.layout) // self.config.row_codes
        height = self.net.values[value].shape[1]
        first, end = found.part.span
        above, below = min(end, 0) - first, end - max(first, height)
        if above > 0:
            self._fill(found.window.first_row, above * line, value)
        if below > 0:
            self._fill(found.window.first_row + (end - first - below) * line, below * line, value)

    def _stretches(self, value: int, found: _Open) -> list[tuple[int, int, int]]:
        """Rows outside, rows on chip and how many, of everything that a window holds."""
        first, end = found.part.span
        layout, kind = self.placed.layouts[value], self.placed.kinds[value]
        row = found.window.first_row
        if self.placed.homes[value] == Home.LINES:
            unit = line_codes(layout) // self.config.row_codes
            low, high = max(0, first), min(kind.height, end)
            return [(low * unit, row + (low - first) * unit, (high - low) * unit)]
        codes = self.config.row_codes
        rows = found.layout.plane // codes
        return [((plane * layout.plane + first * layout.channel) // codes, row + plane * rows, rows)
                for plane in range(kind.planes)]

    def _store(self, value: int, last: int) -> None:
        for outside, row, rows in self._stretches(value, self.open[value]):
            self._move(isa.Store, value, outside, row, rows)
        self._note(value, self.open[value], last, len(self.steps) - 1)

    def _note(self, value: int, found: _Open, since: int, until: int) -> None:
        """A place in the activation memory; the same as before lasts longer."""
        box = clipped(self.placed, value, found.part.span)
        if box is None:
            return
        places = self.places.setdefault(value, [])
        made = place(found.layout, box, since, until)
        if places and places[-1] == dataclasses.replace(made, until=places[-1].until):
            places.pop()
        places.append(made)

    # ---- steps ----------------------------------------------------------------------------------
    def _move(self, kind: type[isa.Load] | type[isa.Store], value: int, outside: int, row: int,
              rows: int) -> None:
        address = outside * self.config.row_bytes // isa.UNIT_BYTES
        self.steps.append(step.move(kind(address, row, rows), self.area_of[value], self.config))

    def _fill(self, row: int, rows: int, value: int) -> None:
        code = self.placed.kinds[value].pad
        self.steps.append(step.pads(row, rows, code, self.layer, self.config))

    def _lead(self, row: int) -> None:
        """A FILL behind a STORE."""
        users = (one for one in reversed(self.steps) if step.uses_memory(one))
        last = next(users, None)
        if last is not None and isinstance(last.instruction, isa.Store):
            self.steps.append(step.pads(row, 1, 0, self.layer, self.config))
