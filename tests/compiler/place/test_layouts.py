"""Pads are where readers look, elements never overlap, what is read together is in step."""

import canonical
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.scaling import scale
from kcnn.compiler.place.layouts import layouts
from kcnn.compiler.place.splits import split

MACHINE = canonical.config()


def placed(quantised, batch):
    net = scale(lower(quantised), MACHINE, batch)
    return layouts(split(net, batch, MACHINE.codes), MACHINE, batch)


def cells_of(kind, layout):
    """Element at each cell of the allocation, -1 for none."""
    at = layout.addresses(kind.codes)
    cells = np.full(layout.rows * MACHINE.row_codes, -1)
    assert at.min() >= 0 and at.max() < cells.size
    cells[at] = np.arange(at.size).reshape(at.shape)
    assert (cells >= 0).sum() == at.size           # no two elements at one address
    return cells


@settings(max_examples=60)
@given(data=st.data(), batch=st.integers(1, 3))
def test_every_read_meets_its_element_or_a_pad(data, batch):
    """For all layers, outputs and taps: inside the tensor its element, outside a cell of none."""
    found = placed(data.draw(canonical.small_networks(MACHINE)), batch)
    net = found.split.net
    cells = list(map(cells_of, found.kinds, found.layouts))
    for layer in net.layers:
        taps = layer.taps
        _, rows, columns = net.values[layer.output].shape
        for i, source in enumerate(layer.sources):
            kind, layout = found.kinds[source.tensor], found.layouts[source.tensor]
            seen = np.unique(np.stack([taps.dy, taps.dx])[:, taps.source == i], axis=1).T
            if not len(seen):
                continue
            y = seen[:, :1, None] + np.arange(rows)[:, None] * source.stride_y
            x = seen[:, 1:, None] + np.arange(columns) * source.stride_x
            inside = (y >= 0) & (y < kind.height) & (x >= 0) & (x < kind.width)
            for n, c in ((0, 0), (kind.images - 1, kind.channels - 1)):
                start = layout.base + n * layout.image + c * layout.channel
                at = start + layout.offset(y, x)
                assert at.min() >= 0 and at.max() < cells[source.tensor].size
                element = (n * kind.channels + c) * kind.height * kind.width
                expected = np.where(inside, element + y * kind.width + x, -1)
                np.testing.assert_array_equal(cells[source.tensor][at], expected)
            assert inside.all() or found.margins[source.tensor].padded


@settings(max_examples=40)
@given(data=st.data(), batch=st.integers(1, 3))
def test_tensors_that_are_read_together_are_in_step(data, batch):
    found = placed(data.draw(canonical.small_networks(MACHINE)), batch)
    for layer, walk in zip(found.split.net.layers, found.split.walks, strict=True):
        together = [found.layouts[s.tensor] for s in layer.sources]
        if walk.flat:
            assert {layout.image for layout in together} == {1}
            continue
        assert len({found.pitches[s.tensor] for s in layer.sources}) == 1
        assert len({layout.image for layout in together}) == 1
        _, rows, columns = found.split.net.values[layer.output].shape
        assert found.pitches[layer.sources[0].tensor] >= -(-columns // walk.qx)
        assert found.rows[layer.sources[0].tensor] >= -(-rows // walk.qy)
        for source, layout in zip(layer.sources, together, strict=True):
            pitch = found.pitches[source.tensor]
            if walk.qy < rows:          # the next output of a residue is one raster row further
                step = walk.qy * source.stride_y
                assert layout.offset(step, 0) - layout.offset(0, 0) == pitch
            if walk.qx < columns:
                step = walk.qx * source.stride_x
                assert layout.offset(0, step) - layout.offset(0, 0) == 1


def test_neighbours_share_their_pads():
    net = canonical.Builder(MACHINE, (1, 6, 6))
    first = net.conv("x", 4, padding=(1, 1, 1, 1))
    net.output(net.conv(first, 2, (5, 3), padding=(2, 1, 2, 1)))
    layout = placed(net.quantised(), 1).layouts[1]
    assert (layout.row, layout.channel) == (7, 8 * 7)         # one pad a row, two rows a plane
    assert layout.base == 2 * 7 + 1
    assert layout.rows * MACHINE.row_codes - (15 + 4 * 56) < MACHINE.row_codes


def test_offsets_of_pads_go_on_below_zero():
    net = canonical.Builder(MACHINE, (1, 9, 9))
    first = net.conv("x", 1)
    net.output(net.conv(first, 1, (3, 3), (2, 2), (1, 1, 1, 1)))
    layout = placed(net.quantised(), 1).layouts[1]
    assert layout.split == 2
    for y in range(-2, 9):
        step = layout.offset(y + 2, 0) - layout.offset(y, 0)
        assert step == layout.row


def test_the_text_has_a_line_a_tensor():
    _, *lines = str(placed(canonical.two_layers(), 2)).splitlines()
    assert [line.split() for line in lines] == [line.split() for line in """\
x      2x6x5  2  2x2  0  4  4  128  16  chip  -  64  input  conv1
conv1  4x3x3  1  1x1  -  3  3  18   9   chip  -  9   conv1  conv2
conv2  3x2x3  4  1x1  -  3  2  12   6   chip  -  18  conv2  output
""".splitlines()]
