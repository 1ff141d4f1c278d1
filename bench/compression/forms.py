"""Five ways to compute a convolution whose weights and maps have few values; all give the same.

    A  activations that meet equal weights are added, then multiplied once a weight value
    B  weights that meet equal activations are added, then multiplied once a map value
    C  every product is read from a table of weight value x map value, formed once a layer
    D  a pixel's products with the weight values are formed when first needed, then read back
    E  how often each pair of values meets is counted, then the counts are multiplied and added

Zero weights and zero activations are skipped in all of them; where one is zero nothing is counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from kcnn.compress.account import Layer
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution of clustered integers. Code 0 is zero, code j the value number j - 1.

    weight: codes (K, C / groups, kh, kw); weight_values: (Kw,); maps: codes (C, H, W) of one image;
    map_values: (Kx,); stride, padding: rows and columns alike. A fully connected layer is a
    convolution of 1x1 maps.
    """

    weight: Ints
    weight_values: Ints
    maps: Ints
    map_values: Ints
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        _, _, kh, kw = self.weight.shape
        _, height, width = self.maps.shape
        return ((height + 2 * self.padding - kh) // self.stride + 1,
                (width + 2 * self.padding - kw) // self.stride + 1)

    def parts(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """For every group: map codes (positions, taps), weight codes (channels, taps), and which
        map value (positions, taps) each is, numbered over the padded maps."""
        pad = self.padding
        padded = np.pad(self.maps, ((0, 0), (pad, pad), (pad, pad)))
        pixels = np.arange(padded.size, dtype=np.int64).reshape(padded.shape)
        for g in range(self.groups):
            depth, channels = (n // self.groups for n in (len(self.maps), len(self.weight)))
            kernel = self.weight[g * channels:(g + 1) * channels].reshape(channels, -1)
            mine = slice(g * depth, (g + 1) * depth)
            yield self._patches(padded[mine]), kernel, self._patches(pixels[mine])

    def _patches(self, padded: Ints) -> Ints:
        window = (1, *self.weight.shape[2:])
        windows = np.lib.stride_tricks.sliding_window_view(padded, window)[:, :, :, 0]
        steps = windows[:, ::self.stride, ::self.stride].transpose(1, 2, 0, 3, 4)
        return steps.reshape(steps.shape[0] * steps.shape[1], -1)


@dataclasses.dataclass(frozen=True)
class Counts:
    """Work of one image.

    additions: of whole numbers of the data's width, the last ones of each output included;
    increments: of small counters; lookups: products read from a table or cache; formed: entries
    that were multiplied for it.
    """

    multiplications: int = 0
    additions: int = 0
    increments: int = 0
    lookups: int = 0
    formed: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of the lookups that need no new multiplication; 0 without lookups."""
        return 1 - self.formed / self.lookups if self.lookups else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(dataclasses.astuple(self),
                                              dataclasses.astuple(other), strict=True)))


# sums (positions, channels) and counts of one group, from what Convolution.parts yields
Form = Callable[[Convolution, Ints, Ints, Ints], tuple[Ints, Counts]]


def compute(form: str, conv: Convolution) -> tuple[Ints, Counts]:
    """The result (K, rows, columns), int64, by one of FORMS, and the work done for one image."""
    results, counts = zip(*(FORMS[form](conv, *part) for part in conv.parts()), strict=True)
    channels = np.concatenate([result.T for result in results])
    counted = sum(counts, Counts())
    if form in ("C", "E"):
        table = len(conv.weight_values) * len(conv.map_values)
        counted += Counts(multiplications=table, formed=table)
    return channels.reshape(len(channels), *conv.positions), counted


def direct(conv: Convolution) -> tuple[Ints, Counts]:
    """The same without clusters: one multiplication and addition for each pair of non-zeros."""
    results = [_value(conv.map_values, x) @ _value(conv.weight_values, w).T
               for x, w, _ in conv.parts()]
    meetings = sum(_matched(x, w) for x, w, _ in conv.parts())
    channels = np.concatenate([result.T for result in results])
    return channels.reshape(len(channels), *conv.positions), Counts(meetings, meetings)


def _value(values: Ints, codes: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), values])[codes]


def _matched(x: Ints, w: Ints) -> int:
    """Pairs of a weight and an activation that are both not zero."""
    return int(((x != 0).sum(0) * (w != 0).sum(0)).sum())


def _outputs(x: Ints, w: Ints) -> int:
    return len(x) * len(w)


def weight_sums(conv: Convolution, x: Ints, w: Ints, pixels: Ints) -> tuple[Ints, Counts]:
    """Form A: acc[code of w] += x; y = sum of value times acc."""
    values = _value(conv.map_values, x)
    y = np.zeros((len(x), len(w)), np.int64)
    for k, factor in enumerate(conv.weight_values, 1):
        accumulator = values @ (w == k).T.astype(np.int64)
        y += factor * accumulator
    last = len(conv.weight_values) * _outputs(x, w)
    return y, Counts(last, _matched(x, w) + last)


def map_sums(conv: Convolution, x: Ints, w: Ints, pixels: Ints) -> tuple[Ints, Counts]:
    """Form B: acc[code of x] += w; y = sum of value times acc."""
    values = _value(conv.weight_values, w)
    y = np.zeros((len(x), len(w)), np.int64)
    for j, factor in enumerate(conv.map_values, 1):
        accumulator = (x == j).astype(np.int64) @ values.T
        y += factor * accumulator
    last = len(conv.map_values) * _outputs(x, w)
    return y, Counts(last, _matched(x, w) + last)


def product_table(conv: Convolution, x: Ints, w: Ints, pixels: Ints) -> tuple[Ints, Counts]:
    """Form C: y += table[code of w][code of x]. The table is formed once a layer."""
    table = np.zeros((len(conv.weight_values) + 1, len(conv.map_values) + 1), np.int64)
    table[1:, 1:] = np.outer(conv.weight_values, conv.map_values)
    y = np.stack([table[row, x].sum(1) for row in w], 1)
    meetings = _matched(x, w)
    return y, Counts(additions=meetings, lookups=meetings)


def pixel_products(conv: Convolution, x: Ints, w: Ints, pixels: Ints) -> tuple[Ints, Counts]:
    """Form D: a cache holds each pixel's products with weight values; formed at first use."""
    values = _value(conv.map_values, x)
    cache = np.zeros((int(pixels.max()) + 1, len(conv.weight_values) + 1), np.int64)
    held = np.zeros(cache.shape, bool)
    y = np.zeros((len(x), len(w)), np.int64)
    for m, row in enumerate(w):
        used = (row != 0) & (x != 0)
        at, code = pixels[used], np.broadcast_to(row, x.shape)[used]
        fresh = ~held[at, code]
        cache[at[fresh], code[fresh]] = values[used][fresh] * conv.weight_values[code[fresh] - 1]
        held[at, code] = True
        products = np.zeros(x.shape, np.int64)
        products[used] = cache[at, code]
        y[:, m] = products.sum(1)
    meetings, formed = _matched(x, w), int(held.sum())
    return y, Counts(formed, meetings, lookups=meetings, formed=formed)


def pair_counts(conv: Convolution, x: Ints, w: Ints, pixels: Ints) -> tuple[Ints, Counts]:
    """Form E: n[code of w][code of x] += 1; y = sum of n times the product of the values, which
    come from the table of form C."""
    y = np.zeros((len(x), len(w)), np.int64)
    for k, factor in enumerate(conv.weight_values, 1):
        for j, value in enumerate(conv.map_values, 1):
            count = (x == j).astype(np.int64) @ (w == k).T.astype(np.int64)
            y += count * (factor * value)
    pairs = len(conv.weight_values) * len(conv.map_values)
    last = pairs * _outputs(x, w)
    return y, Counts(last, last, increments=_matched(x, w), lookups=last)


def expected(form: str, layer: Layer, weight_values: int, map_values: int,
             zero_weights: bool = True) -> Counts:
    """Work of a layer known by its costs alone, zero weights skipped or not.

    The same as that of `compute`; for D, whose misses depend on where non-zeros meet, an upper
    bound: each non-zero input value is multiplied with every weight value.
    """
    meetings = round(layer.matched if zero_weights else layer.active)
    pairs, outputs = weight_values * map_values, layer.outputs
    if form in ("A", "B"):
        last = (weight_values if form == "A" else map_values) * outputs
        return Counts(last, meetings + last)
    if form == "C":
        return Counts(pairs, meetings, lookups=meetings, formed=pairs)
    if form == "D":
        formed = min(round(layer.nonzero_inputs * weight_values), meetings)
        return Counts(formed, meetings, lookups=meetings, formed=formed)
    return Counts(pairs + pairs * outputs, pairs * outputs, meetings, pairs * outputs, pairs)


FORMS: dict[str, Form] = {"A": weight_sums, "B": map_sums, "C": product_table,
                          "D": pixel_products, "E": pair_counts}
