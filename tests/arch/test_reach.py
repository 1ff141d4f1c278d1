"""What taps reach of a source, against every tap and position one by one."""

import dataclasses

import numpy as np
import strategies
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import reach
from kcnn.arch.kind import Kind
from kcnn.arch.layout import Layout
from kcnn.arch.place import Box, Place
from kcnn.arch.program import Source, Taps

KIND = Kind(2, 5, 9, 7, values=tuple(range(16)))
LAYER = strategies.small_program().layers[0]


def layer_of(taps, clusters, channels, sources):
    """taps: (source, channel, plane, dy, dx) each; clusters, channels: offsets."""
    columns = [np.array(column, np.int64) for column in zip(*taps, strict=True)]
    found = Taps.of(np.array(channels), np.ones(len(clusters) - 1, np.int64), np.array(clusters),
                    *columns, np.zeros(len(taps), np.int64))
    return dataclasses.replace(LAYER, taps=found, sources=tuple(map(Source, range(sources))))


TAP = st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 1), st.integers(-3, 9),
                st.integers(-3, 9))


@given(st.lists(TAP, min_size=2, max_size=30), st.data())
def test_reaches_are_those_of_the_channels_taps(taps, data):
    cut = data.draw(st.integers(1, len(taps)))
    layer = layer_of(taps, [0, cut, len(taps)], [0, 1, 2], 2)
    for channels, mine in ((slice(0, 1), taps[:cut]), (slice(1, 2), taps[cut:]),
                           (slice(0, 2), taps)):
        for number, found in enumerate(reach.reaches(layer, channels)):
            own = [tap for tap in mine if tap[0] == number]
            pairs = list(zip(found.dy.tolist(), found.dx.tolist(), strict=True))
            assert pairs == sorted({(tap[3], tap[4]) for tap in own})
            assert found.channels.tolist() == sorted({tap[1] for tap in own})
            assert found.planes.tolist() == sorted({tap[2] for tap in own})


def outputs(n, y, x):
    return reach.Outputs(slice(0, 1), *np.meshgrid(n, y, x, indexing="ij"))


def test_a_part_has_all_that_the_outputs_read():
    found = reach.part(Source(0, 2, 1), reach.Reach(np.array([-1, 1]), np.array([0, 2]),
                                                    np.array([1, 4]), np.array([0])),
                       outputs([1], [0, 1, 2], [3, 4, 5]))
    assert [axis.tolist() for axis in found.axes] == [
        [0], [1], [1, 4], [-1, 1, 3, 5], [3, 4, 5, 6, 7]]
    inside = found.inside(KIND)
    assert inside.shape == (1, 1, 2, 4, 5)
    assert inside[0, 0, 1].tolist() == [[False] * 5] + [[True] * 4 + [False]] * 3


def test_a_part_lies_within_a_box_that_has_its_elements():
    part = reach.Part(np.array([0]), np.array([0]), np.array([1, 2]), np.array([-1, 0, 4]),
                      np.array([-5, 99]))
    layout = Layout(0, 0, 9, channel=63, plane=0, image=400, row=7, column=1)
    for box, within in ((None, True), (Box(0, 5, 1, 2), True), (Box(0, 4, 1, 2), False),
                        (Box(1, 4, 1, 2), False), (Box(0, 5, 2, 2), False),
                        (Box(0, 9, 0, 2), False)):
        assert part.within(Place(layout, box, since=0, until=1), KIND) == within
    beside = dataclasses.replace(part, lines=np.array([-2, -1]))
    assert beside.within(Place(layout, Box(7, 2, 0, 5)), KIND)


def test_addresses_count_from_the_box():
    layout = Layout(1000, 0, 9, channel=63, plane=0, image=400, row=7, column=1)
    part = reach.Part(np.array([0]), np.array([1]), np.array([3]), np.array([4, 5]), np.array([-1]))
    place = Place(layout, Box(4, 2, 3, 1), since=0, until=1)
    assert part.addresses(place).ravel().tolist() == [1399, 1406]


@given(st.lists(st.integers(-50, 50), max_size=40))
def test_distinct_values_ascend(values):
    assert reach.distinct(np.array(values, np.int64)).tolist() == sorted(set(values))
