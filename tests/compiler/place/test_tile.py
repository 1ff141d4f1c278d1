"""Who is kept outside, and in which form: as little as must be, planes where chunks fill better."""

import dataclasses

import canonical
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler import pipeline
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.place.homes import Home
from kcnn.compiler.stages import Stage

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
