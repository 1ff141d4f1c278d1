"""Real coefficients to the machine's integers: factors of clusters, scales, biases, thresholds.

T_k = s_k * real sum; v = real value in units of sv; m_k = 2^(16+t) / (s_k * sv). s_k makes the
largest factor of a channel as large as its field and the proof of T allow, sv is the finest unit in
which all thresholds (CODE) or the tensor's own scale (RADIX) fit, t the largest shift for which
every m_k fits.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ...arch.check import SCALES
from ...arch.columns import columns, span
from ...arch.config import Config
from ...arch.fixed import (
    BIAS_BITS,
    CLUSTER_BITS,
    PRODUCT_SHIFT,
    SCALE_BITS,
    SHIFTS,
    U_BITS,
    requantize,
)
from ...arch.isa import Mode
from ...arch.keys import keys
from ...arch.program import Layer, Piece, Source, Taps
from ..errors import CompileError, InternalError, Need, too_small
from ..ir.quantised import Codebook, Radix
from ..quantise.segments import Segments, segments
from ..stages import At, nowhere
from .lowered import Area, Floats, Ints, Lowered, Step, Terms, Value, reading, value_table
from .parts import adding, cut, enough_slots, fits, integers
from .prove import bounds, prove, split_clusters, tap_ranges

# a skip connection may have the factor of this many clusters (docs/decisions/0008)
WIDE_RUNS = 4
# s_k is chosen among this many values, from the largest possible down to this part of it
GAINS = 64
LEAST_GAIN = 0.6
# parts of sums: most clusters that a wide tap becomes, the room that rounded factors are given at
# first, and how often a coarser unit is tried
MOST_WIDE = 4 * WIDE_RUNS
HEADROOM = 1 + 1 / 64
TRIES = 8
# of more taps than this many times the cache's slots rounding leaves too many, whatever they are
SURELY_TOO_MANY = 2
# below this largest factor (narrow fields: half of what they hold) weights are no longer told apart
LEAST_FACTOR = 8
TOTAL_BITS_MAX = 32
SCALE_MAX = (1 << SCALE_BITS) - 1
# v spans thresholds within this much of the middle
V_REACH = (1 << (CLUSTER_BITS - 1)) - 2
# bias_k / 2^16 stays below this: half of 2^16 at most is added to it
BIAS_REACH = (1 << (BIAS_BITS - 1 - PRODUCT_SHIFT)) - 64


@dataclasses.dataclass(frozen=True, eq=False)
class Scaled:
    """A network of integer layers on tensors without addresses. layers[i] comes from paths[i]."""

    values: tuple[Value, ...]
    layers: tuple[Layer, ...]
    paths: tuple[str, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """A line a value and a line a layer; taps as how many, clusters and factors."""
        layers = columns(
            ("layer", "kind", "mode", "reads", "makes", "taps", "most of a channel", "clusters",
             "factors", "scales", "biases", "shift", "thresholds", "pieces"),
            map(self._row, self.layers))
        return f"{value_table(self.values)}\n\n{layers}"

    def _row(self, layer: Layer) -> tuple[object, ...]:
        taps = layer.taps
        reads = (reading(self.values[s.tensor], s.stride_y, s.stride_x) for s in layer.sources)
        return (layer.name, layer.kind, Mode(layer.mode).name, ", ".join(reads),
                self.values[layer.output].name, len(taps),
                int(np.diff(taps.cluster_taps[taps.channel_clusters]).max(initial=0)),
                len(taps.cluster_factor), span(taps.cluster_factor),
                span([m for piece in layer.pieces for m in piece.scale]),
                span([bias for piece in layer.pieces for bias in piece.bias]), layer.shift,
                span(layer.thresholds), len(layer.pieces))


def scale(lowered: Lowered, config: Config, batch: int, at: At = nowhere) -> Scaled:
    """All steps as proven integer layers; raises CompileError where a width is too small."""
    values = list(lowered.values)
    layers: list[Layer] = []
    paths: list[str] = []
    for number, step in enumerate(lowered.steps):
        at(step.path, number, len(lowered.steps))
        for layer in _layers(step, values, config):
            layers.append(dataclasses.replace(layer, dense_macs=layer.dense_macs * batch,
                                              macs=layer.macs * batch))
            paths.append(step.path)
    return Scaled(tuple(values), tuple(layers), tuple(paths), lowered.inputs, lowered.outputs)


def _layers(step: Step, values: list[Value], config: Config) -> list[Layer]:
    """The layer of a step, or those of its parts and their sum. values: their outputs get units,
    and those of parts are added."""
    reads = [values[read.value] for read in step.reads]
    counts = np.bincount(step.terms.k, minlength=1)
    if step.op == "max" or counts.max() <= SURELY_TOO_MANY * config.tap_slots:
        layer, unit = scale_step(step, values, config)
        if step.op == "max" or fits(layer.taps, reads, config):
            _set_unit(values, step.output, unit)
            return [layer]
    return _divided(step, values, config)


def _set_unit(values: list[Value], number: int, unit: float) -> None:
    """unit: 0 where the value has no planes."""
    meaning = values[number].meaning
    if isinstance(meaning, Radix) and unit:
        values[number] = dataclasses.replace(values[number],
                                             meaning=dataclasses.replace(meaning, scale=unit))


def scale_step(step: Step, values: list[Value], config: Config) -> tuple[Layer, float]:
    """The layer of one step, and the unit of v where it writes radix planes (else 0)."""
    layer, unit = (_sum_layer(step, values, config) if step.op == "sum" else
                   (passing(step.name, step.kind, sources(step), step.output, step.terms,
                            values[step.output].shape[0]), 0.0))
    return _proven(layer, step, values, config), unit


def _proven(layer: Layer, step: Step, values: list[Value], config: Config) -> Layer:
    """The layer with clusters whose S fits, and its work."""
    layer = dataclasses.replace(layer, taps=split_clusters(layer, values, config),
                                dense_macs=step.dense_macs, macs=step.macs)
    prove(layer, values, config)
    return layer


def group(terms: Terms, factor: Ints, channels: int) -> Taps:
    """Taps with their factors as clusters: one for each channel and factor, largest factor first.

    Taps of factor 0 are left out; the second tap of a place and factor goes to a further cluster.
    """
    if not factor.all():
        terms, factor = terms.take(factor != 0), factor[factor != 0]
    if not len(factor):
        zeros = np.zeros(0, np.int64)
        return Taps.of(np.zeros(channels + 1, np.int64), zeros, np.zeros(1, np.int64),
                       *[zeros] * 6)
    terms = terms.sorted()
    key = keys(terms.k, -factor, terms.point)
    order = np.argsort(key, kind="stable")
    again = _repetition(np.diff(key[order]) == 0)
    if again.any():
        moved = np.argsort(keys(terms.k[order], -factor[order], again), kind="stable")
        order, again = order[moved], again[moved]
    terms, factor = terms.take(order), factor[order]
    new = np.ones(len(factor), bool)
    new[1:] = (np.diff(terms.k) != 0) | (np.diff(factor) != 0) | (np.diff(again) != 0)
    starts = np.flatnonzero(new)
    return Taps(np.searchsorted(terms.k[starts], np.arange(channels + 1)), factor[starts],
                np.append(starts, len(factor)), terms.points, terms.point, terms.negative)


def _repetition(same: np.ndarray) -> Ints:
    """How often each entry has come before, from whether entry i + 1 equals entry i."""
    out = np.zeros(len(same) + 1, np.int64)
    for i in np.flatnonzero(same):
        out[i + 1] = out[i] + 1
    return out


# ---- maxima ------------------------------------------------------------------------------------
def passing(name: str, kind: str, sources: tuple[Source, ...], output: int, terms: Terms,
            channels: int) -> Layer:
    """A layer that passes the code of largest rank on."""
    return Layer(name, kind, "max", sources, output,
                 group(terms, np.ones(len(terms), np.int64), channels), (), int(Mode.PASS), 0)


def sources(step: Step) -> tuple[Source, ...]:
    """What the step's layer reads."""
    return tuple(Source(r.value, *r.stride) for r in step.reads)


# ---- sums --------------------------------------------------------------------------------------
def _sum_layer(step: Step, values: list[Value], config: Config) -> tuple[Layer, float]:
    terms, low, high = _real(step, values, config)
    channels = values[step.output].shape[0]
    gain = _rounded_best(terms, _gains(step, terms, low, high, channels, config))
    numbers = _numbers(step, values, gain, _reach(terms, low, high, channels), config)
    factor = np.rint(terms.coefficient * numbers.gain[terms.k]).astype(np.int64)
    terms, factor = _widen(terms, factor, (1 << (config.factor_bits - 1)) - 1)
    layer = _summing(step, values, sources(step), group(terms, factor, channels), numbers)
    return layer, numbers.target.unit if layer.mode == Mode.RADIX else 0.0


def _real(step: Step, values: list[Value], config: Config) -> tuple[Terms, Ints, Ints]:
    """The taps with coefficients of integers read, and the least and greatest of these times the
    sign."""
    reads = [values[read.value] for read in step.reads]
    scale = np.array([value.meaning.scale for value in reads])
    terms = step.terms
    coefficient = terms.coefficient * scale[terms.points.source][terms.point]
    return (dataclasses.replace(terms, coefficient=coefficient),
            *tap_ranges(terms, reads, config))


@dataclasses.dataclass(frozen=True, eq=False)
class _Numbers:
    """gain: s_k, (K,); shift: t."""

    gain: Floats
    target: _Target
    shift: int


def _numbers(step: Step, values: list[Value], gain: Floats, reach: Reach, config: Config
             ) -> _Numbers:
    """What sums of these s_k, at most, are divided by and compared with."""
    target = _target(step, values[step.output].meaning, gain, reach, config)
    shift = _shift(gain, target.unit, step)
    return _Numbers(_keep_unsaturated(gain, _largest(reach), target, shift), target, shift)


def _summing(step: Step, values: list[Value], read: tuple[Source, ...], taps: Taps,
             numbers: _Numbers) -> Layer:
    meaning, target = values[step.output].meaning, numbers.target
    planes, bits = (meaning.planes, meaning.bits) if isinstance(meaning, Radix) else (1, 0)
    return Layer(
        step.name, step.kind, "sum", read, step.output, taps,
        _pieces(step, numbers.gain, target, numbers.shift),
        int(Mode.RADIX if bits else Mode.CODE), numbers.shift, digits=planes, radix_width=bits,
        thresholds=target.thresholds, codes=target.codes)


# ---- sums in parts -----------------------------------------------------------------------------
def _divided(step: Step, values: list[Value], config: Config) -> list[Layer]:
    """Layers that write parts of a step's sums, and one that adds them."""
    reads = [values[read.value] for read in step.reads]
    room = config.tap_slots - MOST_WIDE * bool(step.terms.wide.any())
    parts = [_part(step, number, index, len(values) + number) for number, index
             in enumerate(cut(step.terms, reads, max(room, 1), config))]
    channels = values[step.output].shape[0]
    reaches = [_reach(*_real(part, values, config), channels) for part in parts]
    digits = integers(config, len(parts))
    if digits is None:
        most = int(np.bincount(step.terms.k).max())
        raise too_small(config, [Need("tap_slots", enough_slots(most, config), step.path,
                                      f"an output channel has {most} taps, too many to be "
                                      "computed in parts with", "prune the layer")])
    unit = HEADROOM * max(_size(_largest(reach)) for reach in reaches) / digits.most
    first = len(values)
    values += [Value(part.name, "", values[step.output].shape, dataclasses.replace(
        digits, scale=max(unit, SCALES[0]))) for part in parts]
    layers = _in_one_unit(parts, values, config)
    done = sum(part.macs for part in parts)
    rest = dataclasses.replace(step, dense_macs=step.dense_macs - done, macs=step.macs - done)
    reach = np.sum([low for low, _ in reaches], 0), np.sum([high for _, high in reaches], 0)
    return [*layers, _sum_of_parts(rest, values, range(first, len(values)), reach, config)]


def _part(step: Step, number: int, index: Ints, output: int) -> Step:
    """Some of the taps of a step; bias, divisors and function are left to the last layer."""
    terms, area = step.terms.take(index), step.areas
    height, width = (max(getattr(a, at) + getattr(a, size) for a in area)
                     for at, size in (("y", "height"), ("x", "width")))
    macs = len(terms) * height * width
    return dataclasses.replace(
        step, name=f"{step.name}.part{number + 1}", terms=terms, output=output,
        bias=np.zeros_like(step.bias), areas=(Area(0, 0, height, width),), function="identity",
        dense_macs=macs, macs=macs)


def _in_one_unit(parts: list[Step], values: list[Value], config: Config) -> list[Layer]:
    """The parts with the finest unit in which no integer of any of them is cut off."""
    for _ in range(TRIES):
        made = [scale_step(part, values, config) for part in parts]
        unit = max(own * _excess(layer, config, values) for layer, own in made)
        if unit == values[parts[0].output].meaning.scale:
            return [layer for layer, _ in made]
        for part in parts:
            _set_unit(values, part.output, unit * (1 + 1e-3))
    raise InternalError(f"{parts[0].path}: no unit holds the parts of its sums")


def _excess(layer: Layer, config: Config, values: list[Value]) -> float:
    """The largest integer that the layer's sums can make, over the largest that it can write."""
    *_, low, high = bounds(layer, values, config)
    (piece,) = layer.pieces
    made = [requantize(total, layer.shift, np.array(piece.scale), np.array(piece.bias))
            for total in (low, high)]
    return max(int(np.abs(made).max()) / ((1 << (layer.radix_width - 1)) - 1), 1.0)


def _sum_of_parts(step: Step, values: list[Value], parts: range, reach: Reach, config: Config
                  ) -> Layer:
    """The layer that adds the integers of parts and does all that the step does with sums."""
    unit, channels = values[parts[0]].meaning.scale, values[step.output].shape[0]
    lost = len(parts) * unit                  # by rounding: less than one unit a part
    gain = np.full(channels, 1 / unit)
    numbers = _numbers(step, values, gain, (reach[0] - lost, reach[1] + lost), config)
    numbers = dataclasses.replace(numbers, gain=gain)
    taps = group(*adding([values[part] for part in parts], config), channels)
    layer = _summing(step, values, tuple(map(Source, parts)), taps, numbers)
    if layer.mode == Mode.RADIX:
        _set_unit(values, step.output, numbers.target.unit)
    return _proven(layer, step, values, config)


def _per_channel(k: NDArray[np.int32], x: Floats, channels: int) -> Floats:
    out = np.zeros(channels)
    np.maximum.at(out, k, x)
    return out


Reach = tuple[Floats, Floats]


def _reach(terms: Terms, low: Ints, high: Ints, channels: int) -> Reach:
    """Least and largest real sum of each channel over all codes: (K,) each."""
    return (np.bincount(terms.k, terms.coefficient * low, channels).astype(np.float64),
            np.bincount(terms.k, terms.coefficient * high, channels).astype(np.float64))


def _largest(reach: Reach) -> Floats:
    """Largest |real sum| of each channel: (K,)."""
    return np.maximum(np.abs(reach[0]), reach[1])


def _gains(step: Step, terms: Terms, low: Ints, high: Ints, channels: int, config: Config
           ) -> Floats:
    """s_k: T units per real unit, the largest that factors and T allow; infinite without taps."""
    found = _bounded(terms, low, high, channels, config.total_bits, config)
    if found is not None:
        return found
    needed = next((bits for bits in range(config.total_bits + 1, TOTAL_BITS_MAX + 1)
                   if _bounded(terms, low, high, channels, bits, config) is not None), 0)
    what = "its sums do not fit"
    if needed:
        raise too_small(config, [Need("total_bits", needed, step.path, what)])
    raise CompileError(f"layer {step.path}: {what} total_bits = {config.total_bits} of "
                       f"configuration {config.name!r}; prune the layer")


def _bounded(terms: Terms, low: Ints, high: Ints, channels: int, bits: int, config: Config
             ) -> Floats | None:
    """s_k for a T of so many bits, or None where the factors would become too small."""
    factor_max = (1 << (config.factor_bits - 1)) - 1
    least = min(LEAST_FACTOR, (factor_max + 1) // 2)
    narrow = _per_channel(terms.k[~terms.wide], terms.coefficient[~terms.wide], channels)
    wide = _per_channel(terms.k[terms.wide], terms.coefficient[terms.wide], channels) / WIDE_RUNS
    largest = np.maximum(narrow, wide)
    # a factor is rounded by at most a half
    rounding = np.bincount(terms.k, np.maximum(high, -low), channels) / 2
    room = np.maximum((1 << (bits - 1)) - 1 - rounding, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = factor_max / largest
        allowed = room / _largest(_reach(terms, low, high, channels))
        gain = np.fmin(wanted, allowed)
        lost = (gain < wanted) & (largest * gain < least)
    return None if lost.any() else gain


def _rounded_best(terms: Terms, gain: Floats) -> Floats:
    """For each channel a slightly smaller s_k if its coefficients lose less by rounding then."""
    distinct = np.unique(terms.coefficient)
    key, count = np.unique(terms.k.astype(np.int64) * len(distinct)
                           + np.searchsorted(distinct, terms.coefficient), return_counts=True)
    k, coefficient = key // max(1, len(distinct)), distinct[key % max(1, len(distinct))]
    tried = np.linspace(1, LEAST_GAIN, GAINS)
    loss = np.empty((GAINS, len(gain)))
    for i, part in enumerate(tried):
        scaled = coefficient * (gain[k] * part)
        lost = (np.rint(scaled) - scaled) / part
        loss[i] = np.bincount(k, count * lost ** 2, len(gain))
    return gain * tried[np.argmin(loss, axis=0)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Target:
    """unit: of v, in real numbers; bias: (K,), from the middle of v on; far: sums further from zero
    than this, (K,), leave what v can be; thresholds, codes: of mode CODE."""

    unit: float
    bias: Floats
    far: Floats
    thresholds: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()


def _unit(step: Step, wanted: float, gain: Floats, worst: Floats, far: Floats, bias: Floats
          ) -> float:
    """The finest unit of v, not below the one wanted, for which bias_k and m_k fit their fields.

    m_k must fit for the s_k given and for one that keeps a sum of `far` in u.
    """
    least = min(area.divisor for area in step.areas)
    coarsest = (1 << PRODUCT_SHIFT) / SCALE_MAX / (gain.min(initial=np.inf) * least)
    held = np.minimum(worst, far).max(initial=0) / (SCALE_MAX * least)
    return max(wanted, coarsest * (1 + 1e-9), held, _size(bias) / BIAS_REACH)


def _target(step: Step, meaning: Codebook | Radix, gain: Floats, reach: Reach, config: Config
            ) -> _Target:
    worst = _largest(reach)
    most, least = (choice(area.divisor for area in step.areas) for choice in (max, min))
    if isinstance(meaning, Radix):
        return _radix_target(step, meaning, gain, worst)
    low, high = reach[0] / least, reach[1] / least
    found = _reached(_segments(step, meaning, config), float((step.bias + low).min()),
                     float((step.bias + high).max()))
    places, codes = found.starts, (found.ranks - meaning.order) % config.codes
    first, last = _ends(places)
    middle, half = (first + last) / 2, (last - first) / 2
    bias = step.bias - middle
    far = (half + np.abs(bias)) * most
    # with a bias beyond these all sums have the code of the first segment, or of the last
    below, above = -half - 2 * high, half - 2 * low
    unit = (_unit(step, half / V_REACH, gain, worst, far, np.clip(bias, below, above))
            or _least_distance(bias))
    if _size(bias) > unit * BIAS_REACH:
        bias = np.clip(bias, below - 4 * unit, above + 4 * unit)
    # a threshold may lie up to a unit beyond its place, and a sum must pass it
    return _Target(unit, bias, far + 2 * unit * most,
                   *_clustering(places, codes, unit, middle, config))


def _radix_target(step: Step, meaning: Radix, gain: Floats, worst: Floats) -> _Target:
    if step.function != "identity":
        raise InternalError(f"{step.path}: {step.function} cannot be written as radix planes")
    most = max(area.divisor for area in step.areas)
    far = (meaning.scale * (1 << (meaning.bits - 1)) + np.abs(step.bias)) * most
    unit = _unit(step, meaning.scale, gain, worst, far, step.bias)
    if unit > SCALES[1]:
        raise CompileError(f"layer {step.path}: one step of its output would be {unit:.3g}, more "
                           f"than {SCALES[1]:.3g}; make its weights or its inputs smaller")
    return _Target(unit, step.bias, far)


def _segments(step: Step, meaning: Codebook, config: Config) -> Segments:
    """The segments of the step's function on its codebook; no more than the machine's table has."""
    found = segments(step.function, meaning)
    if len(found) > config.codes:
        raise CompileError(
            f"layer {step.path}: {step.function} crosses its codebook {len(found)} times, but "
            f"configuration {config.name!r} has code_bits = {config.code_bits}; use code_bits = "
            f"{(len(found) - 1).bit_length()} or a function that does not fall")
    return found


def _reached(found: Segments, low: float, high: float) -> Segments:
    """The segments without those that no x reaches, if v has to span half as much then."""
    (first, last), less = _ends(found.starts), found.within(low, high)
    ends = _ends(less.starts)
    return less if 2 * (ends[1] - ends[0]) < last - first else found


def _ends(places: Floats) -> tuple[float, float]:
    return (float(places[0]), float(places[-1])) if len(places) else (0.0, 0.0)


def _size(x: Floats) -> float:
    return float(np.abs(x).max(initial=0))


def _least_distance(bias: Floats) -> float:
    """A unit for a layer without taps: its biases must fall on the right side of the middle."""
    distance = np.abs(bias)[bias != 0]
    return float(distance.min()) if len(distance) else 1.0


def _clustering(places: Floats, codes: Ints, unit: float, middle: float, config: Config
                ) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Integer thresholds and codes, filled up with segments that repeat the last code.

    v rounds to nearest, so v >= n means a real value of at least (n - 1/2) units.
    """
    at = np.rint((np.asarray(places, np.float64) - middle) / unit + 0.5).astype(np.int64)
    rest = config.codes - len(codes)
    thresholds = at.tolist() + [(1 << (CLUSTER_BITS - 1)) - 1] * rest
    return tuple(thresholds), tuple(codes.tolist() + [int(codes[-1])] * rest)


def _scales(step: Step, gain: Floats, unit: float, shift: int, divisor: int) -> Floats:
    return np.rint(2.0 ** (PRODUCT_SHIFT + shift) / (gain * unit * divisor))


def _shift(gain: Floats, unit: float, step: Step) -> int:
    least = min(a.divisor for a in step.areas)
    fits = [t for t in SHIFTS if (_scales(step, gain, unit, t, least) <= SCALE_MAX).all()]
    if not fits:
        raise InternalError(f"{step.path}: no shift makes the scales fit")
    return fits[-1]


def _keep_unsaturated(gain: Floats, worst: Floats, target: _Target, shift: int) -> Floats:
    """s_k lowered where u = T >> t would saturate before v leaves the range that matters."""
    limit = 2.0 ** (U_BITS - 1 + shift)
    with np.errstate(divide="ignore"):
        return np.minimum(gain, limit / np.minimum(worst, target.far))


def _widen(terms: Terms, factor: Ints, largest: int) -> tuple[Terms, Ints]:
    """Wide taps of a larger factor than a cluster can have, in several whose factors add up.

    They join the channel's largest clusters, which costs a clock each; the rest gets its own.
    """
    big = np.flatnonzero(factor > largest)
    if not terms.wide[big].all():
        raise InternalError("a factor exceeds its field")
    keep = factor <= largest
    index, factors = [np.flatnonzero(keep)], [factor[keep]]
    for i in big.tolist():
        mine = np.unique(factor[(terms.k == terms.k[i]) & ~terms.wide])[::-1]
        parts = _parts(int(factor[i]), mine[mine > 0].tolist(), largest)
        index.append(np.full(len(parts), i))
        factors.append(np.array(parts, np.int64))
    return terms.take(np.concatenate(index)), np.concatenate(factors)


def _parts(total: int, existing: list[int], largest: int) -> list[int]:
    """Factors that add up to total: of existing clusters (descending) first, then of new ones."""
    parts = []
    for factor in existing:
        if total <= largest or factor < largest // 4:
            break
        parts.append(factor)
        total -= factor
    while total > 0:
        parts.append(min(total, largest))
        total -= parts[-1]
    return parts


def _pieces(step: Step, gain: Floats, target: _Target, shift: int) -> tuple[Piece, ...]:
    """m_k and bias_k of every area; channels without taps have m_k = 0."""
    pieces = []
    for area in step.areas:
        scales = _scales(step, gain, target.unit, shift, area.divisor)
        bias = ((target.bias / target.unit + 0.5) * 2.0 ** PRODUCT_SHIFT
                + scales * (1 - 2.0 ** -shift) / 2)
        pieces.append(Piece(area.y, area.x, area.height, area.width,
                            tuple(scales.astype(np.int64).tolist()),
                            tuple(np.rint(bias).astype(np.int64).tolist())))
    return tuple(pieces)
