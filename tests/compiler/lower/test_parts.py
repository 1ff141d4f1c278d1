"""Sums of more taps than the machine holds are those of their parts."""

import dataclasses

import canonical
import numpy as np
import pytest
from kcnn.arch import host, reference
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir import graph as ir
from kcnn.tlm.machine import simulate

MACHINES = [
    *canonical.CONFIGS, canonical.config(factor_bits=2), canonical.config(factor_bits=12),
    canonical.config(code_bits=7, value_bits=8, sum_bits=18, lanes=8, port_bits=64),
    canonical.config(code_bits=6, lanes=8, port_bits=64)]


def dense(machine, radix=False, channels=120, kernel=(2, 2), groups=1, skip=False):
    net = canonical.Builder(machine, (1, *(n + 1 for n in kernel)))
    first = net.conv("x", channels, (1, 1), density=1.0)
    other = net.conv(first, 8, kernel) if skip else None
    net.output(net.conv(first, 8, kernel, radix=radix, density=1.0, groups=groups, skip=other))
    return net.quantised()


def small(machine, **fields):
    return dataclasses.replace(machine, **{"tap_slots": 128, **fields})


def run(program, seed=3):
    """Tensors by the reference, which the machine has too."""
    codes = canonical.random_codes(program, seed)
    tensors = reference.run(program, [codes])
    result = simulate(program, memory_image(program, [codes]), MemoryModel.fixed(4))
    for index, expected in tensors.items():
        np.testing.assert_array_equal(result.tensors[index], expected)
    return tensors


def last(program, tensors):
    """Integers of the output, and what one stands for."""
    index = program.outputs[0].tensor
    tensor = program.tensors[index]
    return host.raw(tensors[index], tensor, program.config), tensor.kind.scale


def names(program):
    return [layer.name for layer in program.layers]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("radix", [False, True])
def test_parts_add_up_to_the_layer(machine, radix):
    machine = dataclasses.replace(machine, tap_slots=512)
    quantised = dense(machine, radix)
    whole = pipeline.back(quantised, machine, 2)
    parted = pipeline.back(quantised, small(machine), 2)
    assert names(whole) == ["conv1", "conv2"]
    assert names(parted)[1:] == [*(f"conv2.part{n}" for n in range(1, 5)), "conv2"]
    (a, unit), (b, other) = last(whole, run(whole)), last(parted, run(parted))
    part = next(t for t in parted.tensors if t.name == "conv2.part1").kind
    if radix:
        assert np.abs(a * unit - b * other).max() <= 2 * part.scale + 2 * max(unit, other)
    elif part.bits > 8:
        assert (a == b).mean() > 0.9


@pytest.mark.parametrize("machine", MACHINES)
def test_no_sum_of_a_part_is_cut_off(machine):
    """Even for the worst inputs: the largest codes under positive taps, the least under others."""
    machine = small(machine)
    program = pipeline.back(dense(machine), machine, 1)
    for layer in program.layers[1:-1]:
        book = np.array(program.tensors[layer.sources[0].tensor].kind.values)
        codes = np.zeros((1, *program.tensors[layer.sources[0].tensor].kind.shape), np.int64)
        codes[:] = book.argmax()
        taps = layer.taps
        mine = slice(0, int(taps.cluster_taps[taps.channel_clusters[1]]))
        low = taps.negative[mine]
        codes[0, 0, taps.channel[mine][low], taps.dy[mine][low], taps.dx[mine][low]] = book.argmin()
        made = reference._layer(program, layer, {layer.sources[0].tensor: codes})
        most = (1 << (layer.radix_width - 1)) - 1
        assert host.raw(made, program.tensors[layer.output], machine)[0, 0, 0, 0] < most


def test_a_channel_that_reads_too_much_is_divided_too():
    machine = canonical.config(base_entries=16)
    net = canonical.Builder(machine, (1, 4, 4))
    first = net.conv("x", 600, (1, 1))
    net.output(net.conv(first, 2, (1, 1), density=1.0))
    program = pipeline.back(net.quantised(), machine, 1)
    assert names(program) == ["conv1", "conv2.part1", "conv2.part2", "conv2"]
    run(program)


@pytest.mark.parametrize("batch", [1, 3])
def test_windows_groups_and_skips_in_parts(batch):
    machine = small(canonical.config(), tap_slots=32)
    program = pipeline.back(dense(machine, groups=2, skip=True, channels=16), machine, batch)
    assert "conv3.part2" in names(program)
    run(program)
    net = canonical.Builder(machine, (1, 8, 8))
    first = net.conv("x", 2, (1, 1))
    net.output(net.pool(first, ir.AvgPool((7, 7), (1, 1), (1, 1, 1, 1))))
    program = pipeline.back(net.quantised(), machine, batch)
    assert names(program)[1:] == ["avgpool2.part1", "avgpool2.part2", "avgpool2"]
    assert sum(layer.macs for layer in program.layers[1:]) == batch * 2 * 49 * 16
    run(program)


def test_refuses_sums_whose_parts_are_too_many():
    machine = canonical.config(tap_slots=16)
    net = canonical.Builder(machine, (1, 8, 8))
    net.output(net.conv(net.conv("x", 32, (1, 1)), 1, (8, 8), density=1.0))
    with pytest.raises(CompileError, match="layer net.conv2: an output channel has 2048 taps, too "
                                           "many to be computed in parts with tap_slots = 16 of "
                                           "configuration 'test'; it needs tap_slots = 64"):
        pipeline.back(net.quantised(), machine, 1)
    pipeline.back(net.quantised(), small(machine), 1)
