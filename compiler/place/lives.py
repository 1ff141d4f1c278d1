"""From when until when each tensor is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..lower.scaling import Scaled


@dataclasses.dataclass(frozen=True)
class Life:
    """Layers during which a tensor is kept: `birth` (-1: an input) to `death`, inclusive."""

    birth: int
    death: int
    rows: int

    def meets(self, other: Life) -> bool:
        """Are there layers in both?"""
        return self.birth <= other.death and other.birth <= self.death


def lives(net: Scaled, rows: Sequence[int]) -> list[Life]:
    """The life of every tensor. A layer's sources and output live together. rows: of each."""
    end = len(net.layers)
    birth = dict.fromkeys((value for _, value in net.inputs), -1)
    death = dict.fromkeys((value for _, value in net.outputs), end)
    for i, layer in enumerate(net.layers):
        birth[layer.output] = i
        for source in layer.sources:
            death[source.tensor] = max(death.get(source.tensor, i), i)
    return [Life(birth[v], max(death.get(v, 0), birth[v]), count) for v, count in enumerate(rows)]
