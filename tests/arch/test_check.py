"""Each rule of a program broken once, with its sentence."""

import dataclasses

import bands
import numpy as np
import pytest
import strategies
from broken import (
    BANDS,
    BASE,
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
    bare,
    channels,
    rearranged,
    refused,
    taps,
    with_instruction,
    with_layer,
    with_layout,
    with_order,
    with_place,
    with_places,
    with_port,
    with_stream,
    with_taps,
    with_tensor,
    with_word,
)
from hypothesis import given, settings
from kcnn.arch import check, isa
from kcnn.arch.config import Config
from kcnn.arch.errors import ConfigError, FormatError
from kcnn.arch.isa import Fill, Table
from kcnn.arch.layers import check_layers
from kcnn.arch.place import Box
from kcnn.arch.program import Piece, Source
from kcnn.arch.region import Space
from kcnn.arch.stream import Cluster
from kcnn.compiler.emit.assemble import assemble
from tensors import changed

WIDE_NUMBER = "a number of its layout has more than 32 bits"
WIDE = dataclasses.replace(Config.preset("small"), port_bits=256, name="wide")


def test_the_unbroken_programs_are_accepted():
    for program in (CODE, RADIX, PASS):
        check.verify(program)


@settings(max_examples=30)
@given(strategies.programs(WIDE))
def test_hand_made_programs_suit_a_wide_port(program):
    """They align everything to 64 bytes, so every port can fetch it."""
    check.verify(program)


# ---- instructions ----------------------------------------------------------------------------
def test_ends():
    refused(dataclasses.replace(CODE, instructions=()), "the last instruction is not END")
    refused(with_order(CODE, *range(9)), "instruction 8: the last instruction is not END")
    refused(with_order(CODE, 0, 9, 1, 9), "instruction 1 (END): instructions follow, but END must")


@pytest.mark.parametrize("index, changes, sentence", [
    (LOAD, {"cores": 0}, "instruction 5 (LOAD): cores=0 must name cores of a machine that has 1"),
    (RUN, {"cores": 2}, "instruction 7 (RUN): cores=2 must name cores"),
    (LOAD, {"pieces": 1}, "instruction 5 (LOAD): pieces=1 must be 0, no machine of this version "
                          "uses it"),
    (LOAD, {"spread": 1}, "spread=1 must be 0"),
    (STORE, {"stride": 8}, "instruction 8 (STORE): stride=8 must be 0"),
    (STORE, {"slice": 1}, "slice=1 must be 0"),
    (RUN, {"stream_step": 1}, "instruction 7 (RUN): stream_step=1 must be 0"),
    (RUN, {"dst_core": 4}, "dst_core=4 must be 0"),
    (LOAD, {"push_prev": 1}, "['push_prev'] names a unit beyond LOAD, there is none"),
    (STORE, {"pop_next": 1}, "['pop_next'] names a unit beyond STORE, there is none"),
    (LOAD, {"row": 2040}, "row=2040 rows=16 end behind the 2048 rows of the memory"),
    (FILL, {"rows": 2040}, "row=17 rows=2040 end behind the 2048 rows of the memory"),
    (FILL, {"code": 16}, "code=16 has more than 4 bits"),
    (LOAD, {"address": 0x2D}, "address=0x2d rows=16 end at byte 784, external memory has 768"),
    (STORE, {"address": 0x27}, "address=0x27 is byte 624, which holds instructions, streams or "
                               "tables (up to 640)"),
    (BASE, {"first": 255}, "first=255 count=2 end behind the 256 entries of the table BASE"),
    (OFFSET, {"first": 31}, "first=31 count=6 end behind the 32 entries of the table OFFSET"),
    (DECODE, {"first": 9}, "first=9 count=8 end behind the 16 entries of the table DECODE"),
    (CLUSTER, {"count": 17}, "first=0 count=17 end behind the 16 entries of the table CLUSTER"),
    (BASE, {"address": 0}, "address=0x0 count=2 are bytes 0 to 8, the tables lie from 320 to 640"),
    (CLUSTER, {"address": 0x25}, "are bytes 592 to 656, the tables lie from 320 to 640"),
    (BASE, {"kind": Table.RAMP, "address": 0, "start": 1 << 14}, "start=16384 is no address below"),
    (BASE, {"kind": Table.RAMP, "address": 0, "step": 1 << 14}, "step=16384 is no address below"),
    (RUN, {"stream": 0xF}, "stream=0xf stream_units=4 are bytes 240 to 304, the streams lie from "
                           "256 to 320"),
    (RUN, {"stream_units": 5}, "are bytes 256 to 336, the streams lie from 256 to 320"),
    (RUN, {"mode": 2, "order": 16}, "order=16 has more than 4 bits"),
    (RUN, {"origin": 1 << 14}, "origin=16384 is not reduced modulo the memory's 16384 codes"),
    (RUN, {"y_wrap": 1 << 14}, "y_wrap=16384 is not reduced"),
    (RUN, {"chunk_images": 1}, "chunk_images=1 must be 0 for pitch=9 image_rows=7 and 4 lanes"),
    (RUN, {"chunk_rows": 1}, "chunk_rows=1 must be 0"),
    (RUN, {"chunk_columns": 3}, "chunk_columns=3 must be 4"),
    (RUN, {"image_pitch": 64}, "image_pitch=64 must be 63"),
    (RUN, {"chunk_pitch": 4}, "chunk_pitch=4 must be 0"),
])
def test_instruction_rules(index, changes, sentence):
    refused(with_instruction(CODE, index, **changes), sentence)


def test_radix_digits_must_hold_the_width():
    refused(with_instruction(RADIX, 6, digits=3), "digits=3 of 4 bits do not hold radix_width=16")


def test_chunks_of_small_maps():
    """9 positions an image, 16 lanes: one image, two rows and one column a chunk."""
    shape = strategies.Shape(kernel=(1, 1), height=1, width=1, padding=(0, 0, 0, 0))
    small = strategies.small_program(shape, Config.preset("small"))
    run = small.instructions[RUN]
    assert (run.pitch, run.image_rows) == (3, 3)
    assert (run.chunk_images, run.chunk_rows, run.chunk_columns, run.chunk_pitch) == (1, 2, 1, 9)
    check.verify(small)
    refused(with_instruction(small, RUN, chunk_rows=1), "chunk_rows=1 must be 2")


@pytest.mark.parametrize("index, name", [(LOAD, "address"), (STORE, "address"), (BASE, "address"),
                                         (RUN, "stream")])
def test_addresses_are_multiples_of_the_port(index, name):
    program = strategies.small_program(config=WIDE)
    units = getattr(program.instructions[index], name) + 1
    refused(with_instruction(program, index, **{name: units}),
            f"{name}={units:#x} is byte {16 * units}, no multiple of the port's 32 bytes")


@pytest.mark.parametrize("index, word, sentence", [
    (BASE, 1 << 14, "entry 1 of BASE is 0x00004000, not an address of the memory and a pair"),
    (BASE, 2 << 24, "entry 1 of BASE is 0x02000000, not an address of the memory and a pair"),
    (OFFSET, 1 << 14, "entry 1 of OFFSET is 0x00004000, not an address offset"),
    (DECODE, 256, "entry 1 of DECODE is 0x00000100, not a value of 9 bits"),
    (DECODE + 1, 0xFEFF, "entry 9 of DECODE is 0x0000feff, not a value of 9 bits"),
    (DECODE + 1, 1 << 16, "entry 9 of DECODE is 0x00010000, not a value of 9 bits"),
    (CLUSTER, 1024, "entry 1 of CLUSTER is 0x00000400, not a threshold of 11 bits and a code"),
    (CLUSTER, 16 << 16, "entry 1 of CLUSTER is 0x00100000, not a threshold of 11 bits and a code"),
])
def test_table_entries(index, word, sentence):
    refused(with_word(CODE, index, 1, word), sentence)


def test_thresholds_ascend():
    refused(with_word(CODE, CLUSTER, 3, 1000), "instruction 7 (RUN): the thresholds of CLUSTER "
                                               "bank 0 do not ascend")
    check.verify(bare(with_word(CODE, CLUSTER, 0, 1000)))           # entry 0 has no threshold


# ---- streams ---------------------------------------------------------------------------------
@pytest.mark.parametrize("data, sentence", [
    (b"\x00" * 64, "instruction 7 (RUN): its stream: byte 6 is 0x00, a cluster header was "
                   "expected"),
    (channels([taps(0)]), "its stream: ends at byte 16 inside a channel"),
    (channels([taps(0)], [taps(0)], [taps(0)]), "its stream goes on behind the last of channels=2"),
    (channels([taps(0)], [taps(0, factor=256)]), "has the factor [256], which does not fit "
                                                 "factor_bits=9"),
    (channels([taps(0)], [taps(256 << 3)]), "kernel_bits=3: a tap names base entry 256, the table "
                                            "has base_entries=256"),
    (channels([taps(0)], [taps(6)]), "reads OFFSET entry 6 of bank 0, which no instruction before"),
    (channels([taps(0)], [taps(2 << 3)]), "reads BASE entry 2 of bank 0, which no instruction"),
])
def test_streams(data, sentence):
    units = 4 if len(data) == 64 else len(data) // 16
    refused(with_instruction(with_stream(CODE, data), RUN, stream_units=units), sentence)


def test_a_stream_ends_soon_after_its_last_channel():
    empty = with_stream(CODE, channels([], []))
    refused(empty, "stream_units=4 leave 50 bytes behind the last channel, 4 to 32 are needed")
    check.verify(bare(with_instruction(empty, RUN, stream_units=2)))
    refused(with_instruction(empty, RUN, stream_units=1), "stream_units=1 leave 2 bytes")


def test_taps_fit_the_cache():
    config = dataclasses.replace(CODE.config, tap_slots=16)
    program = dataclasses.replace(CODE, config=config)
    check.verify(program)
    many = [taps(0, 1, 2, factor=f) for f in range(1, 7)]
    refused(with_stream(program, channels(many, [])),
            "a channel of its stream has 18 taps, the tap cache holds tap_slots=16")


def test_sums_cannot_overflow():
    values = CODE.tensors[0].kind.values
    low, high = min(values), max(values)      # -247 and 241
    mixed = Cluster(3, np.array([0, 1, 2]), np.array([False, True, True]))
    program = with_instruction(with_stream(CODE, channels([mixed], [])), RUN, stream_units=2)

    def width(**bits):
        return dataclasses.replace(program, config=dataclasses.replace(program.config, **bits))

    top = high - 2 * low
    assert 512 <= top < 1024
    refused(width(sum_bits=10), f"instruction 7 (RUN): a cluster sum S can reach {top}, which 10 "
                                "bits do not hold")
    check.verify(bare(width(sum_bits=11)))
    many = [dataclasses.replace(mixed, factor=f) for f in (-128, 127)] * 3
    program = with_instruction(with_stream(CODE, channels(many, [])), RUN, stream_units=4)
    bottom = 2 * high - low
    worst = 3 * max(127 * top + 128 * bottom, 128 * top + 127 * bottom) - 1
    assert 1 << 19 <= worst < 1 << 20
    refused(width(total_bits=20), f"a total T can reach {worst}, which 20 bits do not hold")
    check.verify(bare(width(total_bits=21)))


# ---- tensors and ports -----------------------------------------------------------------------
@pytest.mark.parametrize("changes, sentence", [
    ({"memory_bytes": 576}, "external memory: memory_bytes=576 must be from 640, where"),
    ({"memory_bytes": 34048}, "memory_bytes=34048 must be from 640, where instructions, streams "
                              "and tables end, to 33984"),
    ({"memory_bytes": 800}, "memory_bytes=800 is no multiple of 64"),
    ({"inputs": ()}, "program: it has no input or no output"),
    ({"outputs": ()}, "program: it has no input or no output"),
])
def test_program_rules(changes, sentence):
    refused(dataclasses.replace(CODE, **changes), sentence)


@pytest.mark.parametrize("changes, sentence", [
    ({"height": 0}, "tensor 'x': a size of its layout is below 1"),
    ({"first_row": -1}, "rows -1 to 15 are not in the memory's 2048 rows"),
    ({"first_row": 2040}, "rows 2040 to 2056 are not in the memory's 2048 rows"),
    ({"split": 5}, "more than 4 planes or a split above 4"),
    ({"pad": 16}, "pad or order is no code"),
    ({"pad": -1}, "pad or order is no code"),
    ({"order": 16}, "pad or order is no code"),
    ({"order": -1}, "pad or order is no code"),
    ({"planes": 2}, "it needs 16 values of 9 bits and one plane, or radix planes that hold its"),
    ({"rows": 4}, "its elements do not fit its 4 rows"),
    ({"channel": 160}, "an element lies outside its rows"),
    ({"base": 7}, "an element lies outside its rows"),
    ({"channel": 0}, "two elements share an address"),
    ({"width": 1 << 30}, "its elements do not fit its 16 rows"),
    (dict.fromkeys(("images", "channels", "height", "width"), 1 << 20), "its elements do not fit"),
    ({"phase_y": 1 << 31}, "a number of its layout has more than 32 bits"),
])
def test_layout_rules(changes, sentence):
    refused(with_layout(CODE, 0, **changes), sentence)


@pytest.mark.parametrize("program, sentence", [
    (with_tensor(CODE, 0, scale=0.0), "tensor 'x': scale=0.0 must be from 1.18e-38 to 2.6e+33"),
    (with_tensor(CODE, 0, scale=float("inf")), "scale=inf must be from 1.18e-38 to 2.6e+33"),
    (with_tensor(CODE, 0, values=(0,) * 15), "it needs 16 values of 9 bits"),
    (with_tensor(CODE, 0, values=(0,) * 15 + (256,)), "it needs 16 values of 9 bits"),
    (with_layout(RADIX, 1, bits=17), "or radix planes that hold its bits and pad code 0"),
    (with_layout(RADIX, 1, pad=1), "or radix planes that hold its bits and pad code 0"),
    (with_port(CODE, "inputs", tensor=2), "input 'x': tensor 2 does not exist"),
    (with_port(CODE, "outputs", tensor=2), "output 'y': tensor 2 does not exist"),
    (with_port(CODE, "inputs", address=648), "address=648 must be a multiple of 16 and its rows"),
    (with_port(CODE, "inputs", address=624), "its rows lie from 640 to 768"),
    (with_port(CODE, "inputs", address=720), "its rows lie from 640 to 768"),
    (with_port(CODE, "inputs", address=656), "input 'x': no LOAD moves its 16 rows from row 1"),
    (with_port(CODE, "outputs", address=720), "output 'y': no STORE moves its 4 rows from row 17"),
    (with_port(CODE, "outputs", address=688), "output 'y': address=688 overlaps input 'x'"),
    (with_instruction(CODE, STORE, rows=3), "output 'y': no STORE moves its 4 rows from row 17"),
    (with_layout(CODE, 1, images=2, image=8, channel=4, height=1, width=4),
     "output 'y': it has 2 images, the first input 1"),
])
def test_tensor_and_port_rules(program, sentence):
    refused(program, sentence)


# ---- homes and windows -------------------------------------------------------------------------
HOME, WINDOW, *_ = BANDS.tensors[1].places
ALONE = "it must lie in the activation memory as a whole, or in windows there, with or without a"
LAST = len(BANDS.instructions) - 1


@pytest.mark.parametrize("program, sentence", [
    (with_places(BANDS, 1), f"tensor 'mid': {ALONE}"),
    (with_places(BANDS, 1, WINDOW), "layer 'conv0': an output lies outside its tensor"),
    (with_places(BANDS, 1, HOME, HOME), ALONE),
    (with_places(CODE, 0, *CODE.tensors[0].places * 2), f"tensor 'x': {ALONE}"),
    (with_places(CODE, 0, CODE.tensors[0].places[0], WINDOW), ALONE),
    (with_place(BANDS, 1, 1, space=Space.EXTERNAL), ALONE),
    (with_place(BANDS, 1, 1, box=Box(7, 4, 0, 1)), "tensor 'mid': its window of lines 7 to 10 of "
                                                   "channels 0 to 0: it is no part of the tensor"),
    (with_place(BANDS, 1, 1, box=Box(-1, 4, 0, 1)), "it is no part of the tensor"),
    (with_place(BANDS, 1, 1, box=Box(0, 0, 0, 1)), "it is no part of the tensor"),
    (with_place(BANDS, 1, 1, box=Box(0, 4, 1, 1)), "it is no part of the tensor"),
    (with_place(BANDS, 1, 1, box=Box(0, 4, 0, 2)), "it is no part of the tensor"),
    (with_place(BANDS, 1, 1, box=Box(0, 4, 0, 1 << 31)), WIDE_NUMBER),
    (with_place(BANDS, 1, 1, since=12), "since=12 until=11 are no instructions in this order"),
    (with_place(BANDS, 1, 1, since=-1), "since=-1 until=11 are no instructions in this order"),
    (with_place(BANDS, 1, 1, until=LAST + 1), f"until={LAST + 1} are no instructions"),
    (with_place(BANDS, 1, 1, base=-2), "an element lies outside its rows"),
    (with_place(BANDS, 1, 1, rows=-1), "its elements do not fit its 3 rows"),
    (with_place(BANDS, 1, 1, rows=1 << 20), "are not in the memory's 2048 rows"),
    (with_place(BANDS, 1, 0, base=-2 * HOME.layout.base), "tensor 'mid': its home: its elements do "
     "not lie between the bytes 1216 and 1792"),
    (with_place(BANDS, 1, 0, base=1 << 34), WIDE_NUMBER),
    (with_place(BANDS, 2, 0, base=300), "tensor 'y': its home: its elements do not lie between"),
    (with_place(BANDS, 1, 0, rows=-3), "its elements do not fit its 9 rows"),
    (with_place(BANDS, 1, 0, rows=1 << 20), "are not in the memory's"),
    (with_port(BANDS, "inputs", address=1280), "input 'x': its tensor's home does not lie in the "
                                               "bytes 1280 to 1472"),
    (with_port(BANDS, "outputs", address=1408), "output 'y': its tensor's home does not"),
    # no two homes have an element in common
    (with_place(BANDS, 1, 0, base=32 * 12), "tensor 'mid': external memory does not hold all"),
])
def test_place_rules(program, sentence):
    refused(program, sentence)


# ---- layers ----------------------------------------------------------------------------------
PIECE = CODE.layers[0].pieces[0]
TAPS = CODE.layers[0].taps


def piece(**changes):
    return with_layer(CODE, pieces=(dataclasses.replace(PIECE, **changes),))


def first(values, value):
    return [value, *np.asarray(values)[1:].tolist()]


@pytest.mark.parametrize("program, sentence", [
    (with_layer(CODE, runs=()), "layer 'layer': it names no RUN"),
    (with_layer(CODE, runs=(6,)), "runs names instruction [6], which is no RUN"),
    (with_layer(CODE, runs=(99,)), "runs names instruction [99], which is no RUN"),
    (with_layer(CODE, op="mean"), "op 'mean' is neither sum nor max"),
    (with_layer(CODE, mode=3), "mode=3 is unknown"),
    (with_layer(CODE, mode=2), "mode PASS and op max go together"),
    (with_layer(CODE, shift=3), "shift=3 is none of (0, 2, 4, 6)"),
    (with_layer(CODE, output=2), "output 2 does not exist"),
    (with_layer(CODE, output=0), "tensor 0 has a value already"),
    (with_layer(CODE, sources=()), "it has no source"),
    (with_layer(CODE, sources=(Source(1),)), "source tensor [1] has no value yet"),
    (with_layer(CODE, sources=(Source(0, 5, 1),)), "a stride is not 1 to 4"),
    (with_taps(CODE, channel_clusters=[0, 13]),
     "channel_clusters has 2 entries for the 2 channels"),
    (with_taps(CODE, channel_clusters=[0, 14, 13]), "channel_clusters does not count clusters"),
    (with_taps(CODE, cluster_taps=first(TAPS.cluster_taps, 1)), "cluster_taps does not count taps"),
    (with_layer(CODE, taps=dataclasses.replace(TAPS, negative=TAPS.negative[1:])),
     "its lists of taps differ in length"),
    (with_layer(CODE, taps=dataclasses.replace(TAPS, points=dataclasses.replace(
        TAPS.points, dy=TAPS.points.dy[1:]))), "its lists of taps differ in length"),
    (with_layer(CODE, taps=dataclasses.replace(TAPS, point=TAPS.point + np.uint8(200))),
     "a tap names a point that there is not"),
    (with_taps(CODE, source=first(TAPS.source, 1)), "a tap names a source that it does not have"),
    (with_taps(CODE, channel=first(TAPS.channel, 2)), "a tap names a channel that its source"),
    (with_taps(CODE, plane=first(TAPS.plane, 1)), "a tap names a plane that its source does not"),
    (with_taps(CODE, dx=first(TAPS.dx, 1 << 20)), "a tap lies further outside its source than"),
    (with_taps(CODE, cluster_factor=first(TAPS.cluster_factor, 256)),
     "a factor does not fit factor_bits"),
    (piece(width=3), "its pieces do not cover the output once"),
    (piece(x=1), "its pieces do not cover the output once"),
    (with_layer(CODE, pieces=(PIECE, PIECE)), "its pieces do not cover the output once"),
    (piece(scale=(1,)), "a piece needs one scale and bias for each channel"),
    (piece(scale=(1, 65536)), "a scale has more than 16 bits"),
    (piece(bias=(1, 1 << 31)), "a bias has more than 32 bits"),
    (with_layer(CODE, digits=2), "digits and radix_width are for RADIX"),
    (with_layer(CODE, thresholds=(1, 2)), "it needs 15 ascending thresholds"),
    (with_layer(CODE, thresholds=(9, *range(14))), "it needs 15 ascending thresholds"),
    (with_layer(CODE, thresholds=tuple(range(1010, 1025))), "a threshold does not fit 11 bits"),
    (with_layer(CODE, codes=(16,) * 16), "it needs 16 codes below 16"),
    (with_layer(RADIX, digits=3), "digits=3 radix_width=16 are not those of its output"),
    (with_layer(RADIX, mode=0), "its output has no codebook"),
    (with_layer(PASS, pieces=(Piece(0, 0, 4, 4, (1, 1), (1, 1)),)), "so it has no pieces"),
    (with_taps(PASS, channel_clusters=[0, 0, 2]), "a maximum needs a tap in every channel"),
    (dataclasses.replace(CODE, layers=CODE.layers * 2), "tensor 1 has a value already"),
])
def test_layer_rules(program, sentence):
    refused(program, sentence)


def test_taps_may_lie_as_far_outside_as_tensors_are_large():
    """Tensors of nine times the memory, in bands."""
    program = assemble(bands.Bands(300, 30).plan())
    small = dataclasses.replace(program.config, memory_codes=1024)
    check_layers(shifted(program, 30 * 6, small))
    with pytest.raises(FormatError, match="a tap lies further outside its source than"):
        check_layers(shifted(program, 30 * 8, small))


def shifted(program, dx, config):
    """On another machine, the taps of the first layer that far to the right."""
    first, *rest = program.layers
    points = dataclasses.replace(first.taps.points, dx=first.taps.points.dx + dx)
    far = dataclasses.replace(first, taps=dataclasses.replace(first.taps, points=points))
    return dataclasses.replace(program, config=config, layers=(far, *rest))


def test_outputs_are_computed_by_a_layer():
    more = dataclasses.replace(CODE, tensors=(*CODE.tensors, CODE.tensors[1]))
    refused(with_port(more, "outputs", tensor=2), "output 'y': no layer computes it")


# ---- configurations --------------------------------------------------------------------------
def test_same_machine():
    check.same_machine(CODE, dataclasses.replace(CODE.config, name="other"), "net.kbin")
    with pytest.raises(ConfigError) as caught:
        check.same_machine(CODE, Config.preset("small"), "net.kbin")
    assert str(caught.value) == (
        "net.kbin: compiled for lanes=4, but configuration 'small' has lanes=16; recompile the "
        "network for it, or use the configuration in the file")


def test_other_machines_are_seen_in_both_directions():
    small = strategies.small_program(config=Config.preset("small"))
    with pytest.raises(ConfigError, match="compiled for lanes=16, but .* has lanes=4; recompile"):
        check.same_machine(small, CODE.config, "net.kbin")
    for bits in range(16, 19):
        other = dataclasses.replace(CODE.config, sum_bits=bits)
        for at in range(16, 19):
            program = dataclasses.replace(CODE, config=dataclasses.replace(other, sum_bits=at))
            if at == bits:
                check.same_machine(program, other, "net.kbin")
                continue
            with pytest.raises(ConfigError, match=f"compiled for sum_bits={at}, but"):
                check.same_machine(program, other, "net.kbin")


@pytest.mark.parametrize("nodes, fits", [((), True), (("a",), False), (("a", "b"), True),
                                         (("a", "b", "c"), False)])
def test_nodes_name_all_tensors_or_none(nodes, fits):
    program = dataclasses.replace(CODE, meta=dataclasses.replace(CODE.meta, nodes=nodes))
    if fits:
        check.verify(program)
    else:
        refused(program, f"metadata: nodes names {len(nodes)} tensors of 2")


@pytest.mark.parametrize("split, planes, fits", [(4, 1, True), (5, 1, False), (1, 4, True),
                                                 (1, 5, False)])
def test_planes_and_splits_are_at_most_four(split, planes, fits):
    """A tensor that nothing touches, behind the others; four planes hold 16 bits."""
    size = dict(base=8 * 40, first_row=40, rows=40, images=1, channels=1, height=1, width=1,
                channel=1, plane=1, image=1, row=1, column=1, phase_y=1, phase_x=1, pad=0, order=0)
    values = () if planes >= 4 else CODE.tensors[0].kind.values
    spare = changed(dataclasses.replace(CODE.tensors[0], name="spare"), split=split, planes=planes,
                    bits=16 if planes >= 4 else 0, values=values, **size)
    program = dataclasses.replace(CODE, tensors=(*CODE.tensors, spare))
    if fits:
        check.verify(program)
    else:
        refused(program, "tensor 'spare': more than 4 planes or a split above 4")


def test_memory_may_be_as_large_as_transfers_can_need():
    check.verify(dataclasses.replace(CODE, memory_bytes=33984))


def test_external_memory_ends_where_addresses_do():
    (address,) = (field for field in isa.Load.FIELDS if field.name == "address")
    assert check.EXTERNAL_BYTES == 16 * address.limit


# ---- the last that is allowed ------------------------------------------------------------------
OFFSETS = [*range(6), *range(8, 14)]                      # the positions that CODE's tables know


def with_added(*instructions):
    """CODE with more instructions before the RUN."""
    return bare(rearranged([*CODE.instructions[:RUN], *instructions, *CODE.instructions[RUN:]]))


@pytest.mark.parametrize("row, rows, fits", [(2047, 1, True), (2040, 8, True), (2040, 9, False),
                                             (2047, 2, False)])
def test_rows_may_end_with_the_memory(row, rows, fits):
    program = with_added(Fill(row, rows, 15))
    if fits:
        check.verify(program)
    else:
        refused(program, f"row={row} rows={rows} end behind the 2048 rows of the memory")


@pytest.mark.parametrize("kind, depth", [(Table.BASE, 256), (Table.OFFSET, 32), (Table.CLUSTER, 16),
                                         (Table.DECODE, 16)])
def test_tables_may_be_filled_to_the_end(kind, depth):
    table = dataclasses.replace(CODE.instructions[CLUSTER], kind=kind, bank=1, count=3)
    check.verify(with_table(table, first=depth - 3))
    refused(with_table(table, first=depth - 2), f"end behind the {depth} entries of the table")


def with_table(table, **changes):
    """CODE with one more TABLE, into a bank that nothing reads; its words are all 0."""
    start = CODE.instructions[BASE].address
    return with_added(dataclasses.replace(table, address=start, **changes))


@pytest.mark.parametrize("entries, fits", [(256, True), (257, False)])
def test_a_ramp_may_fill_the_base_table(entries, fits):
    ramp = dataclasses.replace(CODE.instructions[BASE], kind=Table.RAMP, bank=1, count=entries,
                               address=0, start=(1 << 14) - 1, step=(1 << 14) - 1)
    if fits:
        check.verify(with_added(ramp))
    else:
        refused(with_added(ramp), "end behind the 256 entries of the table RAMP")


@pytest.mark.parametrize("first, second, units, rest", [
    (10, 0, 2, None), (10, 1, 2, 3), (10, 1, 3, None), (12, 1, 4, 33), (12, 2, 4, None)])
def test_a_stream_leaves_four_to_32_bytes(first, second, units, rest):
    """Two channels; the first has one or two clusters: 6 + 2 + taps (+ 2 + taps) + 1, and 7."""
    clusters = [taps(*OFFSETS[:first - 2 * (not second)])]
    clusters += [taps(*OFFSETS[:second], factor=2)] if second else [taps(0, 1, factor=2)]
    program = bare(with_instruction(with_stream(CODE, channels(clusters, [])), RUN,
                                    stream_units=units))
    if rest is None:
        check.verify(program)
    else:
        refused(program, f"stream_units={units} leave {rest} bytes behind the last channel")


@pytest.mark.parametrize("count", [15, 16, 17])
def test_a_channel_may_fill_the_tap_cache(count):
    program = dataclasses.replace(bare(CODE), config=dataclasses.replace(CODE.config, tap_slots=16))
    clusters = [taps(*OFFSETS), taps(*OFFSETS[:count - 12], factor=2)]
    changed = with_instruction(with_stream(program, channels(clusters, [])), RUN, stream_units=3)
    if count <= 16:
        check.verify(changed)
    else:
        refused(changed, "a channel of its stream has 17 taps, the tap cache holds tap_slots=16")


@pytest.mark.parametrize("factor", [255, 256, -256, -257])
def test_a_factor_may_fill_its_bits(factor):
    changed = bare(with_stream(CODE, channels([taps(0, factor=factor)], [])))
    changed = with_instruction(changed, RUN, stream_units=2)
    if -256 <= factor <= 255:
        check.verify(changed)
    else:
        refused(changed, f"has the factor [{factor}], which does not fit factor_bits=9")


def test_the_last_base_entry_may_be_named():
    first = dataclasses.replace(CODE.instructions[BASE], first=254)
    program = rearranged([first, *CODE.instructions[1:]])
    data = channels([taps(255 << 3)], [])
    check.verify(bare(with_instruction(with_stream(program, data), RUN, stream_units=2)))
