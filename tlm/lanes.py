"""What a RUN computes, all positions at once: decoded values, totals, codes, destinations.

Positions are those inside the rectangle, in chunk order; X is their number, K the channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..arch import fixed
from ..arch.config import Config
from ..arch.errors import FormatError
from ..arch.isa import Mode, Run
from ..arch.parse import Parsed
from .memory import ActivationMemory, Tables

Ints = NDArray[np.int64]

# elements of the largest intermediate matrix
BLOCK = 1 << 22


def totals(run: Run, stream: Parsed, raster: Ints, memory: ActivationMemory, tables: Tables
           ) -> Ints:
    """T of every channel and position, (K, X); raster: raster position of each, (X,)."""
    config = memory.config
    out = np.zeros((run.channels, len(raster)), np.int64)
    if len(stream.position):
        find = _maxima if run.mode == Mode.PASS else _sums
        find(out, run, stream, raster, memory, tables)
    limit = 1 << (config.total_bits - 1)
    if not -limit <= out.min() <= out.max() < limit:
        raise FormatError(f"a total of the RUN with the stream at unit {run.stream} does not fit "
                          f"{config.total_bits} bits; recompile the network")
    return out


def _blocks(size: int, other: int) -> Iterator[slice]:
    """Cut `size` so that each part times `other` is about a BLOCK."""
    step = max(1, BLOCK // other)
    return (slice(low, low + step) for low in range(0, size, step))


def _reads(run: Run, position: Ints, raster: Ints, memory: ActivationMemory, tables: Tables
           ) -> Ints:
    """The value that each tap reads at each raster position."""
    config = memory.config
    entry = position >> run.kernel_bits
    kernel = position & ((1 << run.kernel_bits) - 1)
    first = tables.base[run.base_bank, entry] + tables.offset[run.offset_bank, kernel] + run.origin
    codes = memory.codes[(first[:, None] + raster) & (config.memory_codes - 1)]
    return tables.decode[tables.pair[run.base_bank, entry][:, None], codes]


def _sums(out: Ints, run: Run, stream: Parsed, raster: Ints, memory: ActivationMemory,
          tables: Tables) -> None:
    """Sum clusters: a product of matrices, exact in float64."""
    key, _ = stream.read
    small = run.channels * len(key) <= BLOCK
    for block in _blocks(len(raster), len(key)):
        values = _reads(run, key, raster[block], memory, tables).astype(np.float64)
        if small:
            out[:, block] = stream.weights @ values
            continue
        for channels in _blocks(run.channels, len(key)):
            out[channels, block] = stream.weights_of(channels) @ values


def _maxima(out: Ints, run: Run, stream: Parsed, raster: Ints, memory: ActivationMemory,
            tables: Tables) -> None:
    """MAX clusters: the first value of one whose AB lowest bits are the largest, with the sign of
    its last tap.
    """
    channel = np.repeat(np.arange(run.channels), np.diff(stream.channel_clusters))
    last = stream.cluster_taps[1:] - 1
    taps = len(stream.position)
    before = np.arange(taps)[::-1]          # of equals the first tap has the largest number
    factor = stream.factor * np.where(stream.negative[last], -1, 1)
    for block in _blocks(len(raster), len(stream.position)):
        values = _reads(run, stream.position, raster[block], memory, tables)
        low = values & (memory.config.codes - 1)
        largest = taps - 1 - np.maximum.reduceat(
            low * taps + before[:, None], stream.cluster_taps[:-1]) % taps
        values = np.take_along_axis(values, largest, 0)
        np.add.at(out[:, block], channel, factor[:, None] * values)


def drained(run: Run, total: Ints, stream: Parsed, tables: Tables, config: Config) -> Ints:
    """The codes that the drain writes, (digits, K, X)."""
    if run.mode == Mode.PASS:
        return ((total - run.order) & (config.codes - 1))[None]
    v = fixed.requantize(total, fixed.SHIFTS[run.shift], stream.scale[:, None],
                         stream.bias[:, None])
    if run.mode == Mode.RADIX:
        return fixed.radix_digits(v, run.digits, run.radix_width, config.code_bits)
    bank = run.cluster_bank
    return fixed.cluster(v, tables.threshold[bank, 1:], tables.code[bank])[None]
