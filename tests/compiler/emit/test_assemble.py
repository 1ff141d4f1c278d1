"""Where a program's parts lie in external memory, and what its ports and layers say."""

import bands
import canonical
import numpy as np
import pytest
from kcnn.arch import isa
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import align, memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.emit.assemble import Section, assemble
from kcnn.tlm.machine import simulate

MACHINE = canonical.config()


def compiled(net, machine=MACHINE, batch=1):
    return pipeline.back(net.quantised(), machine, batch)


def test_equal_pieces_are_stored_once_at_whole_units():
    section = Section(16)
    for piece in (b"a" * 5, b"b" * 33, b"a" * 5, b"c"):
        section.add(piece)
    assert section.at == {b"a" * 5: 0, b"b" * 33: 16, b"c": 64} and len(section.data) == 80


@pytest.mark.parametrize("port_bits", [64, 128, 256, 512])
def test_addresses_suit_wide_ports(port_bits):
    machine = canonical.config(lanes=64, share=4, port_bits=port_bits)
    program = compiled(canonical.chain(machine, 2), machine)
    unit = port_bits // 8
    for ins in program.instructions:
        for name in ("address", "stream"):
            assert getattr(ins, name, 0) * 16 % unit == 0
    codes = canonical.random_codes(program, 1)
    tensors = canonical.check(canonical.chain(machine, 2).quantised(), program, codes)
    result = simulate(program, memory_image(program, [codes]), MemoryModel.fixed(1))
    out = program.outputs[0].tensor
    np.testing.assert_array_equal(result.tensors[out], tensors[out])


def test_two_outputs_lie_apart():
    net = canonical.Builder(MACHINE, (1, 5, 5))
    first = net.conv("x", 2, padding=(1, 1, 1, 1))
    net.output(first)
    net.output(net.conv(first, 2, (5, 5), radix=True))
    program = compiled(net, batch=2)
    (a, b), first = program.outputs, program.tensors[program.outputs[0].tensor].layout
    assert a.address + first.rows * MACHINE.row_bytes <= b.address
    stores = [ins for ins in program.instructions if isinstance(ins, isa.Store)]
    assert [store.address * 16 for store in stores] == [a.address, b.address]


def test_areas_lie_one_behind_the_other_and_only_those_of_the_host_are_ports():
    program = assemble(bands.Bands(10, 4).plan())
    size = align(12 * program.config.row_bytes)
    assert [(p.name, p.tensor, p.address) for p in (*program.inputs, *program.outputs)] == [
        ("x", 0, program.data_base), ("y", 2, program.data_base + 2 * size)]
    assert program.memory_bytes == program.data_base + 3 * size
    stored = {ins.address * 16 - program.data_base for ins in program.instructions
              if isinstance(ins, isa.Store)}
    assert min(stored) == size and max(stored) == 2 * size + 11 * program.config.row_bytes


def test_layers_name_their_runs():
    program = assemble(bands.Bands(10, 4).plan())
    runs = [at for at, ins in enumerate(program.instructions) if isinstance(ins, isa.Run)]
    assert [layer.runs for layer in program.layers] == [tuple(runs[:3]), tuple(runs[3:])]
    streams = {program.instructions[at].stream for at in runs}
    assert len(streams) == 2
