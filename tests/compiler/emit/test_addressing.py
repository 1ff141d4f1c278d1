"""Base entry + kernel offset + origin is where a tap's element lies, for all kernels."""

import itertools
import math

import canonical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler import pipeline
from kcnn.compiler.emit.schedule import schedule
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.scaling import scale
from kcnn.compiler.place.layouts import layouts
from kcnn.compiler.place.splits import split

MACHINE = canonical.config()


def planned(quantised, batch=1, machine=MACHINE):
    net = scale(lower(quantised), machine, batch)
    return schedule(layouts(split(net, batch, machine.codes), machine, batch), machine)


def check(plan, machine=MACHINE):
    """Every tap of every job reads the address that its layout says."""
    for job in plan.jobs:
        addressing = plan.addressing[job.layer]
        layer = plan.placed.split.net.layers[job.layer]
        pair = {(s, p): (s + p) % 2 for s in range(len(layer.sources)) for p in range(2)}
        tables = addressing.tables(job.entries, job.phase, pair)
        assert len(tables.base) <= machine.base_entries and len(tables.offsets) <= 32
        taps = layer.taps
        edges = taps.cluster_taps[taps.channel_clusters[[job.first, job.end]]]
        mine = slice(int(edges[0]), int(edges[1]))
        position = addressing.positions(job.entries)[mine]
        entry = position >> addressing.kernel_bits
        found = (tables.base[entry] + tables.origin
                 + tables.offsets[position & ((1 << addressing.kernel_bits) - 1)])
        expected = np.zeros(len(position), np.int64)
        for i, source in enumerate(layer.sources):
            layout = plan.placed.layouts[source.tensor]
            at = (layout.base + taps.channel[mine] * layout.channel
                  + taps.plane[mine] * layout.plane
                  + layout.offset(taps.dy[mine] + source.stride_y * job.phase[0],
                           taps.dx[mine] + source.stride_x * job.phase[1]))
            expected = np.where(taps.source[mine] == i, at, expected)
        np.testing.assert_array_equal(found % machine.memory_codes,
                                      expected % machine.memory_codes)
        np.testing.assert_array_equal(tables.pairs[entry],
                                      (taps.source[mine] + taps.plane[mine]) % 2)


@settings(max_examples=60)
@given(data=st.data(), batch=st.integers(1, 2))
def test_taps_read_where_their_layout_says(data, batch):
    check(planned(data.draw(canonical.small_networks(MACHINE)), batch))


@pytest.mark.parametrize("kernel, groups", [((5, 5), 1), ((8, 8), 2), ((1, 40), 2), ((7, 6), 2),
                                            ((40, 1), 2), ((3, 33), 4)])
def test_large_kernels_share_offsets_between_few_base_entries(kernel, groups):
    net = canonical.Builder(MACHINE, (1, *kernel))
    first = net.conv("x", 3, (1, 1), density=1.0)
    net.output(net.conv(first, 2, kernel, radix=True, density=1.0))
    plan = planned(net.quantised())
    check(plan)
    assert len(plan.jobs[1].entries) == 3 * groups
    program = pipeline.back(net.quantised(), MACHINE, 1)
    canonical.check(net.quantised(), program, canonical.random_codes(program, 2))


def test_a_large_kernel_over_a_split_tensor():
    net = canonical.Builder(MACHINE, (1, 13, 13))
    first = net.conv("x", 2, (1, 1))
    net.output(net.conv(first, 2, (7, 7), (2, 2), (3, 3, 3, 3)))
    net.output(net.conv(first, 2, (2, 2)))
    check(planned(net.quantised()))


def test_pruned_positions_cost_no_entries():
    net = canonical.Builder(MACHINE, (1, 8, 8))
    first = net.conv("x", 3, (1, 1), density=1.0)
    last = net.conv(first, 2, (8, 8), radix=True, density=1.0)
    net.weights[last].index[:, :, 2:, 2:] = 0
    net.output(last)
    plan = planned(net.quantised())
    check(plan)
    assert len(plan.jobs[1].entries) == 3              # 28 positions: one group


@pytest.mark.parametrize("channels, kernel, base_entries", [
    (1000, (1, 1), 32), (100, (3, 3), 64), (80, (6, 6), 128), (150, (7, 7), 256),
    (40, (1, 12), 16)])
def test_channels_share_base_entries_where_the_table_does_not_hold_each(channels, kernel,
                                                                        base_entries):
    machine = canonical.config(base_entries=base_entries, memory_codes=8192)
    net = canonical.Builder(machine, (1, *kernel))
    first = net.conv("x", channels, (1, 1))
    net.output(net.conv(first, 3, kernel, radix=True, density=0.1))
    plan = planned(net.quantised(), machine=machine)
    check(plan, machine)
    sizes = [range(1, 33)] * 3
    assert len(plan.addressing[1].all_group) == min(
        math.prod(-(-n // m) for n, m in zip((channels, *kernel), block, strict=True))
        for block in itertools.product(*sizes) if math.prod(block) <= 32)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_linear_layer_of_many_channels_is_one_run(batch):
    machine = canonical.config(base_entries=16, memory_codes=8192)
    net = canonical.Builder(machine, (1, 1, 1))
    first = net.conv("x", 500, (1, 1))
    net.output(net.conv(first, 20, (1, 1), density=0.3, radix=True))
    plan = planned(net.quantised(), batch, machine)
    check(plan, machine)
    assert [(job.layer, len(job.entries)) for job in plan.jobs] == [(0, 2), (1, 16)]
    program = pipeline.back(net.quantised(), machine, batch)
    canonical.check(net.quantised(), program, canonical.random_codes(program, 2))


def test_output_channels_are_split_where_all_channels_do_not_fit_the_base_table():
    machine = canonical.config(base_entries=16)
    net = canonical.Builder(machine, (1, 4, 4))
    first = net.conv("x", 640, (1, 1))
    net.output(net.conv(first, 640, (1, 1), groups=640, density=1.0))
    plan = planned(net.quantised(), machine=machine)
    check(plan, machine)
    assert len(plan.addressing[1].all_group) == 20     # of 32 channels each
    jobs = [(job.first, job.end) for job in plan.jobs if job.layer == 1]
    assert jobs == [(0, 512), (512, 640)]


def test_refuses_a_channel_that_reads_more_than_the_base_table_holds():
    """A maximum: sums are divided."""
    machine = canonical.config(base_entries=16)
    net = canonical.Builder(machine, (1, 40, 40))
    net.output(net.pool(net.conv("x", 1, (1, 1)), ir.MaxPool((40, 40), (1, 1))))
    with pytest.raises(CompileError, match="layer net.maxpool2: an output channel reads 50 blocks "
                                           "of channels and kernel rows, more than base_entries = "
                                           "16 of configuration 'test'; it needs base_entries = "
                                           "64"):
        planned(net.quantised(), machine=machine)
    planned(net.quantised(), machine=canonical.config(base_entries=64))


def test_channels_are_split_where_their_stream_would_be_too_long(monkeypatch):
    net = canonical.Builder(MACHINE, (1, 4, 4))
    net.output(net.conv(net.conv("x", 8, (1, 1)), 10, density=1.0))
    whole = planned(net.quantised())
    assert [(job.first, job.end) for job in whole.jobs if job.layer == 1] == [(0, 10)]
    monkeypatch.setattr("kcnn.compiler.emit.addressing.STREAM_BYTES", 300)
    plan = planned(net.quantised())
    check(plan)
    jobs = [(job.first, job.end) for job in plan.jobs if job.layer == 1]
    assert len(jobs) > 3 and jobs[0][0] == 0 and jobs[-1][1] == 10
    assert all(a[1] == b[0] for a, b in itertools.pairwise(jobs))
    program = pipeline.back(net.quantised(), MACHINE, 1)
    canonical.check(net.quantised(), program, canonical.random_codes(program, 2))
