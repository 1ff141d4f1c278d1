"""Bands cover a layer once, and their windows hold all that its taps read."""

import dataclasses

import canonical
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler import pipeline
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.scaling import scale
from kcnn.compiler.place.bands import Bands, Reads, clipped, layout_in, place
from kcnn.compiler.place.homes import Home
from kcnn.compiler.place.layouts import layouts
from kcnn.compiler.place.splits import split
from kcnn.compiler.place.tile import with_homes
from kcnn.compiler.stages import Stage

MACHINE = canonical.config()


def outside(quantised, batch, home):
    """The network with every value that can be kept in one form outside."""
    net = scale(lower(quantised), MACHINE, batch)
    found = layouts(split(net, batch, MACHINE.codes), MACHINE, batch)
    return with_homes(found, [Home.CHIP if among else home for among in found.split.interleaved])


def read(layer, value, band):
    """Lines and channels of a value that the band's taps read, one by one."""
    taps = layer.taps
    edges = taps.cluster_taps[taps.channel_clusters]
    mine = slice(int(edges[band.channel]), int(edges[band.channel + band.channels]))
    lines, channels = set(), set()
    for number, source in enumerate(layer.sources):
        if source.tensor == value:
            chosen = taps.source[mine] == number
            channels |= set(taps.channel[mine][chosen].tolist())
            for y in range(band.y, band.y + band.height):
                lines |= set((taps.dy[mine][chosen] + y * source.stride_y).tolist())
    return lines, channels


@settings(max_examples=40)
@given(data=st.data(), batch=st.integers(1, 2), home=st.sampled_from([Home.LINES, Home.PLANES]))
def test_bands_cover_all_outputs_once_and_windows_all_that_is_read(data, batch, home):
    found = outside(data.draw(canonical.small_networks(MACHINE)), batch, home)
    for number, layer in enumerate(found.split.net.layers):
        bands = Bands(found, number)
        sizes = list(bands.sizes())
        assert sizes == sorted(set(sizes), reverse=True)
        size = data.draw(st.sampled_from(sizes))
        covered = np.zeros(found.split.net.values[layer.output].shape[:2], int)
        rows = bands.rows(size)
        for band in bands.cut(size):
            covered[band.channel:band.channel + band.channels, band.y:band.y + band.height] += 1
            for value in bands.outside:
                part = bands.part(value, band)
                assert part.rows <= rows[value]
                if value != layer.output:
                    lines, channels = read(layer, value, band)
                    wanted = lines if home == Home.LINES else channels
                    assert not wanted - set(range(*part.span))
        assert (covered == 1).all()


@settings(max_examples=40)
@given(data=st.data(), batch=st.integers(1, 2), home=st.sampled_from([Home.LINES, Home.PLANES]))
def test_elements_of_a_part_lie_in_its_rows(data, batch, home):
    found = outside(data.draw(canonical.small_networks(MACHINE)), batch, home)
    for number in range(len(found.split.net.layers)):
        bands = Bands(found, number)
        size = data.draw(st.sampled_from(list(bands.sizes())))
        for band in bands.cut(size):
            for value in bands.outside:
                part = bands.part(value, band)
                box = clipped(found, value, part.span)
                there = place(layout_in(found, value, part, 5), box, 0, 1)
                low, high = there.layout.ends(there.shape(found.kinds[value]))
                codes = MACHINE.row_codes
                assert 5 * codes <= low and high < (5 + part.rows - part.tail) * codes


def test_a_pool_reads_some_channels_and_a_convolution_all():
    net = canonical.Builder(MACHINE, (8, 6, 6))
    wide = net.conv("x", 8, (1, 1), density=1.0)
    pooled = net.pool(wide, ir.MaxPool((2, 2), (2, 2), (0, 0, 0, 0)))
    net.output(net.conv(pooled, 4, (1, 1), density=1.0))
    layers = scale(lower(net.quantised()), MACHINE, 1).layers
    band = dataclasses.replace(Bands(outside(net.quantised(), 1, Home.PLANES), 1).cut((3, 2))[1])
    assert Reads(layers[1]).channels(layers[1].sources[0].tensor, band) == (2, 4)
    assert Reads(layers[2]).channels(layers[2].sources[0].tensor, band) == (0, 8)


def test_the_largest_bands_that_fit_are_taken():
    net = canonical.chain(MACHINE, 3, 4)
    small = dataclasses.replace(MACHINE, memory_codes=512)
    made = dict(pipeline.walk(net.quantised(), pipeline.Settings(small)))[Stage.ALLOCATE]
    assert any(len(bands) > 1 for bands in made.bands)
    for number, bands in enumerate(made.bands):
        one = Bands(made, number)
        taken = max((band.height, band.channels) for band in bands)
        sizes = list(one.sizes())
        if taken != sizes[0]:
            larger = sizes[sizes.index(taken) - 1]
            kept = sum(layout.rows for layout, home, life in zip(
                made.layouts, made.homes, made.lives, strict=True)
                if home == Home.CHIP and life.birth <= number <= life.death)
            assert sum(one.rows(larger).values()) + kept > small.rows
