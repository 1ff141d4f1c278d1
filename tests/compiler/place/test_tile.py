"""Who is kept outside, and in which form: as little as must be, planes where chunks fill better."""

import dataclasses

import canonical
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import reference
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.place.homes import Home
from kcnn.compiler.stages import Stage
from kcnn.tlm.machine import simulate

MACHINE = canonical.config(lanes=8, port_bits=64)
SAME = {"padding": (1, 1, 1, 1), "density": 0.5}


def tiled(net, codes, batch=1, stage=Stage.ALLOCATE):
    """The network on a machine of so many codes."""
    machine = dataclasses.replace(MACHINE, memory_codes=codes)
    return dict(pipeline.walk(net.quantised(), pipeline.Settings(machine, batch=batch)))[stage]


def homes(net, codes, batch=1):
    """Where each value is kept, by name."""
    found = tiled(net, codes, batch)
    return dict(zip([value.name for value in found.split.net.values], found.homes, strict=True))


def small_tail():
    """Two large layers, a pool, and layers that are small behind it."""
    net = canonical.Builder(MACHINE, (1, 32, 32))
    first = net.conv("x", 4, **SAME)
    second = net.conv(first, 4, **SAME)
    pool = net.pool(second, ir.MaxPool((4, 4), (4, 4), (0, 0, 0, 0)))
    third = net.conv(pool, 4, **SAME)
    net.output(net.conv(third, 3, (8, 8), radix=True, kind="Linear"))
    return net, (first, second), (pool, third)


def test_nothing_moves_where_all_fits():
    net, _, _ = small_tail()
    assert set(homes(net, 1 << 17).values()) == {Home.CHIP}
    assert not tiled(net, 1 << 17).bands


def test_the_small_layers_at_the_end_stay_on_chip():
    net, large, small = small_tail()
    found = homes(net, 4096)
    assert {found[name] for name in large} == {Home.LINES}
    assert {found[name] for name in small} == {Home.CHIP}


def test_whole_planes_are_read_where_lines_fill_the_lanes_worse():
    """9 of 16 lanes hold a line of 9; planes of 9 x 10 cells fill all but the last chunk."""
    net = canonical.Builder(MACHINE, (1, 9, 9))
    first = net.conv("x", 8, **SAME)
    second = net.conv(first, 64, **SAME)
    pool = net.pool(second, ir.MaxPool((3, 3), (3, 3), (0, 0, 0, 0)))
    net.output(net.conv(pool, 2, (3, 3), radix=True, kind="Linear"))
    found = homes(net, 4096)
    assert found[first] == Home.CHIP and found[second] == Home.PLANES
    bands = tiled(net, 4096).bands
    assert len(bands[1]) > 1 and all(band.height == 9 for band in bands[1])


def test_a_skip_that_does_not_fit_beside_is_read_by_groups_of_channels():
    net = canonical.Builder(MACHINE, (1, 7, 7))
    first = net.conv("x", 16, **SAME)
    middle = net.conv(first, 16, **SAME)
    net.output(net.conv(middle, 16, **SAME, skip=first))
    found = tiled(net, 2048)
    assert Home.LINES not in found.homes
    assert Home.PLANES in found.homes


@settings(max_examples=25)
@given(data=st.data(), batch=st.integers(1, 3), codes=st.sampled_from([128, 256, 512, 1024]))
def test_what_is_read_together_has_one_form(data, batch, codes):
    machine = canonical.config(memory_codes=codes)
    quantised = data.draw(canonical.small_networks(machine))
    for stage, form in _until_refused(quantised, machine, batch):
        if stage == Stage.TILE:
            for layer in form.split.net.layers:
                forms = {form.homes[source.tensor] == Home.LINES for source in layer.sources}
                assert len(forms) == 1


def _until_refused(quantised, machine, batch):
    stages = pipeline.walk(quantised, pipeline.Settings(machine, batch=batch))
    while True:
        try:
            yield next(stages)
        except (StopIteration, pipeline.CompileError):
            return


def packed_network():
    """Lines of 20 take two chunks of 16; planes of 20 columns and a pad take 1.3."""
    machine = canonical.config(lanes=16, share=4, drain=4, port_bits=64, memory_codes=4096)
    net = canonical.Builder(machine, (1, 30, 20))
    first = net.conv("x", 8, **SAME)
    second = net.conv(first, 24, padding=(1, 1, 1, 1), density=1.0)
    third = net.conv(second, 8, stride=(2, 2), padding=(1, 1, 1, 1), density=1.0)
    net.output(net.conv(third, 2, (1, 1), density=1.0))
    return net, machine, second


def test_lines_are_packed_where_planes_fill_the_lanes_and_do_not_fit_whole():
    net, machine, second = packed_network()
    made = dict(pipeline.walk(net.quantised(), pipeline.Settings(machine)))
    placed, order = made[Stage.ALLOCATE], made[Stage.SCHEDULE]
    copies = [value for value, home in enumerate(placed.homes) if home == Home.PACKED]
    assert copies
    for number, layer in enumerate(placed.split.net.layers):
        if layer.output in copies:
            ahead = [job for job in order.jobs if job.layer == number]
            (reader,) = {job.ahead[0] for job in ahead}
            lines = {y for job in ahead for y in range(job.y, job.y + job.height)}
            assert lines == set(range(placed.kinds[layer.output].height))
            assert placed.packing(reader) and placed.split.net.layers[reader].sources[
                0].tensor in copies


def test_packed_lines_compute_what_whole_planes_do():
    net, machine, _ = packed_network()
    program = pipeline.back(net.quantised(), machine, 1)
    codes = [canonical.random_codes(program, 1)]
    expected = reference.run(program, codes)
    found = simulate(program, memory_image(program, codes), MemoryModel.random(2))
    for index, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, expected[index], program.tensors[index].name)
    assert len(found.tensors) == len(program.tensors)
