"""The accelerator's counts against machines that take one step a clock."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress.formats import ccoo
from kcnn.compress.formats.coded import Coded
from scripts import script

model = script("bench/compression/pixel_interleaved")
Shape = model.Shape


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    kernel = draw(st.integers(1, 4))
    sizes = st.integers(kernel, 7)
    return Shape(draw(st.integers(1, 3)), draw(sizes), draw(sizes), kernel,
                 draw(st.integers(1, 3)), draw(st.integers(0, kernel - 1)))


def arrivals(shape: Shape, order: str) -> list[tuple[int, int, int]]:
    """(c, y, x) of every value as it arrives."""
    pixels = [(y, x) for y in range(shape.height) for x in range(shape.width)]
    if order == "pixel":
        return [(c, y, x) for y, x in pixels for c in range(shape.depth)]
    return [(c, y, x) for c in range(shape.depth) for y, x in pixels]


def windows(shape: Shape) -> list[set[tuple[int, int, int]]]:
    """Values that every output position takes."""
    out = []
    for i in range(shape.rows):
        for j in range(shape.columns):
            out.append({(c, y, x) for c in range(shape.depth)
                        for y in range(i * shape.stride - shape.padding,
                                       i * shape.stride - shape.padding + shape.kernel)
                        for x in range(j * shape.stride - shape.padding,
                                       j * shape.stride - shape.padding + shape.kernel)
                        if 0 <= y < shape.height and 0 <= x < shape.width})
    return out


@pytest.mark.parametrize("order", model.ORDERS)
@settings(max_examples=40)
@given(shape=shapes())
def test_outputs_are_final_when_the_last_value_of_their_window_has_come(order: str, shape: Shape
                                                                        ) -> None:
    missing = windows(shape)
    done: dict[int, int] = {}
    begun: set[int] = set()
    most = 0
    for count, value in enumerate(arrivals(shape, order), 1):
        begun |= {i for i, left in enumerate(missing) if value in left}
        most = max(most, len(begun - set(done)))
        for i, left in enumerate(missing):
            left.discard(value)
            if not left:
                done.setdefault(i, count)
    assert [done[i] for i in range(len(missing))] == model.completed(shape, order).tolist()
    assert model.first_output(shape, order) == min(done.values())
    assert model.open_positions(shape, order) == most


def test_the_first_output_comes_as_the_formulas_say() -> None:
    shape = Shape(depth=48, height=27, width=27, kernel=5)
    assert model.first_output(shape, "pixel") == (4 * 27 + 5) * 48
    assert model.first_output(shape, "map") == 47 * 27 * 27 + 4 * 27 + 5
    assert model.open_positions(shape, "map") == 23 * 23
    assert model.open_positions(shape, "pixel") < 5 * 23


class Tree:
    """Nodes of four inputs in levels; each passes the first of its inputs that has something."""

    def __init__(self, leaves: int, levels: int) -> None:
        self.leaves, self.levels = leaves, levels

    def pick(self, pending: list[bool]) -> int | None:
        found: list[int | None] = [i if p else None for i, p in enumerate(pending)]
        for _ in range(self.levels):
            found = [next((f for f in found[i:i + self.leaves] if f is not None), None)
                     for i in range(0, len(found), self.leaves)]
        return found[0]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), max_size=60), st.sampled_from([(2, 2), (4, 1), (4, 2)]))
def test_the_tree_sends_one_non_zero_a_clock(values: list[int], size: tuple[int, int]) -> None:
    tree, block, clocks = Tree(*size), size[0] ** size[1], 0
    sent: list[int] = []
    for start in range(0, len(values), block):
        pending = [v != 0 for v in values[start:start + block]]
        pending += [False] * (block - len(pending))
        while True:
            clocks += 1
            found = tree.pick(pending)
            if found is not None:
                sent.append(start + found)
                pending[found] = False
            if not any(pending):
                break
    assert sent == np.flatnonzero(values).tolist()
    assert model.tree_cycles(np.array(values), *size) == clocks


def test_the_expected_clocks_are_those_of_many_values() -> None:
    values = np.random.default_rng(0).random(400_000) < 0.03
    expected = model.expected_tree_cycles(len(values), 0.03, 4, 2)
    assert model.tree_cycles(values, 4, 2) == pytest.approx(expected, rel=0.01)


def clocked(work: np.ndarray, depth: int) -> int:
    """PEs with FIFOs, clock by clock; the value worked on stays in its FIFO until done."""
    queues: list[deque[int]] = [deque() for _ in range(work.shape[1])]
    clock, at = 0, 0
    while at < len(work) or any(queues):
        room = all(len(queue) < depth for queue in queues)
        for queue in queues:
            if queue:
                queue[0] -= 1
                if queue[0] <= 0:
                    queue.popleft()
        if at < len(work) and room:
            for queue, clocks in zip(queues, work[at], strict=True):
                queue.append(int(clocks))
            at += 1
        clock += 1
    return clock


@settings(max_examples=60)
@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 4))
def test_fifos_are_as_clocked(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    work = rng.integers(1, 5, (rng.integers(0, 12), rng.integers(1, 4)))
    assert model.fifo_cycles(work, depth) == clocked(work, depth)


@settings(max_examples=25)
@given(shapes(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2 ** 32 - 1),
       st.booleans())
def test_a_convolution_by_walking_words(shape: Shape, channels: int, pes: int, seed: int,
                                        by_phase: bool) -> None:
    """Every non-zero value meets every word of its kernels; products land in the right output."""
    rng = np.random.default_rng(seed)
    kernel = (channels, shape.depth, shape.kernel, shape.kernel)
    weight = rng.integers(-3, 4, kernel) * (rng.random(kernel) < 0.6)
    maps = rng.integers(0, 3, (shape.depth, shape.height, shape.width))
    coded = Coded(weight.astype(np.int8).view(np.uint8), 8, None, np.ones(1, np.float32))
    weights = ccoo.decode(ccoo.encode(coded), kernel, 8).view(np.int8).astype(np.int64)
    words = {(m, c): [(r, s, int(weights[m, c, r, s])) for r, s in
                      zip(*np.nonzero(weights[m, c]), strict=True)]
             for m in range(channels) for c in range(shape.depth)}
    out = np.zeros((channels, shape.rows, shape.columns), np.int64)
    clocks, useful, macs = np.zeros(pes, np.int64), 0, 0
    lockstep = broadcasts = 0
    for c, y, x in arrivals(shape, "pixel"):
        if not maps[c, y, x]:
            continue
        broadcasts += 1
        now = np.zeros(pes, np.int64)
        for m in range(channels):
            for r, s, w in words[m, c]:
                i, down = divmod(y + shape.padding - r, shape.stride)
                j, right = divmod(x + shape.padding - s, shape.stride)
                now[m % pes] += not (by_phase and (down or right))
                if not (down or right) and 0 <= i < shape.rows and 0 <= j < shape.columns:
                    out[m, i, j] += w * maps[c, y, x]
                    useful += 1
        clocks += now
        macs += int(now.sum())
        lockstep += max(int(now.max()), 1)
    padded = np.pad(maps, ((0, 0), *[(shape.padding,) * 2] * 2))
    for i, j in np.ndindex(shape.rows, shape.columns):
        window = padded[:, i * shape.stride:i * shape.stride + shape.kernel,
                        j * shape.stride:j * shape.stride + shape.kernel]
        assert np.array_equal(out[:, i, j], (weight * window).sum((1, 2, 3)))
    found = model.conv_cycles(weight, maps, shape, pes, by_phase)
    assert found == model.Cycles(broadcasts, -(-macs // pes), max(int(clocks.max()), broadcasts),
                                 lockstep, macs, useful)


@settings(max_examples=30)
@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 4))
def test_a_fully_connected_layer_lies_between_its_bounds(seed: int, pes: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 4, (9, 14)) * (rng.random((9, 14)) < 0.4)
    x = rng.integers(0, 2, 14)
    found = model.fc_cycles(codes, x, pes)
    assert found.macs == sum(np.count_nonzero(codes[:, j]) for j in np.flatnonzero(x))
    entries = np.stack([np.count_nonzero(codes[i::pes], axis=0) for i in range(pes)])
    work = np.maximum(model.work_of_columns(entries, np.flatnonzero(x)), 1)
    deep, shallow = (model.fifo_cycles(work, depth) for depth in (100, 1))
    assert found.ideal <= found.balanced
    assert shallow >= deep >= found.balanced - len(work)
    assert deep <= found.lockstep + 1 + len(work)
