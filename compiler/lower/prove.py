"""Proof that no sum of a layer can leave its register, from its taps and what they can read.

Every tap's range holds zero (code 0 decodes to it), so the bounds of a cluster or a channel bound
each of its prefixes as well. Clusters whose S could overflow are split in two or more of the same
factor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...arch import fixed
from ...arch.config import Config
from ...arch.program import Layer, Taps
from ..errors import InternalError, Need, power_of_two
from ..ir.quantised import Radix
from .lowered import Ints, Terms, Value


def decode_table(value: Value, plane: int, config: Config) -> Ints:
    """What a tap reads for each code of a plane: int64 (2^AB,); 0 for codes that never occur."""
    if not isinstance(value.meaning, Radix):
        return value.meaning.by_code(config.codes)
    bits, planes = value.meaning.bits, value.planes
    part, limit = fixed.radix_table(plane, planes, config.code_bits), 1 << (bits - 1)
    read = fixed.read_table(plane, planes, bits, config.code_bits, config.value_bits)
    return np.where((part >= -limit) & (part < limit), read, 0)


def tap_ranges(taps: Terms | Taps, sources: Sequence[Value], config: Config) -> tuple[Ints, Ints]:
    """Smallest and largest number that each tap can add to S."""
    planes = max(value.planes for value in sources)
    low, high = (np.zeros((len(sources), planes), np.int16) for _ in range(2))
    for i, value in enumerate(sources):
        for plane in range(value.planes):
            table = decode_table(value, plane, config)
            low[i, plane], high[i, plane] = table.min(), table.max()
    points = taps.points
    least, most = (of[points.source, points.plane][taps.point] for of in (low, high))
    return np.where(taps.negative, -most, least), np.where(taps.negative, -least, most)


def _layer_ranges(layer: Layer, values: Sequence[Value], config: Config) -> tuple[Ints, Ints]:
    return tap_ranges(layer.taps, [values[s.tensor] for s in layer.sources], config)


def _sums(x: Ints, edges: Ints) -> Ints:
    """Sum of x[edges[i]:edges[i + 1]] for each i."""
    total = np.concatenate([[0], np.cumsum(x)])
    return total[edges[1:]] - total[edges[:-1]]


def split_clusters(layer: Layer, values: Sequence[Value], config: Config) -> Taps:
    """The layer's taps with every cluster cut where its S could overflow."""
    taps = layer.taps
    if layer.op != "sum" or not len(taps.cluster_factor):
        return taps
    low, high = _layer_ranges(layer, values, config)
    limit = 1 << (config.sum_bits - 1)
    over = (_sums(high, taps.cluster_taps) >= limit) | (_sums(low, taps.cluster_taps) < -limit)
    if not over.any():
        return taps
    edges = taps.cluster_taps
    cuts = {int(r): _cuts(low, high, int(edges[r]), int(edges[r + 1]), limit)
            for r in np.flatnonzero(over)}
    pieces = np.ones(len(taps.cluster_factor), np.int64)
    for r, places in cuts.items():
        pieces[r] += len(places)
    more = [place for places in cuts.values() for place in places]
    return dataclasses.replace(
        taps, cluster_factor=np.repeat(taps.cluster_factor, pieces),
        cluster_taps=np.sort(np.concatenate([taps.cluster_taps, np.array(more, np.int64)])),
        channel_clusters=np.concatenate([[0], np.cumsum(pieces)])[taps.channel_clusters])


def _cuts(low: Ints, high: Ints, first: int, end: int, limit: int) -> list[int]:
    """Where taps first..end - 1 must be cut so that each part stays inside the limit."""
    cuts = []
    lower = upper = 0
    for tap in range(first, end):
        lower, upper = lower + int(low[tap]), upper + int(high[tap])
        if upper >= limit or lower < -limit:
            cuts.append(tap)
            lower, upper = int(low[tap]), int(high[tap])
    return cuts


def bounds(layer: Layer, values: Sequence[Value], config: Config) -> tuple[Ints, Ints, Ints, Ints]:
    """Worst cases: least and largest S of every cluster, least and largest T of every channel."""
    low, high = _layer_ranges(layer, values, config)
    taps = layer.taps
    s_low, s_high = _sums(low, taps.cluster_taps), _sums(high, taps.cluster_taps)
    a, b = taps.cluster_factor * s_low, taps.cluster_factor * s_high
    return (s_low, s_high, _sums(np.minimum(a, b), taps.channel_clusters),
            _sums(np.maximum(a, b), taps.channel_clusters))


def prove(layer: Layer, values: Sequence[Value], config: Config) -> None:
    """InternalError if a sum could overflow: scaling has chosen factors for which none can."""
    if layer.op != "sum":
        return
    s_low, s_high, t_low, t_high = bounds(layer, values, config)
    for name, low, high, bits in (("sum_bits", s_low, s_high, config.sum_bits),
                                  ("total_bits", t_low, t_high, config.total_bits)):
        if max(_bits(low), _bits(high)) > bits:
            raise InternalError(f"{layer.name}: a sum exceeds {name} = {bits}")
    _prove_fields(layer, config)


def most_taps(taps: Taps) -> int:
    """Of any channel."""
    return int(np.diff(taps.cluster_taps[taps.channel_clusters]).max(initial=0))


def lacking_slots(layers: Sequence[Layer], paths: Sequence[str], config: Config) -> list[Need]:
    """Is the tap cache too small for a maximum of some layer? Sums are divided where it is."""
    most = [most_taps(layer.taps) if layer.op == "max" else 0 for layer in layers]
    if max(most) <= config.tap_slots:
        return []
    return [Need("tap_slots", power_of_two(max(most)), paths[most.index(max(most))],
                 f"an output channel has {max(most)} taps, more than", "give it a smaller window")]


def _bits(x: Ints) -> int:
    """Bits of two's complement that hold all of x."""
    return max(int(v if v >= 0 else ~v).bit_length() + 1 for v in (x.min(initial=0),
                                                                    x.max(initial=0)))


def _prove_fields(layer: Layer, config: Config) -> None:
    """Factors, m and bias fit their fields; then u * m + bias fits as well (fixed.V_BITS)."""
    if _bits(layer.taps.cluster_factor) > config.factor_bits:
        raise InternalError(f"{layer.name}: a factor exceeds factor_bits")
    for piece in layer.pieces:
        scale, bias = np.array(piece.scale, np.int64), np.array(piece.bias, np.int64)
        if scale.min() < 0 or scale.max() >> fixed.SCALE_BITS or _bits(bias) > fixed.BIAS_BITS:
            raise InternalError(f"{layer.name}: m or bias exceeds its field")
