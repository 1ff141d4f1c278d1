"""Bytes of a network's weights in every storage format, layer by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from kcnn.compress.entropy import METHODS
from kcnn.compress.formats import FORMATS
from kcnn.compress.formats.coded import Coded
from kcnn.compress.formats.file import sizes

FLOAT_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer. files: bytes by (format, coder), and by (format, "entropy") the bound; formats
    that cannot hold the layer are left out."""

    layer: str
    weights: int
    nonzero: int
    bits: int
    files: dict[tuple[str, str], int]

    @property
    def float_bytes(self) -> int:
        """Bytes of the layer in float32."""
        return FLOAT_BYTES * self.weights


def table(layers: Mapping[str, Coded], coders: Sequence[str] = METHODS,
          formats: Sequence[str] = tuple(FORMATS)) -> list[Row]:
    """A row a layer, in the order of the mapping."""
    return [row(name, coded, coders, formats) for name, coded in layers.items()]


def row(name: str, coded: Coded, coders: Sequence[str] = METHODS,
        formats: Sequence[str] = tuple(FORMATS)) -> Row:
    """One layer in every format that can hold it."""
    files = {(form, coder): size for form in formats if FORMATS[form].fits(coded)
             for coder, size in sizes(coded, form, coders).items()}
    return Row(name, coded.codes.size, coded.nonzero, coded.bits, files)


def total(rows: Sequence[Row]) -> Row:
    """The sum, of the formats that can hold every layer."""
    common = [key for key in rows[0].files if all(key in row.files for row in rows)]
    return Row("total", sum(row.weights for row in rows), sum(row.nonzero for row in rows),
               max(row.bits for row in rows),
               {key: sum(row.files[key] for row in rows) for key in common})


def smallest(row: Row, coder: str) -> tuple[str, int]:
    """Best format of a layer with a coder, and its bytes."""
    return min(((form, size) for (form, found), size in row.files.items() if found == coder),
               key=lambda pair: pair[1])
