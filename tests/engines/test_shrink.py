"""One layer alone: the same numbers, from its own tables, in a program like any other."""

import dataclasses

import bands
import canonical
import numpy as np
import pytest
from kcnn.arch import isa, kbin, reference
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.emit.assemble import assemble
from kcnn.compiler.errors import InternalError
from kcnn.engines.shrink import single_layer
from kcnn.tlm.machine import simulate

MACHINE = canonical.config()


def network(machine):
    """A layer of four RUNs, which share tables of layers before; a sum of two tensors."""
    net = canonical.Builder(machine, (1, 9, 9))
    first = net.conv("x", 2, (1, 1))
    fine = net.conv(first, 2, (3, 3), padding=(1, 1, 1, 1))
    net.output(net.conv(fine, 2, (3, 3), (2, 2), (1, 1, 1, 1)))
    net.output(net.add(first, fine))
    return pipeline.back(net.quantised(), machine, 1)


@pytest.fixture(scope="module")
def program():
    return network(MACHINE)


def assert_alone(program):
    """Every layer alone computes what it does in its program; the programs of all."""
    made = []
    tensors = reference.run(program, [canonical.random_codes(program, 0)])
    for number, layer in enumerate(program.layers):
        alone = single_layer(program, number)
        assert kbin.load(kbin.save(alone), layer.name) == alone
        made.append(alone)
        codes = [tensors[source] for source in
                 dict.fromkeys(source.tensor for source in layer.sources)]
        result = simulate(alone, memory_image(alone, codes), MemoryModel.fixed(8))
        np.testing.assert_array_equal(result.tensors[alone.outputs[0].tensor],
                                      tensors[layer.output])
    return made


def test_every_layer_alone_computes_what_it_does_in_its_program(program):
    assert max(len(layer.runs) for layer in program.layers) > 1
    assert_alone(program)


def test_layers_in_bands_bring_their_windows_along():
    program = network(dataclasses.replace(MACHINE, memory_codes=512))
    homes = [tensor.home is not None for tensor in program.tensors]
    assert any(homes) and not all(homes)
    for alone, layer in zip(assert_alone(program), program.layers, strict=True):
        assert len(alone.layers[0].runs) == len(layer.runs)
        assert alone.memory_bytes < program.memory_bytes
        kept = [tensor.name for tensor in alone.tensors if tensor.home]
        assert kept == [program.tensors[number].name for number in
                        (*dict.fromkeys(s.tensor for s in layer.sources), layer.output)
                        if homes[number]]


@pytest.mark.parametrize("early", [False, True])
def test_a_layer_of_bands_made_by_hand_stands_alone(early):
    for alone in assert_alone(assemble(bands.Bands(9, 4, early=early).plan())):
        moves = [type(ins) for ins in alone.instructions if isinstance(ins, isa.Load | isa.Store)]
        assert sorted(move.OP.name for move in moves) == ["LOAD"] * 3 + ["STORE"] * 3


def test_a_layer_whose_windows_another_layer_makes_is_a_defect():
    program = assemble(bands.Bands(9, 4).plan())
    first = program.layers[1].runs[0]
    window = next(place for place in program.tensors[1].places if place.in_force(first))
    wrong = dataclasses.replace(window, since=program.layers[0].runs[0])
    places = tuple(wrong if place is window else place for place in program.tensors[1].places)
    tensors = (program.tensors[0], dataclasses.replace(program.tensors[1], places=places),
               program.tensors[2])
    with pytest.raises(InternalError, match="layer 'conv1' alone: .*recompile the network"):
        single_layer(dataclasses.replace(program, tensors=tensors), 1)


def test_only_the_tables_that_its_runs_read_are_loaded(program):
    number = max(range(len(program.layers)), key=lambda at: len(program.layers[at].runs))
    alone = single_layer(program, number)
    loads = [ins for ins in alone.instructions if isinstance(ins, isa.TableLoad)]
    first = alone.layers[0].runs[0]
    before = [(ins.kind, ins.bank, ins.first) for ins in alone.instructions[:first]
              if isinstance(ins, isa.TableLoad)]
    assert len(before) == len(set(before)) and len(loads) < sum(
        isinstance(ins, isa.TableLoad) for ins in program.instructions)
