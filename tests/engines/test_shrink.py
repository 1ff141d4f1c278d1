"""One layer alone: the same numbers, from its own tables, in a program like any other."""

import canonical
import numpy as np
import pytest
from kcnn.arch import check, isa, reference
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.engines.shrink import single_layer
from kcnn.tlm.machine import simulate

MACHINE = canonical.config()


def network():
    """A layer of four RUNs, which share tables of layers before; a sum of two tensors."""
    net = canonical.Builder(MACHINE, (1, 9, 9))
    first = net.conv("x", 2, (1, 1))
    fine = net.conv(first, 2, (3, 3), padding=(1, 1, 1, 1))
    net.output(net.conv(fine, 2, (3, 3), (2, 2), (1, 1, 1, 1)))
    net.output(net.add(first, fine))
    return pipeline.back(net.quantised(), MACHINE, 1)


@pytest.fixture(scope="module")
def program():
    return network()


def test_every_layer_alone_computes_what_it_does_in_its_program(program):
    tensors = reference.run(program, [canonical.random_codes(program, 0)])
    assert max(len(layer.runs) for layer in program.layers) > 1
    for number, layer in enumerate(program.layers):
        alone = single_layer(program, number)
        check.verify(alone)
        codes = [tensors[source] for source in
                 dict.fromkeys(source.tensor for source in layer.sources)]
        result = simulate(alone, memory_image(alone, codes), MemoryModel.fixed(8))
        np.testing.assert_array_equal(result.tensors[alone.outputs[0].tensor],
                                      tensors[layer.output])


def test_only_the_tables_that_its_runs_read_are_loaded(program):
    number = max(range(len(program.layers)), key=lambda at: len(program.layers[at].runs))
    alone = single_layer(program, number)
    loads = [ins for ins in alone.instructions if isinstance(ins, isa.TableLoad)]
    first = alone.layers[0].runs[0]
    before = [(ins.kind, ins.bank, ins.first) for ins in alone.instructions[:first]
              if isinstance(ins, isa.TableLoad)]
    assert len(before) == len(set(before)) and len(loads) < sum(
        isinstance(ins, isa.TableLoad) for ins in program.instructions)
