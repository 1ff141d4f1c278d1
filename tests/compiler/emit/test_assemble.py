"""Where a program's parts lie in external memory, and what its ports and layers say."""

import canonical
import numpy as np
import pytest
from kcnn.arch import isa
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.emit.assemble import Section
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
