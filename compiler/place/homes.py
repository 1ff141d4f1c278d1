"""Where values are kept between layers, and the rows of parts of them while a layer is at work."""

from __future__ import annotations

import dataclasses
import enum

from ...arch.config import Config
from ...arch.isa import UNIT_BYTES
from ...arch.layout import Layout


class Home(enum.Enum):
    """Where a value is kept, and in what order outside."""

    CHIP = "chip"            # all of it in the activation memory, while it lives
    LINES = "lines"          # outside, all channels of a line behind one another
    PLANES = "planes"        # outside, every channel in rows of its own


@dataclasses.dataclass(frozen=True)
class Window:
    """Rows of the activation memory that hold parts of a value while a layer is at work."""

    first_row: int
    rows: int

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.first_row + self.rows


def unit_codes(config: Config) -> int:
    """Codes that a transfer can begin with and end at, on chip and outside: whole rows, and whole
    units of external addresses."""
    return config.row_codes * max(1, UNIT_BYTES // config.row_bytes)


def line_codes(layout: Layout) -> int:
    """Codes from line to line of a value whose home is LINES."""
    return layout.phase_y or layout.row
