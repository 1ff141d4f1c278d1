"""The layer table and the instructions mean the same, or the program is refused."""

import dataclasses

import bands
import canonical
import numpy as np
import pytest
import strategies
from broken import (
    BANDS,
    CLUSTER,
    CODE,
    DECODE,
    FILL,
    LOAD,
    OFFSET,
    PASS,
    RADIX,
    RUN,
    STORE,
    with_instruction,
    with_layer,
    with_place,
    with_stream,
    with_taps,
    with_tensor,
    with_word,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import agree, check, reference, stream
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Fill, Load, Mode, Run, Store
from kcnn.arch.place import Box
from kcnn.arch.program import Source, memory_image
from kcnn.arch.stream import ChannelStream
from kcnn.compiler import pipeline
from kcnn.compiler.emit.assemble import assemble
from kcnn.compiler.ir import graph as ir
from kcnn.tlm import machine as tlm

PADDED = strategies.small_program(strategies.Shape(padding=(1, 1, 1, 1)))
STRIDED = strategies.small_program(strategies.Shape(stride=2, images=2, mode=Mode.RADIX))


def compiled():
    """A strided convolution, a maximum and a linear layer, for two images."""
    net = canonical.Builder(canonical.TINY, (2, 9, 9), seed=3)
    first = net.conv("x", 5, stride=(2, 2), padding=(1, 1, 1, 1))
    pool = net.pool(net.conv(first, 3, padding=(1, 1, 1, 1)), ir.MaxPool((2, 2), (2, 2)))
    net.output(net.conv(pool, 3, (2, 2), radix=True, kind="Linear"))
    return pipeline.back(net.quantised(), canonical.TINY, 2)


COMPILED = compiled()
LAYERS = COMPILED.layers


def with_layers(layers):
    return dataclasses.replace(COMPILED, layers=tuple(layers))


def refused(program, sentence):
    with pytest.raises(FormatError) as caught:
        check.verify(program)
    said = str(caught.value)
    assert sentence in said and said.endswith("; recompile the network"), said


@settings(max_examples=40)
@given(strategies.programs())
def test_hand_made_programs_agree(program):
    assert program.layers
    check.verify(program)


@settings(max_examples=10)
@given(strategies.programs(Config.preset("small")))
def test_hand_made_programs_agree_on_another_machine(program):
    check.verify(program)


def first(values, change):
    out = np.array(values)
    out[0] += change
    return out


def piece(program, **changes):
    layer = program.layers[0]
    return with_layer(program, pieces=(dataclasses.replace(layer.pieces[0], **changes),))


TAPS = CODE.layers[0].taps
PIECE = CODE.layers[0].pieces[0]
LAYER = CODE.layers[0]


@pytest.mark.parametrize("program, sentence", [
    (with_taps(CODE, negative=~TAPS.negative), "layer 'layer': taps are not those of the stream "
                                                  "of instruction 7 (RUN)"),
    (with_taps(CODE, dx=first(TAPS.dx, 1)), "taps are not those of the stream"),
    (with_taps(CODE, dy=first(TAPS.dy, -1)), "taps are not those of the stream"),
    (with_taps(CODE, channel=1 - TAPS.channel), "taps are not those of the stream"),
    (with_taps(CODE, cluster_factor=first(TAPS.cluster_factor, 1)),
     "a factor is not that of the stream"),
    (piece(CODE, scale=tuple(first(PIECE.scale, 1))), "the scale of channel 0 is not that of"),
    (piece(CODE, bias=(PIECE.bias[0], PIECE.bias[1] - 1)), "the bias of channel 1 is not that"),
    (with_layer(CODE, thresholds=(-1024, *LAYER.thresholds[1:])), "thresholds or codes are not"),
    (with_layer(CODE, codes=LAYER.codes[::-1]), "thresholds or codes are not those of the CLUSTER"),
    (with_layer(CODE, shift=(LAYER.shift + 2) % 8), f"shift is {(LAYER.shift + 2) % 8 // 2}, not "),
    (with_tensor(CODE, 0, values=CODE.tensors[0].kind.values[::-1]),
     "a tap's DECODE table does not hold the values of its source"),
    (with_word(CODE, DECODE, 3, CODE.tensors[0].kind.values[2] & 0xFFFF), "a tap's DECODE table"),
    (with_word(CODE, CLUSTER, 0, 5 << 16), "thresholds or codes are not"),
    (with_word(CODE, OFFSET, 0, 1), "taps are not those of the stream"),
    (with_instruction(CODE, RUN, shift=(LAYER.shift // 2 + 1) % 4), "shift is"),
    (with_layer(CODE, sources=(Source(0, 2, 1),)), "the way over its sources is not that"),
    (with_layer(CODE, sources=(Source(0, 1, 2),)), "the way over its sources is not that"),
    (with_layer(PASS, taps=strategies.retapped(PASS.layers[0].taps,
                                               dx=first(PASS.layers[0].taps.dx, 1))), "taps are"),
    (with_instruction(PASS, 6, order=(PASS.instructions[6].order + 1) % 16), "order is"),
    (with_instruction(CODE, RUN, dst=CODE.instructions[RUN].dst + 1), "its tensor in the writes"),
    (with_instruction(CODE, RUN, **{name: getattr(CODE.instructions[RUN], other) for name, other in
                                    (("x_step", "y_step"), ("y_step", "x_step"))}),
     "the way over its sources is not that"),
    (with_instruction(CODE, FILL, row=CODE.instructions[LOAD].row, rows=1),
     "a source is not complete in the reads"),
    (with_layer(RADIX, runs=(), name="x"), "it names no RUN"),
    (with_layer(CODE, runs=(RUN, RUN)), "instruction 7 is named twice by layers"),
])
def test_what_differs_is_refused(program, sentence):
    refused(program, sentence)


def test_a_store_gives_the_output():
    wrong = with_instruction(CODE, FILL, pop_prev=1)
    instructions = list(wrong.instructions)
    run, fill = instructions[RUN], instructions[FILL]
    swapped = [*instructions[:FILL], dataclasses.replace(run, push_next=0, pop_prev=1),
               dataclasses.replace(fill, pop_prev=0, push_next=1), *instructions[STORE:]]
    layer = dataclasses.replace(CODE.layers[0], runs=(FILL,))
    # instructions of 16 and 64 bytes change places, so all addresses stay
    refused(dataclasses.replace(CODE, instructions=tuple(swapped), layers=(layer,)),
            "output 'y': external memory does not hold all of it behind END")


def test_every_run_belongs_to_a_layer_and_every_output_is_written():
    (run, *_) = LAYERS[1].runs
    layers = [dataclasses.replace(LAYERS[0], runs=(*LAYERS[0].runs, run)), *LAYERS[1:]]
    refused(with_layers(layers), "is named twice by layers")
    with pytest.raises(FormatError, match="belongs to no layer of the layer table; recompile"):
        agree.Agreement(with_layers(LAYERS[:-1]), {})
    with pytest.raises(FormatError, match="layer 'conv1': its RUNs do not write all outputs; rec"):
        agree.Agreement(COMPILED, {}).end()


def test_pads_are_filled():
    fill = next(i for i, ins in enumerate(COMPILED.instructions) if isinstance(ins, Fill))
    refused(with_instruction(COMPILED, fill, code=7), "cells around a source hold no pads in the")


# ---- homes and windows ------------------------------------------------------------------------
EARLY = assemble(bands.Bands(10, 4, early=True).plan())


def at(program, kind, number):
    """Index of an instruction: which of its kind."""
    return [i for i, ins in enumerate(program.instructions) if isinstance(ins, kind)][number]


def moved(number, kind, lines, **changes):
    """BANDS with a LOAD or STORE that many lines further outside."""
    index = at(BANDS, kind, number)
    address = BANDS.instructions[index].address + lines * bands.SMALL.row_bytes // 16
    return with_instruction(BANDS, index, address=address, **changes)


X, MID = 0, 1
FIRST, SECOND, THIRD = (at(BANDS, Run, number) for number in (0, 1, 2))
LOADED = at(BANDS, Load, 1)


def test_bands_are_accepted():
    check.verify(BANDS)
    check.verify(EARLY)


@pytest.mark.parametrize("program, sentence", [
    # a wrong line is loaded, or one too few
    (moved(1, Load, 1), f"instruction {LOADED} (LOAD): tensor 'x' is not complete in its window of "
                        "lines 3 to 8 of channels 0 to 0 behind it"),
    (moved(1, Load, 0, rows=5), "tensor 'x' is not complete in its window of lines 3 to 8 of"),
    (with_place(BANDS, X, 2, box=Box(3, 5, 0, 1)),
     f"layer 'conv0': no place of 'x' holds what is read in the reads of instruction {SECOND}"),
    (with_place(BANDS, X, 2, base=bands.LINE, box=Box(4, 5, 0, 1)), "no place of 'x' holds"),
    # no place is in force
    (with_place(BANDS, X, 1, until=FIRST - 1), "no place of 'x' holds what is"),
    (with_place(BANDS, X, 1, since=FIRST), "no place of 'x' holds what is"),
    # a place says that it is there before it is
    (with_place(BANDS, X, 2, since=LOADED - 1), f"instruction {LOADED - 1} (FILL): tensor"),
    (with_place(BANDS, MID, 1, since=FIRST - 1), "(LOAD): tensor 'mid' is not complete"),
    # a box or a layout is another
    (with_place(BANDS, X, 2, base=1), "tensor 'x' is not complete in its window of lines 3 to 8"),
    (with_place(BANDS, X, 2, box=Box(2, 6, 0, 1)), "not complete in its window of lines 2"),
    (with_place(BANDS, MID, 1, base=1), "no place of 'x' holds what is"),
    (with_place(BANDS, MID, 1, box=Box(1, 4, 0, 1)), "no place of 'x' holds what is"),
    (with_place(BANDS, MID, 2, box=Box(0, 4, 0, 1)),
     f"an output is written twice in the writes of instruction {SECOND} (RUN)"),
    (with_place(BANDS, MID, 3, box=Box(7, 2, 0, 1)), "an output is written twice in the writes of"),
    # a line is stored to another line's place, or not at all
    (moved(4, Store, -1), "(LOAD): tensor 'mid' is not complete in its window of lines 3 to 8"),
    (moved(7, Store, 1), "tensor 'y': external memory does not hold all of it behind END"),
    (moved(7, Store, 0, rows=3), "tensor 'y': external memory does not hold all of it"),
    (moved(7, Store, -14), "tensor 'mid': external memory does not hold all of it behind END"),
    # pads: of lines above and below, and beside
    (with_instruction(BANDS, at(BANDS, Fill, 1), code=3),
     "layer 'conv1': cells around a source hold no pads in the reads of instruction"),
    (with_instruction(BANDS, at(BANDS, Fill, 0), code=3), "cells around a source hold no pads"),
    (moved(0, Store, 1), "(LOAD): loads external byte"),
    # what a window holds is overwritten before it is read
    (with_instruction(EARLY, at(EARLY, Load, 1) + 1, row=bands.SOURCE + 1),
     "layer 'conv0': a source is not complete in the reads of instruction"),
    # a RUN begins somewhere else
    (with_instruction(BANDS, THIRD, origin=BANDS.instructions[THIRD].origin + bands.LINE),
     "layer 'conv0': taps are not those of the stream of instruction"),
    (with_instruction(BANDS, SECOND, dst=BANDS.instructions[SECOND].dst + 1),
     "an output lies outside its tensor in the writes"),
])
def test_bands_that_differ_are_refused(program, sentence):
    refused(program, sentence)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_bands_that_are_accepted_compute_what_the_reference_says(data):
    """Any change of a transfer, a FILL, a RUN or a place: refused, or all engines still agree."""
    index = data.draw(st.integers(4, len(BANDS.instructions) - 2))
    ins = BANDS.instructions[index]
    field = data.draw(st.sampled_from([f for f in ins.FIELDS if not f.reserved]))
    value = getattr(ins, field.name) ^ 1 << data.draw(st.integers(0, min(field.width, 8) - 1))
    tensor = data.draw(st.integers(0, 2))
    number = data.draw(st.integers(1, len(BANDS.tensors[tensor].places) - 1))
    place = BANDS.tensors[tensor].places[number]
    try:
        if data.draw(st.booleans()):
            program = with_instruction(BANDS, index, **{field.name: value})
        else:
            name = data.draw(st.sampled_from(["since", "until", "base", "y", "height"]))
            step = data.draw(st.sampled_from([-32, -2, -1, 1, 2, 32]))
            program = with_place(BANDS, tensor, number, **(
                {"base": step} if name == "base" else
                {name: getattr(place, name) + step} if name in ("since", "until") else
                {"box": dataclasses.replace(place.box, **{name: getattr(place.box, name) + step})}))
        check.verify(program)
    except FormatError:
        return
    inputs = strategies.random_inputs(program)
    found = tlm.simulate(program, memory_image(program, inputs), MemoryModel.fixed(2)).tensors
    for tensor, codes in reference.run(program, inputs).items():
        np.testing.assert_array_equal(found[tensor], codes)


# ---- every change of a weight is found --------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 1 << 30), bit=st.integers(0, 7), program=st.sampled_from(
    [CODE, RADIX, PADDED, STRIDED]))
def test_no_bit_of_a_stream_can_change(program, at, bit):
    data = bytearray(program.streams)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(FormatError):
        check.verify(dataclasses.replace(program, streams=bytes(data)))


TABLE = ("source", "channel", "plane", "dy", "dx", "negative", "cluster_factor", "cluster_taps",
         "channel_clusters")


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(TABLE), at=st.integers(0, 1 << 30), change=st.sampled_from(
    [-2, -1, 1, 2, 64]), number=st.integers(0, 2))
def test_no_number_of_the_taps_can_change(name, at, change, number):
    layer = LAYERS[number % len(LAYERS)]
    values = np.array(getattr(layer.taps, name))
    at %= len(values)
    values[at] = not values[at] if name == "negative" else values[at] + change
    layers = [dataclasses.replace(layer, taps=strategies.retapped(layer.taps, **{name: values}))
              if one is layer else one for one in LAYERS]
    with pytest.raises(FormatError):
        check.verify(with_layers(layers))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["scale", "bias", "negative", "factor", "position"]),
       at=st.integers(0, 1 << 30), channel=st.integers(0, 1))
def test_no_number_of_a_stream_that_decodes_can_change(kind, at, channel):
    found, _ = stream.decode_stream(CODE.streams, 2)
    found[channel] = changed(found[channel], kind, at)
    data = stream.encode_stream(found)
    if len(data) == len(CODE.streams) and found != stream.decode_stream(CODE.streams, 2)[0]:
        with pytest.raises(FormatError):
            check.verify(with_stream(CODE, data))


def changed(channel: ChannelStream, kind: str, at: int) -> ChannelStream:
    if kind == "scale":
        return dataclasses.replace(channel, scale=channel.scale ^ 1 << at % 16)
    if kind == "bias":
        return dataclasses.replace(channel, bias=channel.bias ^ 1 << at % 30)
    clusters = list(channel.clusters)
    if not clusters:
        return channel
    cluster = clusters[at % len(clusters)]
    tap = at % len(cluster.positions)
    if kind == "factor":
        cluster = dataclasses.replace(cluster, factor=cluster.factor ^ 1)
    elif kind == "negative":
        flipped = cluster.negative.copy()
        flipped[tap] ^= True
        cluster = dataclasses.replace(cluster, negative=flipped)
    else:
        moved = cluster.positions.copy()
        moved[-1] += 1
        cluster = dataclasses.replace(cluster, positions=moved)
    clusters[at % len(clusters)] = cluster
    return dataclasses.replace(channel, clusters=tuple(clusters))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_is_accepted_computes_what_the_reference_says(data):
    """Any change of a RUN, a table word or a tap: refused, or TLM and reference still agree."""
    program = data.draw(st.sampled_from([CODE, PADDED, STRIDED]))
    index = len(program.instructions) - 3
    ins = program.instructions[index]
    field = data.draw(st.sampled_from([f for f in ins.FIELDS if f.name != "stream"]))
    value = getattr(ins, field.name) ^ 1 << data.draw(st.integers(0, min(field.width, 8) - 1))
    try:
        program = with_instruction(program, index, **{field.name: value})
        check.verify(program)
    except FormatError:
        return
    inputs = strategies.random_inputs(program)
    found = tlm.simulate(program, memory_image(program, inputs), MemoryModel.fixed(2)).tensors
    for tensor, codes in reference.run(program, inputs).items():
        np.testing.assert_array_equal(found[tensor], codes)
