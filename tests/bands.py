"""Two convolutions in bands of lines through external memory, planned by hand.

A line of 30 codes with a pad on either side is a row of the machine, and 16 bytes outside. The
chip holds the lines of one band and those around it; `x`, `mid` and `y` lie outside whole.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from kcnn.arch import isa, stream
from kcnn.arch.config import Config
from kcnn.arch.place import Box, Place
from kcnn.arch.program import Layer, Piece, Source, Taps, Tensor
from kcnn.arch.region import Region, Space
from kcnn.compiler.emit import step
from kcnn.compiler.emit.areas import Role, area
from kcnn.compiler.emit.plan import Plan
from kcnn.compiler.emit.step import Step
from tensors import whole

SMALL = dataclasses.replace(Config.preset("small"), name="bands", code_bits=4)
LINE = SMALL.row_codes
VALUES = tuple(range(0, 112, 7))
THRESHOLDS = tuple(range(4, 109, 7))
FACTORS = (3, -2)                                    # of the two layers' clusters of nine taps
SCALE, BIAS = (4000, 9000), (32768, 1 << 22)
SOURCE, TARGET, PADS = 0, 40, 80                     # rows of the windows on chip


def tensor(name: str, lines: int) -> Tensor:
    """Lines with a pad line above and one below."""
    return whole(name, 0.01, VALUES, base=LINE + 1, first_row=0, rows=lines + 2, images=1,
                 channels=1, height=lines, width=LINE - 2, channel=0, plane=0, image=0, row=LINE,
                 column=1, pad=2)


def layer(number: int, lines: int) -> Layer:
    """Nine taps of one factor, some of them negative."""
    zeros = np.zeros(9, np.int64)
    taps = Taps.of(np.array([0, 1]), np.array([FACTORS[number]]), np.array([0, 9]), zeros, zeros,
                zeros, np.repeat([-1, 0, 1], 3), np.tile([-1, 0, 1], 3), np.arange(9) % 2)
    piece = Piece(0, 0, lines, LINE - 2, (SCALE[number],), (BIAS[number],))
    return Layer(f"conv{number}", "Conv2d", "sum", (Source(number),), number + 1, taps, (piece,),
                 isa.Mode.CODE, 0, thresholds=THRESHOLDS, codes=tuple(range(16)))


class Bands:
    """Collects the steps.

    lead: a FILL leads from STORE to LOAD, of a row that the LOAD overwrites. early: the next band
    is loaded before this one is stored.
    """

    def __init__(self, lines: int, height: int, lead: bool = True, early: bool = False) -> None:
        self.lines, self.height, self.lead, self.early = lines, height, lead, early
        self.tensors = tuple(tensor(name, lines) for name in ("x", "mid", "y"))
        self.layers = tuple(layer(number, lines) for number in (0, 1))
        self.areas = tuple(area(role, self.tensors[n].name, n,
                                self.tensors[n].layout, SMALL)
                           for n, role in enumerate((Role.INPUT, Role.BETWEEN, Role.OUTPUT)))
        self.steps: list[Step] = []
        self.windows: list[list[Place]] = [[], [], []]

    def plan(self) -> Plan:
        """The plan, one layer behind the other."""
        bands = [(first, min(self.height, self.lines - first))
                 for first in range(0, self.lines, self.height)]
        for number in (0, 1):
            self.tables(number)
            self.load(number, *bands[0])
            loaded = len(self.steps) - 1
            for band, behind in zip(bands, [*bands[1:], None], strict=True):
                self.run(number, band[1])
                ran = len(self.steps) - 1
                self.window(number, band[0] - 1, band[1] + 2, SOURCE, loaded, ran)
                if self.early and behind:
                    self.load(number, *behind)
                    loaded = len(self.steps) - 1
                    self.fill(PADS, 1)
                self.move(isa.Store, number + 1, band[0] + 1, TARGET, band[1])
                self.window(number + 1, *band, TARGET, ran, len(self.steps) - 1)
                if behind and not self.early:
                    self.load(number, *behind)
                    loaded = len(self.steps) - 1
        tensors = tuple(
            dataclasses.replace(tensor, places=(
                dataclasses.replace(tensor.places[0], space=Space.EXTERNAL), *windows))
            for tensor, windows in zip(self.tensors, self.windows, strict=True))
        return Plan(SMALL, tensors, self.layers, self.areas, tuple(self.steps))

    def window(self, number: int, y: int, height: int, row: int, since: int, until: int) -> None:
        """Lines y to y + height - 1, of which pad lines are no part, lie in rows from `row` on."""
        first, end = max(y, 0), min(y + height, self.lines)
        layout = dataclasses.replace(self.tensors[number].layout, first_row=row, rows=height,
                                     base=(row + first - y) * LINE + 1)
        self.windows[number].append(Place(layout, Box(first, end - first, 0, 1), since=since,
                                          until=until))

    def tables(self, number: int) -> None:
        """Tables of a layer, and the pads of its output, on chip and outside."""
        offsets = [(y * LINE + x) % SMALL.memory_codes for y in (-1, 0, 1) for x in (-1, 0, 1)]
        cluster = [(t & 0xFFFF) | code << 16 for code, t in enumerate((0, *THRESHOLDS))]
        for kind, words in ((isa.Table.BASE, [0]), (isa.Table.OFFSET, offsets),
                            (isa.Table.DECODE, VALUES), (isa.Table.CLUSTER, cluster)):
            self.steps.append(step.entries(isa.TableLoad(kind, 0, 0, len(words)),
                                           np.array(words, "<u4").tobytes(), SMALL))
        self.fill(TARGET, self.height)
        self.fill(PADS, 1)
        for line in (0, self.lines + 1):
            self.move(isa.Store, number + 1, line, PADS, 1)

    def load(self, number: int, first: int, height: int) -> None:
        """What lines first to first + height - 1 of a layer's output read."""
        if self.lead and self.steps[-1].unit == isa.Unit.STORE:
            self.fill(SOURCE, 1)
        self.move(isa.Load, number, first, SOURCE, height + 2)

    def fill(self, row: int, rows: int) -> None:
        region = Region(Space.ROWS, 0, row, row + rows)
        self.steps.append(Step(isa.Fill(row, rows, 2), (), (region,)))

    def move(self, kind: type[isa.Load] | type[isa.Store], area: int, line: int, row: int,
             rows: int) -> None:
        self.steps.append(step.move(kind(line * SMALL.row_bytes // 16, row, rows), area, SMALL))

    def run(self, number: int, height: int) -> None:
        cluster = stream.Cluster(FACTORS[number], np.arange(9), np.arange(9) % 2 == 1)
        data = stream.encode_stream([stream.ChannelStream(SCALE[number], BIAS[number], (cluster,))])
        run = isa.Run(
            stream=0, stream_units=len(data) // 16, channels=1, mode=isa.Mode.CODE, shift=0,
            digits=1, radix_width=0, order=0, kernel_bits=4, base_bank=0, offset_bank=0,
            cluster_bank=0, origin=(SOURCE + 1) * LINE + 1, pitch=LINE, image_rows=height, images=1,
            height=height, width=LINE - 2, dst=TARGET * LINE + 1, dst_channel=0, dst_plane=0,
            dst_image=0, x_step=1, x_wrap=0, y_step=LINE, y_wrap=0, split=1, x_start=0, x_mod=0,
            y_start=0, y_mod=0, **isa.chunk_fields(SMALL.lanes, LINE, height))
        touched = tuple((Region(Space.ROWS, 0, row, row + rows),)
                        for row, rows in ((SOURCE, height + 2), (TARGET, height)))
        self.steps.append(step.run(run, data, [0], number, touched, SMALL))
