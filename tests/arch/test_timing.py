"""The recurrences against models that step clock by clock, or place by place."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import isa, timing
from kcnn.arch.config import Config
from kcnn.arch.engine import PERIOD, MemoryModel

seeds = st.integers(0, 1 << 30)


def config(share=2, drain=1):
    return Config("c", lanes=16, share=share, drain=drain, code_bits=4, memory_codes=1024,
                  tap_slots=64, base_entries=16, port_bits=32)


@given(seeds, st.integers(0, 2 * PERIOD), st.integers(1, 40))
def test_beat_times_are_those_of_the_memory_model(seed, beat, count):
    model, at, expected = MemoryModel.random(seed % 5), 100, []
    for j in range(count):
        at += 1 + model.wait(beat + j, j == 0)
        expected.append(at)
    assert timing.beat_times(model, beat, 100, count).tolist() == expected


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(-1, 40))
def test_ascend(bounds, previous):
    expected, last = [], previous
    for bound in bounds:
        last = max(last + 1, bound)
        expected.append(last)
    assert timing.ascend(np.array(bounds, np.int64), previous).tolist() == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.sampled_from([4, 8, 16]), seeds)
def test_parser_window(sizes, size, seed):
    """Items fire and beats are popped as in a window of bytes that is stepped every clock."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(sizes)
    offsets = ends - sizes
    beats = -(-(int(ends[-1]) + 4) // size)
    arrival = np.sort(rng.choice(4 * beats + 10, beats, replace=False))
    fire, pop = clocked_parser(sizes, size, arrival)
    found = timing.ascend(arrival[timing.needed_beats(offsets, size)] + 2, -1)
    assert found.tolist() == fire
    room = timing.pop_items(ends, beats, size)
    popped = room < len(sizes)
    bounds = np.maximum(arrival + 1, np.where(room >= 0, np.append(found, -1)[room], -1))
    assert timing.ascend(bounds[popped], -1).tolist() == pop


def clocked_parser(sizes, size, arrival):
    fire, pop, window, queue = [], [], 0, 0
    for t in range(int(arrival[-1]) + 4 * len(sizes) + 10):
        entering = 0
        if window >= 4 and len(fire) < len(sizes):
            window -= sizes[len(fire)]
            fire.append(t)
        if queue and window <= 4:
            queue -= 1
            entering = size
            pop.append(t)
        queue += int((arrival == t).sum())
        window += entering
    return fire, pop


def run_fields(rng, lanes):
    pitch, image_rows, images = (int(rng.integers(1, n)) for n in (9, 6, 5))
    raster = pitch * image_rows
    zero = {f.name: 0 for f in isa.Run.FIELDS}
    return isa.Run(**zero | {
        "stream_units": 1, "channels": 1, "digits": 1, "split": 1, "pitch": pitch,
        "image_rows": image_rows, "images": images,
        "height": int(rng.integers(1, image_rows + 1)), "width": int(rng.integers(1, pitch + 1)),
        "chunk_images": lanes // raster, "chunk_rows": lanes % raster // pitch,
        "chunk_columns": lanes % pitch, "image_pitch": raster,
        "chunk_pitch": lanes // raster * raster})


@given(seeds, st.sampled_from([4, 8, 16, 64]))
def test_chunks_start_at_the_first_position_not_covered(seed, lanes):
    run = run_fields(np.random.default_rng(seed), lanes)
    inside = [(n * run.image_rows + y) * run.pitch + x for n in range(run.images)
              for y in range(run.height) for x in range(run.width)]
    expected = []
    while inside:
        expected.append(inside[0])
        inside = [p for p in inside if p >= expected[-1] + lanes]
    n, y, x = timing.chunk_starts(run).T
    assert ((n * run.image_rows + y) * run.pitch + x).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 63), st.booleans()), min_size=4, max_size=4))
def test_drain_slots_take_the_lowest_position_of_each_bank(positions):
    addresses = np.array([[a for a, _ in positions]])
    inside = np.array([[i for _, i in positions]])
    slots, clocks = timing.drain_slots(addresses, inside, 4)
    left = [d for d in range(4) if positions[d][1]]
    when, clock = {}, 0
    while left or clock == 0:
        chosen = {}
        for d in left:
            chosen.setdefault(positions[d][0] // 4 % 2, positions[d][0] // 4)
        for d in [d for d in left if positions[d][0] // 4 in chosen.values()]:
            when[d] = clock
            left.remove(d)
        clock += 1
    assert clocks.tolist() == [clock]
    assert {d: int(slots[0, d]) for d in when} == when


@settings(max_examples=60)
@given(seeds, st.sampled_from([1, 2, 4, 16]))
def test_issue_equals_a_clocked_pipeline(seed, share):
    rng = np.random.default_rng(seed)
    channels = [rng.integers(1, 2 + rng.integers(0, 12), rng.integers(0, 5)).tolist()
                for _ in range(rng.integers(1, 7))]
    chunks = int(rng.integers(1, 7))
    operations = rng.integers(1, 2 + rng.integers(0, 40), (len(channels), chunks)).tolist()
    full = np.cumsum(rng.integers(0, 2 + rng.integers(0, 60), len(channels)) + 8).tolist()
    starts, freed, ends, losses = clocked_issue(channels, chunks, operations, full, share, 5)

    sizes = [n for runs in channels for n in runs]
    lengths = timing.lengths(np.cumsum([0] + [len(runs) for runs in channels]),
                             np.cumsum([0] + sizes), share)
    state, found = timing.Issue.taken(5, 4), []
    for channel, ready in enumerate(full):
        found.append(timing.issue_channel(
            state, config(share), ready, int(lengths.slots[channel]),
            int(lengths.first[channel]), int(lengths.rest[channel]),
            int(lengths.tail[channel]), operations[channel]))
    assert state.drain_starts == starts
    assert found == freed
    assert (state.issued, state.drained) == ends
    assert state.stream + state.gate + state.multiplier == losses


def clocked_issue(channels, chunks, operations, full, share, taken):
    """Stage 0, stage 1 and the drain, one clock after the other.

    Returns drain starts, cycles of the last presentations, (last issue, last drain cycle), clocks
    without an issue from the first possible one to the last.
    """
    slots = []                                           # (channel, chunk, last of cluster, final)
    for channel, runs in enumerate(channels):
        one = [i == n - 1 for n in runs or [1] for i in range(n)]
        for chunk in range(chunks):
            slots += [(channel, chunk, last or share == 1, i == len(one) - 1, i == 0)
                      for i, last in enumerate(one)]
    total = len(slots)
    freed, starts, waiting, flying = [0] * len(channels), [], [], 0
    stage1, multiplied, t, issues, issued = None, -100, taken + 2, 0, 0
    drain_left, drained, leave = 0, 0, False
    while drained < chunks * len(channels):
        flying -= leave
        leave = False
        if not drain_left and waiting and waiting[0][0] <= t:
            drain_left = waiting.pop(0)[1]
            starts.append(t)
        if drain_left:
            drain_left -= 1
            if not drain_left:
                drained, leave, last_drain = drained + 1, True, t
        free = stage1 is None
        if stage1 is not None:
            channel, chunk, last, final, first = stage1
            if not (last and t < multiplied + share) and not (first and flying == 4):
                free, issues, issued = True, issues + 1, t
                flying += first
                multiplied = t if last else multiplied
                if final:
                    waiting.append((t + share + timing.total_latency(config(share)),
                                    operations[channel][chunk]))
                stage1 = None
        if free and slots and full[slots[0][0]] <= t:
            stage1 = slots.pop(0)
            freed[stage1[0]] = t
        t += 1
    return starts, freed, (issued, last_drain), issued - (taken + 2) - total


def test_lengths_by_hand():
    found = timing.lengths(np.array([0, 3, 3, 4]), np.array([0, 5, 6, 9, 11]), 2)
    assert found.slots.tolist() == [9, 1, 2]
    assert found.first.tolist() == [5, 1, 2]
    assert found.rest.tolist() == [5, 0, 0]          # the cluster of one tap takes two clocks
    assert found.tail.tolist() == [1, 0, 0]


@pytest.mark.parametrize("share, clocks", [(1, 4), (2, 8), (4, 16)])
def test_runs_of_one_tap_take_m_clocks(share, clocks):
    lengths = timing.lengths(np.array([0, 4]), np.arange(5), share)
    state = timing.Issue.taken(0, 4)
    timing.issue_channel(state, config(share), 2, 4, 1, int(lengths.rest[0]),
                         int(lengths.tail[0]), [16])
    assert state.issued == 3 + clocks - share
    assert state.multiplier == clocks - share + 1 - 4


@pytest.mark.parametrize("lanes, share, bits, total, drain", [
    (4, 1, 4, 10, 14), (4, 2, 4, 12, 14), (16, 2, 5, 13, 15), (16, 16, 8, 13, 18),
    (64, 4, 4, 14, 14), (16, 1, 4, 11, 14)])
def test_latencies_by_hand(lanes, share, bits, total, drain):
    """An aligner level for two bits of the lane number; M = 1 has no sums; the search takes AB."""
    machine = dataclasses.replace(config(share), lanes=lanes, code_bits=bits, memory_codes=4096)
    assert timing.total_latency(machine) == total
    assert timing.drain_latency(machine) == drain


def test_masters_by_priority():
    """The table of docs/machine.md: the arbiter's index is the priority."""
    assert [(int(m), m.name) for m in timing.Master] == [
        (0, "STREAM"), (1, "LOAD"), (2, "STORE"), (3, "SEQUENCER")]


def test_lengths_do_not_change():
    found = timing.lengths(np.array([0, 1]), np.array([0, 3]), 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.slots = found.rest


@given(seeds, st.sampled_from([1, 2, 4]), st.integers(0, 500), st.integers(0, 3))
def test_a_repeated_issue_goes_on_as_one_that_came_later(seed, share, clocks, times):
    rng = np.random.default_rng(seed)
    sizes = [rng.integers(1, 9, rng.integers(1, 5)).tolist() for _ in range(6)]
    plans = [(timing.lengths(np.array([0, len(taps)]), np.cumsum([0, *taps]), share),
              rng.integers(1, 30, 3).tolist(), int(rng.integers(0, 40))) for taps in sizes]

    def go_on(state, plans, since):
        return [timing.issue_channel(state, config(share), since + full, int(of.slots[0]),
                                     int(of.first[0]), int(of.rest[0]), int(of.tail[0]), drains)
                for of, drains, full in plans]

    def cycles(state):
        return np.array([state.issued, state.multiplied, state.drained, *state.ring])
    state = timing.Issue.taken(600, 4)
    go_on(state, plans[:3], 600)
    issued, multiplied, drained, *ring = (cycles(state) - clocks).tolist()
    before = dataclasses.replace(state, issued=issued, multiplied=multiplied, drained=drained,
                                 ring=ring, chunk=state.chunk - 4)
    assert state.moved(before)
    assert not state.moved(dataclasses.replace(before, drained=drained - 1))
    later, shift = state.copy(), times * clocks
    later.repeat(before, times)
    assert (cycles(later) == cycles(state) + shift).all()
    assert later.chunk == state.chunk + 4 * times
    since = state.issued
    one, other = go_on(state, plans[3:], since), go_on(later, plans[3:], since + shift)
    assert other == [t + shift for t in one]
    assert (cycles(later) == cycles(state) + shift).all()
