"""The cost model against the recurrence chunk by chunk, and against clocks counted by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import cost, isa, timing
from kcnn.arch.clocks import RunClocks
from kcnn.arch.config import Config
from kcnn.arch.isa import Fill, Load, Store, Table, TableLoad

TINY = Config.preset("tiny")
seeds = st.integers(0, 1 << 30)


def offsets(channels: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """channel_clusters and cluster_taps of the lengths of every channel's clusters."""
    sizes = [size for runs in channels for size in runs]
    return np.cumsum([0, *map(len, channels)]), np.cumsum([0, *sizes])


def stepped(config: Config, chunks: int, drain: list[int], stream: cost.Stream) -> RunClocks:
    """A RUN by the recurrence, one chunk after the other."""
    state, found = timing.Issue.taken(0, config.total_banks), stream.lengths
    for k, clocks in enumerate(drain):
        timing.issue_channel(
            state, config, 0, int(found.slots[k]), int(found.first[k]), int(found.rest[k]),
            int(found.tail[k]), [clocks] * chunks)
    tail = state.drained + timing.drain_latency(config) + 1 - state.issued
    return RunClocks(0, stream.taps * chunks, stream.null_taps * chunks, timing.RUN_SETUP + 1,
                     state.stream, state.multiplier, state.gate, tail)


@settings(max_examples=200)
@given(seeds, st.sampled_from([1, 2, 4, 16]), st.sampled_from([1, 3, 4, 5, 8, 9, 33, 50]),
       st.sampled_from([1, 5, 20, 60]), st.sampled_from([1, 8, 30, 64]))
def test_a_run_takes_what_the_recurrence_says(seed, share, chunks, taps, drain):
    rng = np.random.default_rng(seed)
    config = dataclasses.replace(TINY, lanes=16, share=share, port_bits=64)
    channels = [rng.integers(1, taps + 1, rng.integers(0, 5)).tolist()
                for _ in range(rng.integers(1, 7))]
    drains = (rng.integers(1, drain + 1, len(channels)) if rng.random() < 0.5
              else np.full(len(channels), drain))
    stream = cost.Stream.of(*offsets(channels), share)
    expected = stepped(config, chunks, drains.tolist(), stream)
    assert cost.run_clocks(config, chunks, drains, stream) == expected
    if len(set(drains.tolist())) == 1:
        assert cost.run_cycles(config, chunks, drains[0], stream) == expected.cycles


@pytest.mark.parametrize("channels, drain", [
    ([[30], [40, 3], [25]], 16),            # the issue is always busy
    ([[1], [2, 3], []], 16),                # the drain is
    ([[30], [1], [40], [2, 3]], 16),        # now this, now that
    ([[1]] * 3, 2),                         # neither: TB chunks are on their way
])
def test_hundreds_of_chunks_cost_few_steps(channels, drain, monkeypatch):
    calls = []

    def counted(state, config, full, slots, first, rest, tail, operations):
        calls.append(len(operations))
        return issue(state, config, full, slots, first, rest, tail, operations)
    issue = timing.issue_channel
    stream = cost.Stream.of(*offsets(channels), 2)
    expected = stepped(TINY, 900, [drain] * len(channels), stream)
    monkeypatch.setattr(timing, "issue_channel", counted)
    assert cost.run_clocks(TINY, 900, drain, stream) == expected
    assert sum(calls) <= 6 * 4 * len(channels)


@settings(max_examples=50)
@given(seeds, st.integers(1, 40), st.integers(1, 60))
def test_many_geometries_at_once(seed, taps, most):
    rng = np.random.default_rng(seed)
    config = dataclasses.replace(TINY, lanes=16, share=4, port_bits=64)
    channels = [rng.integers(1, taps + 1, rng.integers(1, 4)).tolist() for _ in range(3)]
    stream = cost.Stream.of(*offsets(channels), config.share)
    chunks, drain = rng.integers(1, 30, 20), rng.integers(1, most + 1, 20)
    found = cost.run_cycles(config, chunks, drain, stream)
    assert found.tolist() == [cost.run_clocks(config, int(c), d, stream).cycles
                              for c, d in zip(chunks, drain, strict=True)]
    grid = cost.run_cycles(config, chunks[:, None], [8, 9], stream)
    assert grid.shape == (20, 2) and grid[3, 1] == cost.run_cycles(config, chunks[3], 9, stream)


def test_a_run_by_hand():
    """tiny: P = 4, M = 2, D = 1; 3 channels of one cluster of 10 taps, 5 chunks: taps bind."""
    stream = cost.Stream.of(*offsets([[10]] * 3), 2)
    # 3 to the first issue, 150 taps, M + 12 to the totals, 4 operations, 14 to the write
    assert cost.run_cycles(TINY, 5, cost.operations(TINY), stream) == 3 + 150 + 14 + 3 + 14 + 1
    assert cost.run_clocks(TINY, 5, cost.operations(TINY), stream) == RunClocks(
        instruction=0, taps=150, null_taps=0, setup=3, stream=0, multiplier=0, gate=0, tail=32)
    assert stream.items.tolist() == [13] * 3 and stream.bytes.tolist() == [19] * 3


def test_items_that_bursts_bring_by_hand():
    """Streams of 29, 7 and 20 bytes: heads, headers, taps, ENDs. Bursts of 16 and 24 bytes and the
    rest, of which an item needs four."""
    stream = cost.Stream.of(*offsets([[10, 8], [], [11]]), 2)
    assert (stream.bytes.tolist(), stream.items.tolist()) == ([29, 7, 20], [21, 3, 14])
    assert cost.items_of_bursts(stream, [4, 6, 5], 4) == [
        [(9, True, False)],                           # 12 of 29 bytes
        [(12, False, True), (3, True, True)],         # 17, and 7
        [(14, True, True)]]


@given(seeds, st.sampled_from([16, 64]))
def test_bursts_bring_every_item_once(seed, burst):
    rng = np.random.default_rng(seed)
    channels = [rng.integers(1, 30, rng.integers(0, 4)).tolist() for _ in range(6)]
    stream = cost.Stream.of(*offsets(channels), 2)
    beats = -(-int(stream.bytes.sum()) // 4) + 1
    sizes = cost.bursts(dataclasses.replace(TINY, burst=burst), beats)
    parts = [part for brought in cost.items_of_bursts(stream, sizes, 4) for part in brought]
    assert sum(items for items, _, _ in parts) == stream.items.sum()
    assert sum(begins for _, begins, _ in parts) == sum(ends for *_, ends in parts) == 6


@given(seeds, st.sampled_from([4, 8, 16, 64, 128]))
def test_chunks_are_counted_as_they_are_walked(seed, lanes):
    rng = np.random.default_rng(seed)
    pitch, rows, images = (int(rng.integers(1, most)) for most in (40, 20, 6))
    shape = cost.Shape(images, rows, pitch, int(rng.integers(1, rows + 1)),
                       int(rng.integers(1, pitch + 1)))
    zero = {field.name: 0 for field in isa.Run.FIELDS}
    run = isa.Run(**zero | {"stream_units": 1, "channels": 1, "digits": 1, "split": 1}
                  | dataclasses.asdict(shape) | isa.chunk_fields(lanes, pitch, rows))
    assert cost.Shape.of(run) == shape
    assert shape.chunks(lanes) == len(timing.chunk_starts(run))


@pytest.mark.parametrize("instruction, clocks", [
    # tiny: a row is one beat of 4 bytes, bursts of 16 beats, latency 8
    (Load(address=0, row=0, rows=20), 2 + (16 + 10) + (4 + 10)),
    (Store(address=0, row=0, rows=20), 2 + (16 + 16 + 11) + (4 + 4 + 11)),
    (TableLoad(kind=Table.OFFSET, bank=0, first=0, count=9), 1 + 9 + 9 + 10),
    (TableLoad(kind=Table.RAMP, bank=0, first=0, count=9), 10),
    (Fill(row=0, rows=7, code=0), 8),
])
def test_other_instructions_by_hand(instruction, clocks):
    assert cost.simple_cycles(TINY, instruction) == clocks


def test_drain_clocks_of_a_chunk():
    assert cost.operations(TINY) == 4
    assert cost.operations(Config.preset("small"), digits=3) == 24
