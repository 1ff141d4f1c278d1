"""Phase planes, copies and walks: the least that serves every reader, and right results."""

import canonical
import numpy as np
import pytest
from kcnn.arch import fixed
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import MaxPool
from kcnn.compiler.ir.quantised import Radix
from kcnn.compiler.lower.lower import lower
from kcnn.compiler.lower.lowered import Value
from kcnn.compiler.lower.scaling import scale
from kcnn.compiler.place.splits import Walk, copy_layer, split
from kcnn.tlm.machine import simulate

MACHINE = canonical.config()


def run(net, batch=1):
    """The compiled network after torch, reference and machine have agreed on every tensor."""
    quantised = net.quantised()
    program = pipeline.back(quantised, MACHINE, batch)
    codes = canonical.random_codes(program, 1)
    tensors = canonical.check(quantised, program, codes)
    result = simulate(program, memory_image(program, [codes]), MemoryModel.fixed(2))
    for index, expected in tensors.items():
        np.testing.assert_array_equal(result.tensors[index], expected,
                                      program.tensors[index].name)
    return program


def chosen(net, batch=1):
    """(splits by value name, walks by layer name, names of copies)"""
    found = split(scale(lower(net.quantised()), MACHINE, batch), batch, MACHINE.codes)
    names = [value.name for value in found.net.values]
    return (dict(zip(names, found.splits, strict=True)),
            {layer.name: walk for layer, walk in zip(found.net.layers, found.walks, strict=True)},
            [layer.name for layer in found.net.layers if layer.kind == "Copy"])


def start(shape=(1, 9, 9), channels=2, signed=False):
    net = canonical.Builder(MACHINE, shape)
    return net, net.conv("x", channels, padding=(1, 1, 1, 1), signed=signed)


def test_a_stride_splits_its_source():
    net, first = start()
    second = net.conv(first, 2, (3, 3), (2, 2), (1, 1, 1, 1))
    net.output(net.conv(second, 2, (3, 3), (3, 3)))
    splits, walks, copies = chosen(net)
    assert (splits["x"], splits[first], splits[second]) == ((1, 1), (2, 2), (1, 1))
    assert not copies and set(walks.values()) == {Walk()}
    run(net)


def test_readers_of_different_strides_share_the_larger_split():
    net, first = start()
    fine = net.conv(first, 2, (3, 3))
    coarse = net.conv(first, 2, (3, 3), (2, 2))
    net.output(fine)
    net.output(coarse)
    splits, walks, copies = chosen(net)
    assert splits[first] == (2, 2) and not copies
    assert (walks[fine], walks[coarse]) == (Walk(2, 2), Walk())
    assert [len(layer.runs) for layer in run(net).layers] == [1, 4, 1]


def test_a_skip_tensor_that_is_also_strided_over_splits_the_other_source_too():
    net, first = start()
    middle = net.conv(first, 2, padding=(1, 1, 1, 1))
    net.output(net.conv(middle, 2, padding=(1, 1, 1, 1), skip=first))
    net.output(net.conv(first, 2, (1, 1), (2, 2)))
    splits, _, copies = chosen(net)
    assert splits[first] == splits[middle] == (2, 2) and not copies
    run(net, 2)


def test_a_stride_in_one_direction_splits_only_that_direction():
    net, first = start()
    net.output(net.conv(first, 2, (3, 3), (2, 1)))
    net.output(net.conv("x", 2, (3, 3), (1, 4), padding=(0, 2, 1, 3)))
    splits, walks, copies = chosen(net)
    assert splits[first] == (2, 1) and not copies
    assert splits["x"] == (1, 4)
    run(net, 2)


def test_two_splits_that_no_phase_planes_express_become_equal():
    net, first = start()
    net.output(net.conv(first, 2, (3, 3), (2, 4)))
    splits, walks, _ = chosen(net)
    assert splits[first] == (4, 4)
    assert walks["conv2"] == Walk(2, 1)
    run(net)


def test_strides_without_a_common_split_read_a_copy():
    net, first = start(signed=True)
    for stride in (3, 4, 2, 3):
        net.output(net.conv(first, 2, (3, 3), (stride, stride), (1, 0, 0, 1)))
    splits, _, copies = chosen(net)
    assert copies == [f"{first}.layout1"]             # 4 and 2 share it
    assert splits[first] == (3, 3) and splits[copies[0]] == (4, 4)
    run(net, 2)


def test_a_copy_of_radix_planes_is_exact():
    net = canonical.Builder(MACHINE, (2, 9, 8))
    for stride in (3, 4):
        net.output(net.conv("x", 2, (3, 3), (stride, stride), (1, 1, 1, 1)))
    _, _, copies = chosen(net)
    assert copies == ["x.layout1"]
    program = run(net, 2)
    assert program.tensors[1].kind.planes == 1 and program.tensors[-1].kind.planes == 2


def test_a_copy_of_radix_planes_needs_no_factor_but_one():
    layer = copy_layer("copy", 0, 1, Value("x", "x", (1, 2, 2), Radix(1.0, 16, 4)))
    assert set(layer.taps.cluster_factor) == {1}           # as factor_bits = 2 can hold
    (piece,) = layer.pieces
    x = np.arange(-(1 << 15) + 1, 1 << 15)
    np.testing.assert_array_equal(
        fixed.requantize(x, layer.shift, piece.scale[0], piece.bias[0]), x)


@pytest.mark.parametrize("stride", [(2, 3), (3, 4)])
@pytest.mark.parametrize("skip", [False, True])
def test_strides_that_no_split_serves_take_a_run_for_each_row(stride, skip):
    net, first = start()
    other = net.conv("x", 2, (1, 1), stride) if skip else None
    last = net.conv(first, 2, (1, 1), stride, skip=other)
    net.output(last)
    walks = chosen(net)[1]
    rows = net.shapes[last][1]
    assert walks[last] == Walk(rows, 1)
    run(net, 2)


def test_refuses_strides_above_four():
    net, first = start((1, 12, 12))
    net.output(net.conv(first, 2, (2, 2), (1, 5)))
    with pytest.raises(CompileError, match="layer net.conv2: its stride is 5, and a tensor has at "
                                           "most 4 x 4 phases; use strides up to 4"):
        chosen(net)


def test_one_output_makes_the_stride_irrelevant():
    net, first = start((1, 6, 6))
    net.output(net.conv(first, 2, (6, 6), (7, 7)))
    assert chosen(net)[0][first] == (1, 1)
    run(net)


def test_a_signed_tensor_pads_for_the_maximum_or_for_sums_but_not_both():
    net, first = start(signed=True)
    pool = net.pool(first, MaxPool((3, 3), (1, 1), (1, 1, 1, 1)))
    net.output(net.conv(first, 2, padding=(1, 1, 1, 1)))
    net.output(pool)
    assert chosen(net)[2] == [f"{first}.layout1"]
    program = run(net)
    lowest = -net.tensors[first].order % MACHINE.codes
    pads = {t.name: t.kind.pad for t in program.tensors}
    assert {pads[first], pads[f"{first}.layout1"]} == {0, lowest} and lowest


def test_an_unsigned_tensor_pads_for_both():
    net, first = start()
    net.output(net.pool(first, MaxPool((3, 3), (2, 2), (1, 1, 1, 1))))
    net.output(net.conv(first, 2, padding=(1, 1, 1, 1)))
    assert not chosen(net)[2]
    run(net)


def test_images_fill_the_lanes_of_layers_of_one_output():
    net, first = start((1, 4, 3))
    second = net.conv(first, 3, (4, 3))
    net.output(net.conv(second, 2, (1, 1), radix=True, kind="Linear"))
    _, walks, copies = chosen(net, 3)
    assert not copies and walks[second].flat and walks["conv3"].flat
    program = run(net, 3)
    layouts = {t.name: t.layout for t in program.tensors}
    assert (layouts[first].image, layouts[first].column, layouts[first].row) == (1, 3, 9)
    assert layouts[second].image == 1
    assert chosen(net, 1)[1][second] == Walk()


def test_images_are_copied_side_by_side_for_a_reader_of_one_output_among_others():
    net, first = start((1, 4, 3))
    net.output(net.conv(first, 3, (4, 3), radix=True))
    net.output(net.conv(first, 2, (2, 2)))
    net.output(net.conv(first, 1, (4, 3), radix=True))
    _, walks, copies = chosen(net, 2)
    assert copies == [f"{first}.layout1"] and not walks[copies[0]].flat
    assert not chosen(net, 1)[2]
    run(net, 2)


def test_a_concatenation_is_read_member_by_member():
    net, first = start()
    second = net.conv(first, 3, padding=(1, 1, 1, 1))
    joined = net.concat([first, second, first])
    net.output(net.conv(joined, 2, (3, 3), (2, 2), groups=1))
    splits, _, copies = chosen(net)
    assert splits[first] == splits[second] == (2, 2) and not copies
    run(net, 2)


def test_a_concatenation_that_is_an_output_is_copied():
    net, first = start()
    second = net.conv(first, 3, padding=(1, 1, 1, 1))
    net.output(net.concat([first, second]))
    program = run(net, 2)
    assert program.tensors[program.outputs[0].tensor].kind.channels == 5


def test_the_text_has_values_and_layers():
    net = scale(lower(canonical.two_layers()), canonical.TINY, 2)
    assert str(split(net, 2, canonical.TINY.codes)) == """\
value  makes  phases  images  pad  copy
x      2x6x5  2x2               0
conv1  4x3x3  1x1               0
conv2  3x2x3  1x1               0

layer  kind    reads   makes  outputs of a RUN
conv1  Conv2d  x /2,2  conv1
conv2  Conv2d  conv1   conv2"""


def test_the_text_tells_of_copies_and_walks():
    net = canonical.Builder(MACHINE, (1, 4, 4))
    first = net.conv("x", 2)
    net.output(net.conv(first, 2, (1, 1)))
    net.output(net.conv(first, 3, (2, 2), radix=True, kind="Linear"))
    text = str(split(scale(lower(net.quantised()), MACHINE, 2), 2, MACHINE.codes))
    rows = [line.split() for line in text.splitlines()]
    assert ["conv1.layout1", "2x2x2", "1x1", "interleaved", "0", "yes"] in rows
    assert ["conv4", "Linear", "conv1.layout1", "conv4", "along", "the", "images"] in rows


@pytest.mark.parametrize(("walk", "text"), [
    (Walk(), ""), (Walk(2, 1), "every 2,1"), (Walk(flat=True), "along the images")])
def test_walks_are_told(walk, text):
    assert str(walk) == text
