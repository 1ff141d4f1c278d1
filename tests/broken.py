"""Programs with one thing changed, for tests of the rules that they then break."""

import dataclasses

import bands
import numpy as np
import pytest
import strategies
from kcnn.arch import check, isa, stream
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Mode
from kcnn.arch.stream import ChannelStream, Cluster
from kcnn.compiler.emit.assemble import assemble
from tensors import changed

CODE = strategies.small_program()
RADIX = strategies.small_program(strategies.Shape(mode=Mode.RADIX))
PASS = strategies.small_program(strategies.Shape(mode=Mode.PASS))
BANDS = assemble(bands.Bands(10, 4).plan())
# indices of CODE's instructions
BASE, OFFSET, DECODE, CLUSTER, LOAD, FILL, RUN, STORE, END = 0, 1, 2, 4, 5, 6, 7, 8, 9


def bare(program):
    """The program without its layer table, for changes that the table then need not follow."""
    return dataclasses.replace(program, layers=())


def with_instruction(program, index, **changes):
    """The program with fields of one instruction changed."""
    found = list(program.instructions)
    found[index] = dataclasses.replace(found[index], **changes)
    return dataclasses.replace(program, instructions=tuple(found))


def with_order(program, *indices):
    """The program with its instructions in another order, or some left out."""
    return dataclasses.replace(program, instructions=tuple(program.instructions[i]
                                                           for i in indices))


def with_word(program, index, entry, word):
    """The program with one table entry changed."""
    ins = program.instructions[index]
    at = ins.address * 16 - program.table_base + 4 * entry
    tables = bytearray(program.tables)
    tables[at:at + 4] = int(word).to_bytes(4, "little")
    return dataclasses.replace(program, tables=bytes(tables))


def with_stream(program, data):
    """The program with other bytes in place of its stream, zeros filled in."""
    return dataclasses.replace(program, streams=data + bytes(len(program.streams) - len(data)))


def with_layout(program, index, **changes):
    tensors = list(program.tensors)
    tensors[index] = changed(tensors[index], **changes)
    return dataclasses.replace(program, tensors=tuple(tensors))


def with_tensor(program, index, **changes):
    """name, and fields of the kind."""
    tensors = list(program.tensors)
    named = dataclasses.replace(tensors[index], name=changes.pop("name", tensors[index].name))
    tensors[index] = changed(named, **changes)
    return dataclasses.replace(program, tensors=tuple(tensors))


def with_place(program, tensor, number, base=0, rows=0, **changes):
    """The program with another window of a tensor, or its home for number 0; base and rows are
    added to what its layout has."""
    places = list(program.tensors[tensor].places)
    old = places[number].layout
    layout = dataclasses.replace(old, base=old.base + base, rows=old.rows + rows)
    places[number] = dataclasses.replace(places[number], layout=layout, **changes)
    return with_places(program, tensor, *places)


def with_places(program, tensor, *places):
    """The program with other places of a tensor."""
    tensors = list(program.tensors)
    tensors[tensor] = dataclasses.replace(tensors[tensor], places=places)
    return dataclasses.replace(program, tensors=tuple(tensors))


def with_layer(program, **changes):
    layer = dataclasses.replace(program.layers[0], **changes)
    return dataclasses.replace(program, layers=(layer,))


def with_taps(program, **changes):
    return with_layer(program, taps=strategies.retapped(program.layers[0].taps, **changes))


def with_port(program, kind, **changes):
    ports = (dataclasses.replace(getattr(program, kind)[0], **changes),)
    return dataclasses.replace(program, **{kind: ports})


def refused(program, sentence):
    with pytest.raises(FormatError) as caught:
        check.verify(program)
    said = str(caught.value)
    assert sentence in said, said
    assert said.endswith("; recompile the network") and "\n" not in said


def taps(*positions, factor=1):
    return Cluster(factor, np.array(positions), np.zeros(len(positions), bool))


def channels(*clusters_of):
    return stream.encode_stream([ChannelStream(1, 2, tuple(clusters)) for clusters in clusters_of])


def rearranged(instructions, program=CODE):
    """The program with other instructions in the same space: padded to its old length."""
    size = len(isa.encode(list(instructions)))
    old = len(isa.encode(list(program.instructions)))
    assert -(-size // 64) == -(-old // 64), "streams would move"
    return dataclasses.replace(program, instructions=tuple(instructions))
