"""A sparse accelerator of the kind of the second paper, as counts: order of pixels, broadcast of
non-zeros, decoding of CCOO words.

Maps arrive one value a clock. Non-zero values are found by a tree and broadcast to all PEs, one a
clock; a PE holds the kernels of some output channels as CCOO words, and for every value walks the
words of its kernels for that input channel, one multiply-accumulate a clock, adding each product
where it belongs in the output. Between broadcast and PE stands a FIFO. A fully connected layer
works the same way, a column of the matrix for every non-zero input.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ORDERS = ("pixel", "map")


@dataclasses.dataclass(frozen=True)
class Shape:
    """A convolution's geometry: maps (depth, height, width), a square kernel, stride, padding."""

    depth: int
    height: int
    width: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def columns(self) -> int:
        """Columns of the output."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1


# ---- order of the pixels -------------------------------------------------------------------
def needed(shape: Shape) -> tuple[Ints, Ints]:
    """For every output position, flat, the first and the last pixel of its window, as rasters."""
    def edges(count: int, size: int) -> tuple[Ints, Ints]:
        first = np.arange(count) * shape.stride - shape.padding
        return np.maximum(first, 0), np.minimum(first + shape.kernel, size) - 1

    top, bottom = edges(shape.rows, shape.height)
    left, right = edges(shape.columns, shape.width)
    first = top[:, None] * shape.width + left
    last = bottom[:, None] * shape.width + right
    return first.ravel(), last.ravel()


def completed(shape: Shape, order: str) -> Ints:
    """Values that must have arrived until each output position is final, flat.

    order "pixel": pixel 0 of all maps, pixel 1 of all maps, ...; "map": map after map.
    """
    _, last = needed(shape)
    if order == "pixel":
        return (last + 1) * shape.depth
    return (shape.depth - 1) * shape.height * shape.width + last + 1


def begun(shape: Shape, order: str) -> Ints:
    """Values that have arrived before the first one that each output position takes."""
    first, _ = needed(shape)
    return first * shape.depth if order == "pixel" else first


def first_output(shape: Shape, order: str) -> int:
    """Values until the first output is final."""
    return int(completed(shape, order).min())


def open_positions(shape: Shape, order: str) -> int:
    """Most output positions that have begun and are not final at one time: partial sums to hold
    for each output channel."""
    starts, ends = np.sort(begun(shape, order)), np.sort(completed(shape, order))
    finished = np.searchsorted(ends, starts, side="right")
    return int((np.arange(1, len(starts) + 1) - finished).max())


# ---- broadcast of non-zeros ----------------------------------------------------------------
def tree_cycles(values: NDArray[Any], leaves: int = 4, levels: int = 3) -> int:
    """Clocks to send the non-zeros of a stream through a tree of leaves^levels inputs.

    A block of as many values is looked at at once; every clock the tree passes its next non-zero.
    A block without any takes one clock.
    """
    block = leaves ** levels
    padded = np.pad(np.ravel(values) != 0, (0, -np.size(values) % block))
    return int(np.maximum(padded.reshape(-1, block).sum(1), 1).sum())


def expected_tree_cycles(count: float, density: float, leaves: int = 4, levels: int = 3) -> float:
    """The same for values that are non-zero independently."""
    block = leaves ** levels
    return count / block * (block * density + (1 - density) ** block)


def fifo_cycles(work: Ints, depth: int) -> int:
    """Clocks until all PEs are done.

    work: (broadcasts, PEs), clocks, 1 or more, that a PE spends on a value. A value is broadcast,
    one a clock, when the FIFOs of all PEs have room; a PE takes it from the next clock on. The
    value that a PE works on is still in its FIFO.
    """
    sent, pes = work.shape
    finished = np.zeros((sent, pes), np.int64)
    last, free = -1, np.zeros(pes, np.int64)
    for i, row in enumerate(work):
        last += 1
        if i >= depth:
            last = max(last, int(finished[i - depth].max()))
        free = np.maximum(free, last + 1) + row
        finished[i] = free
    return int(free.max()) if sent else 0


@dataclasses.dataclass(frozen=True)
class Cycles:
    """Clocks of a layer: with FIFOs of any depth at least `balanced`, at most `lockstep`.

    broadcasts: non-zero values sent. ideal: all PEs busy all the time. macs: words walked, those
    without a target included; useful: those that have one.
    """

    broadcasts: int
    ideal: int
    balanced: int
    lockstep: int
    macs: int
    useful: int


def conv_cycles(codes: NDArray[Any], maps: NDArray[Any], shape: Shape, pes: int,
                by_phase: bool = True) -> Cycles:
    """A convolution of one image; channel m belongs to PE m mod pes.

    codes: (K, C, k, k), maps: (C, H, W); only what is zero counts. by_phase: the words of a kernel
    are kept apart by row and column modulo the stride, so that a value walks only those whose
    products fall on an output, but for the edges.
    """
    step = shape.stride if by_phase else 1
    words, pixels = [], []
    for r, s in np.ndindex(step, step):
        counts = (codes[:, :, r::step, s::step] != 0).sum((2, 3)).astype(np.int64)
        words.append(_per_pe(counts, pes))
        y, x = (r - shape.padding) % step, (s - shape.padding) % step
        here = maps[:, y::step, x::step]
        pixels.append(np.count_nonzero(here.reshape(len(maps), -1), axis=1))
    per_pe, sent = np.concatenate(words), np.concatenate(pixels)
    work = sent[:, None] * per_pe
    return Cycles(int(sent.sum()), -(-int(work.sum()) // pes),
                  max(int(work.sum(0).max()), int(sent.sum())),
                  int(sent @ np.maximum(per_pe.max(1), 1)), int(work.sum()),
                  _useful(codes, maps, shape))


def fc_cycles(codes: NDArray[Any], x: NDArray[Any], pes: int) -> Cycles:
    """A fully connected layer of one image; codes: (K, C), x: (C,); fillers are not counted."""
    words = (codes != 0).astype(np.int64)
    active = x != 0
    per_pe = _per_pe(words, pes)[active]
    macs = int(per_pe.sum())
    return Cycles(int(active.sum()), -(-macs // pes),
                  max(int(per_pe.sum(0).max(initial=0)), int(active.sum())),
                  int(np.maximum(per_pe.max(1, initial=0), 1).sum()), macs, macs)


def work_of_columns(entries: Ints, columns: Ints) -> Ints:
    """(broadcasts, PEs) for `fifo_cycles`: entries (PEs, all columns) of the columns sent."""
    return entries[:, columns].T


def _per_pe(words: Ints, pes: int) -> Ints:
    """(C, PEs): words of an input channel that each PE walks."""
    padded = np.pad(words, ((0, -len(words) % pes), (0, 0)))
    return padded.reshape(-1, pes, words.shape[1]).sum(0).T


def _useful(codes: NDArray[Any], maps: NDArray[Any], shape: Shape) -> int:
    """Products whose output exists: non-zeros of each kernel place times pixels it may meet."""
    kernels = (codes != 0).sum(0).astype(np.int64)
    total = 0
    for r, s in np.ndindex(shape.kernel, shape.kernel):
        rows = np.arange(shape.rows) * shape.stride + r - shape.padding
        columns = np.arange(shape.columns) * shape.stride + s - shape.padding
        rows = rows[(rows >= 0) & (rows < shape.height)]
        columns = columns[(columns >= 0) & (columns < shape.width)]
        met = np.count_nonzero(maps[:, rows][:, :, columns].reshape(len(maps), -1), axis=1)
        total += int(kernels[:, r, s] @ met)
    return total
