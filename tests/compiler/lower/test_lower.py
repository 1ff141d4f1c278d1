"""Layers as taps: what each layer reads, and with which coefficients."""

import canonical
import numpy as np
import pytest
from kcnn.compiler.errors import InternalError
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.ir.quantised import Codebook
from kcnn.compiler.lower.lower import inside, lower, over_planes, taps

MACHINE = canonical.config()


def by_name(net):
    lowered = lower(net.quantised())
    return lowered, {step.name: step for step in lowered.steps}


def test_a_convolution_has_one_tap_for_each_weight_and_plane():
    net = canonical.Builder(MACHINE, (2, 5, 5))
    conv = net.conv("x", 4, (3, 2), padding=(1, 0, 1, 1), dilation=(1, 2), density=0.5)
    net.output(conv)
    lowered, steps = by_name(net)
    weight, terms = net.weights[conv], steps[conv].terms
    assert len(terms) == 2 * (weight.index > 0).sum()
    exact = weight.dense()
    for plane in (0, 1):
        found = np.zeros_like(exact)
        mine = terms.take(terms.plane == plane)
        np.add.at(found, (mine.k, mine.channel, mine.dy + 1, mine.dx // 2),
                  mine.coefficient * np.where(mine.negative, -1, 1))
        np.testing.assert_allclose(found, exact)
    assert steps[conv].macs == (weight.index > 0).sum() * np.prod(net.shapes[conv][1:])
    assert steps[conv].dense_macs == exact.size * np.prod(net.shapes[conv][1:])


def test_groups_read_their_own_channels():
    net = canonical.Builder(MACHINE, (6, 3, 3))
    conv = net.conv("x", 9, (1, 1), groups=3, density=1.0)
    net.output(conv)
    terms = by_name(net)[1][conv].terms
    np.testing.assert_array_equal(terms.channel // 2, terms.k // 3)


def test_a_negative_channel_scale_turns_the_signs():
    net = canonical.Builder(MACHINE, (1, 3, 3))
    conv = net.conv("x", 2, (1, 1), density=1.0)
    net.output(conv)
    net.weights[conv].channel_scale[:] *= -1
    terms = by_name(net)[1][conv].terms
    assert (terms.coefficient > 0).all()
    real = terms.coefficient * np.where(terms.negative, -1, 1)
    np.testing.assert_allclose(real[terms.plane == 0], net.weights[conv].dense().ravel())


def test_taps_that_only_read_padding_are_dropped():
    terms = taps(np.zeros(5, int), np.zeros(5, int), dy=np.array([-2, -1, 0, 2, 3]))
    kept = inside(terms, [((2, 1), (1, 3, 1))], (1, 2, 1))
    # outputs 0 and 1 are at rows 0 and 2 of 0..2
    assert kept.dy.tolist() == [-2, -1, 0, 2]
    assert inside(terms, [((3, 1), (1, 3, 1))], (1, 2, 1)).dy.tolist() == [-2, -1, 0, 2]


def test_every_tap_of_a_radix_source_is_read_in_each_plane():
    terms = taps(np.arange(3), np.arange(3), source=np.array([0, 1, 1]))
    many = over_planes(terms, np.array([1, 2]))
    assert sorted(zip(many.source.tolist(), many.channel.tolist(), many.plane.tolist(),
                      strict=True)) == [(0, 0, 0), (1, 1, 0), (1, 1, 1), (1, 2, 0), (1, 2, 1)]


def test_members_of_a_concatenation_are_sources():
    net = canonical.Builder(MACHINE, (1, 4, 4))
    first, second = net.conv("x", 2), net.conv("x", 3)
    inner = net.concat([first, second])
    joined = net.concat([inner, first])
    conv = net.conv(joined, 7, (1, 1), groups=7, density=1.0)
    net.output(conv)
    lowered, steps = by_name(net)
    assert [lowered.values[r.value].name for r in steps[conv].reads] == [first, second, first]
    terms = steps[conv].terms
    assert list(zip(terms.source, terms.channel, strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


def test_the_border_of_an_average_has_areas_of_its_own():
    net = canonical.Builder(MACHINE, (1, 6, 7))
    first = net.conv("x", 2)            # 4 x 5
    op = ir.AvgPool((3, 3), (1, 1), (1, 1, 1, 1), count_padding=False)
    pool = net.pool(first, op)
    net.output(pool)
    areas = by_name(net)[1][pool].areas
    divisor = np.zeros((4, 5), int)
    for a in areas:
        divisor[a.y:a.y + a.height, a.x:a.x + a.width] += a.divisor
    ones = np.pad(np.ones((4, 5), int), 1)
    expected = sum(ones[y:y + 4, x:x + 5] for y in range(3) for x in range(3))
    np.testing.assert_array_equal(divisor, expected)
    assert len(areas) == 9


def test_a_maximum_of_another_codebook_is_no_valid_graph():
    net = canonical.Builder(MACHINE, (1, 4, 4))
    pool = net.pool(net.conv("x", 2), ir.MaxPool((2, 2), (1, 1)))
    net.output(pool)
    net.tensors[pool] = Codebook(0.5, np.array([0, 3]))
    with pytest.raises(InternalError, match="not all of one codebook"):
        lower(net.quantised())
