"""Where values are kept between layers, and the rows of parts of them while a layer is at work."""

from __future__ import annotations

import dataclasses
import enum
import math

from ...arch.config import Config
from ...arch.isa import UNIT_BYTES
from ...arch.layout import Layout

# channels that transfers bring together at most, and what a channel may take more to be whole rows
MOST_GROUP = 16
MOST_WASTE = 1 / 32


class Home(enum.Enum):
    """Where a value is kept, and in what order outside."""

    CHIP = "chip"            # all of it in the activation memory, while it lives
    LINES = "lines"          # outside, all channels of a line behind one another
    PLANES = "planes"        # outside, planes as on chip, groups of channels in rows of their own
    PACKED = "packed"        # nowhere: the lines that a band reads, copied into planes for it


@dataclasses.dataclass(frozen=True)
class Window:
    """Rows of the activation memory that hold parts of a value while a layer is at work.

    lines: that it has room for, of a PACKED value.
    """

    first_row: int
    rows: int
    lines: int = 0

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.first_row + self.rows


def unit_codes(config: Config) -> int:
    """Codes that a transfer can begin with and end at, on chip and outside: whole rows, and whole
    units of external addresses."""
    return config.row_codes * max(1, UNIT_BYTES // config.row_bytes)


def channel_step(channel: int, channels: int, config: Config) -> int:
    """What to round the codes of a channel up to in PLANES: as much as hardly makes them more, down
    to what makes rows of whole groups."""
    unit = unit_codes(config)
    step = unit
    least = unit // min(unit, MOST_GROUP, 1 << max(1, channels // 2).bit_length() - 1)
    while step > least and -channel % step > channel * MOST_WASTE:
        step //= 2
    return step


def group_size(layout: Layout, unit: int) -> int:
    """Channels that transfers of a value in PLANES bring together. unit: of `unit_codes`."""
    return unit // math.gcd(unit, layout.channel)


def line_codes(layout: Layout) -> int:
    """Codes from line to line of a value whose home is LINES."""
    return layout.phase_y or layout.row
