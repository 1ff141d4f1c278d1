"""Accesses to memory and tables: ordered, and of something that was written."""

import dataclasses

import numpy as np
import pytest
import strategies
from broken import (
    BASE,
    CLUSTER,
    CODE,
    DECODE,
    FILL,
    LOAD,
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
    with_stream,
    with_word,
)
from hypothesis import given, settings
from kcnn.arch import check, effects, hazards, isa, order, parse
from kcnn.arch.isa import Mode, Table, TableLoad
from kcnn.arch.stream import Cluster


def test_deadlocks_are_found():
    refused(with_instruction(CODE, FILL, pop_next=1), "instruction 6 (FILL): waits for a token "
                                                      "from STORE to COMPUTE that never comes")


@pytest.mark.parametrize("change, sentence", [
    ({LOAD: {"push_next": 0}, FILL: {"pop_prev": 0}},
     "instruction 6 (FILL): uses the activation memory without a token that orders it after "
     "instruction 5 (LOAD)"),
    ({RUN: {"push_next": 0}, STORE: {"pop_prev": 0}},
     "instruction 8 (STORE): uses the activation memory without a token that orders it after "
     "instruction 5 (LOAD)"),
])
def test_memory_accesses_are_ordered(change, sentence):
    program = CODE
    for index, changes in change.items():
        program = with_instruction(program, index, **changes)
    refused(program, sentence)


def test_a_load_behind_a_run_needs_a_token():
    base, offset, decode, decode2, cluster, load, fill, run, store, end = CODE.instructions
    again = dataclasses.replace(load, push_next=0)
    refused(rearranged([base, offset, decode, decode2, cluster, load, fill, run, store, again,
                        end]),
            "instruction 9 (LOAD): uses the activation memory without a token that orders it after")
    give = dataclasses.replace(run, push_prev=1)
    take = dataclasses.replace(again, pop_next=1)
    refused(rearranged([base, offset, decode, decode2, cluster, load, fill, give, store, take,
                        end]), "orders it after instruction 8 (STORE)")


def with_transfers(*behind):
    """CODE with further instructions in front of END, and room for 16 rows behind its data."""
    more = CODE.config.row_bytes * 16
    program = dataclasses.replace(CODE, memory_bytes=CODE.memory_bytes + more)
    return bare(rearranged([*program.instructions[:-1], *behind, program.instructions[-1]],
                           program))


def test_a_load_of_what_a_store_writes_is_ordered_after_it():
    """The outputs are loaded again; a FILL leads from the one unit to the other."""
    store = with_transfers().instructions[STORE]
    outside = f"external byte {16 * store.address}"
    lead = isa.Fill(store.row, 1, 0, pop_next=1, push_prev=1)
    again = isa.Load(store.address, store.row, store.rows, pop_next=1)
    check.verify(bare(with_instruction(with_transfers(lead, again), STORE, push_prev=1)))
    refused(with_transfers(dataclasses.replace(again, pop_next=0)),
            f"instruction 9 (LOAD): loads {outside} without a token that orders it after "
            "instruction 8 (STORE), which stores it")
    # the last unit of 16 bytes is enough, nobody stored the next one
    last = -(-store.rows * CODE.config.row_bytes // 16) - 1
    refused(with_transfers(isa.Load(store.address + last, store.row, 1)),
            f"loads external byte {16 * (store.address + last)} without")
    behind = 16 * (store.address + last + 1)
    refused(with_transfers(isa.Load(store.address + last + 1, store.row, 1)),
            f"instruction 9 (LOAD): loads external byte {behind}, which is of no input and which "
            "no instruction before it stored")


def test_a_store_over_what_a_load_reads_is_ordered_after_it():
    load, store = CODE.instructions[LOAD], CODE.instructions[STORE]
    over = isa.Store(load.address, load.row, load.rows)
    check.verify(with_transfers(over))
    early = [*CODE.instructions[:LOAD + 1], over, *CODE.instructions[LOAD + 1:]]
    refused(bare(rearranged(early)),
            f"instruction 6 (STORE): stores external byte {16 * load.address} without a token "
            "that orders it after instruction 5 (LOAD), which loads it")
    early[LOAD + 1] = isa.Store(store.address, load.row, load.rows)
    refused(bare(rearranged(early)), "uses the activation memory without a token")


def test_no_store_reaches_streams_and_tables():
    for section in (CODE.stream_base, CODE.table_base):
        over = dataclasses.replace(CODE.instructions[STORE], address=section // 16)
        refused(with_transfers(over), "which holds instructions, streams or tables")


def test_tables_are_written_before_they_are_read():
    base, offset, decode, decode2, cluster, load, fill, run, store, end = CODE.instructions
    refused(with_instruction(CODE, DECODE, bank=1),
            "instruction 7 (RUN): reads DECODE entry 0 of bank 0, which no instruction before it")
    refused(with_instruction(CODE, RUN, cluster_bank=1), "reads CLUSTER entry 0 of bank 1")
    refused(with_instruction(CODE, RUN, base_bank=1), "reads BASE entry 0 of bank 1")
    # the tables of a RUN that comes before the token
    late = [base, offset, decode, decode2, load, cluster, fill, run, store, end]
    refused(rearranged(late), "instruction 7 (RUN): reads CLUSTER entries of bank 0 without a "
                              "token that orders it after instruction 5 (TABLE)")


def test_tables_are_not_overwritten_while_they_are_read():
    base, offset, decode, decode2, cluster, load, fill, run, store, end = CODE.instructions
    order = [base, offset, decode, decode2, cluster, load, fill, run, store]
    refused(rearranged([*order, cluster, end]),
            "instruction 9 (TABLE): writes CLUSTER entries of bank 0 without a token that orders "
            "it after instruction 7 (RUN), which reads them")
    check.verify(rearranged([*order, dataclasses.replace(cluster, bank=1), end]))
    order[7] = dataclasses.replace(run, push_prev=1)
    check.verify(rearranged([*order, dataclasses.replace(cluster, pop_next=1), end]))


def test_entries_that_no_tap_names_may_be_overwritten():
    base, offset, decode, decode2, cluster, load, fill, run, store, end = CODE.instructions
    spare = dataclasses.replace(base, first=200)
    check.verify(rearranged([base, offset, decode, decode2, cluster, load, fill, run, store,
                             spare, end]))


def test_cells_are_written_before_they_are_read():
    refused(with_instruction(CODE, RUN, origin=1000),
            "instruction 7 (RUN): reads address 1008, which no instruction before it wrote")
    program = with_instruction(CODE, FILL, row=18, rows=3)
    program = with_instruction(program, RUN, channels=1)
    refused(with_stream(program, channels([taps(0)], [])), "its stream goes on")
    less = with_instruction(with_stream(program, channels([taps(0)])), RUN, stream_units=2)
    less = with_instruction(less, FILL, row=20, rows=1)
    refused(bare(less), "instruction 8 (STORE): stores address 152, which no instruction before it "
                        "wrote")


@pytest.mark.parametrize("changes, sentence", [
    ({"dst_channel": 0}, "instruction 7 (RUN): writes address 136 more than once"),
    ({"dst": 20}, "instruction 7 (RUN): reads address"),
    ({"x_step": 0, "x_wrap": 0}, "more than once"),
])
def test_destinations(changes, sentence):
    refused(with_instruction(CODE, RUN, **changes), sentence)


def test_a_run_cannot_write_more_than_the_memory_holds():
    config = dataclasses.replace(CODE.config, memory_codes=256)
    shape = strategies.Shape(channels=1, height=1, width=1, kernel=(1, 1), outputs=1,
                             padding=(0, 0, 0, 0))
    program = strategies.small_program(shape, config)
    wide = dict(pitch=300, width=300, chunk_columns=4, chunk_rows=0, chunk_images=0,
                image_pitch=900 % 256, chunk_pitch=0)
    refused(with_instruction(program, RUN, **wide), "writes 300 codes, the activation memory "
                                                    "holds 256")


def with_values(program, values):
    """The program with other values of the 16 codes; two TABLEs hold 8 each."""
    for code, value in enumerate(values):
        program = with_word(program, DECODE + code // 8, code % 8, value & 0xFFFF)
    return program


def narrow(program, **bits):
    """The program on a machine of other widths; its layer table goes, since streams differ."""
    return dataclasses.replace(bare(program), config=dataclasses.replace(program.config, **bits))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_must_fit_after_every_tap(sign):
    """All values are far from zero, so the sum of all taps is smaller than that of the first."""
    values = sign * np.arange(200, 216)
    cluster = Cluster(1, np.array([0, 1, 2, 3]), np.array([False, False, True, True]))
    program = with_values(with_stream(bare(CODE), channels([cluster], [])), values)
    program = with_instruction(program, RUN, stream_units=2)
    refused(narrow(program, sum_bits=9), f"a cluster sum S can reach {2 * 215}, which 9 bits do "
                                         "not hold")
    check.verify(narrow(program, sum_bits=10))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_total_must_fit_after_every_run(sign):
    values = sign * np.arange(200, 216)
    clusters = [Cluster(factor, np.array([0, 1, 2, 3, 4]), np.zeros(5, bool))
            for factor in (255, 255, -255, -255)]
    program = with_values(with_stream(bare(CODE), channels(clusters, [])), values)
    program = with_instruction(program, RUN, stream_units=3)
    reached = 2 * 255 * 5 * 215
    assert 1 << 19 <= reached < 1 << 20
    refused(narrow(program, total_bits=20), f"a total T can reach {reached}, which 20 bits do not "
                                            "hold")
    check.verify(narrow(program, total_bits=21))


@pytest.mark.parametrize("value, negative, taps_held", [
    (255, False, 2), (-256, False, 2), (-255, False, 2), (128, False, 3), (-128, False, 4),
    (-171, False, 2), (171, True, 2), (128, True, 4), (-128, True, 3), (-171, True, 2)])
def test_sums_may_fill_their_bits_completely(value, negative, taps_held):
    """10 bits hold -512 to 511: so many taps of one value fit, and not one more."""
    def program(count):
        cluster = Cluster(1, np.arange(count), np.full(count, negative))
        changed = with_stream(CODE, channels([cluster], []))
        return narrow(with_instruction(with_values(changed, [value] * 16), RUN, stream_units=2),
                      sum_bits=10)
    check.verify(program(taps_held))
    worst = (taps_held + 1) * (-value if negative else value)
    refused(program(taps_held + 1), f"a cluster sum S can reach {max(worst, -1 - worst)}, which")


def test_a_maximum_is_one_value_of_the_run():
    """Its taps do not add up, and the sign of any of them may meet the largest value."""
    cluster = Cluster(3, np.array([0, 1]), np.array([False, True]))
    program = with_instruction(with_stream(PASS, channels([cluster], [])), RUN - 1, stream_units=2)
    for value in (-256, 255):
        check.verify(narrow(with_values(program, [0, value] * 8), sum_bits=10))
    check.verify(narrow(with_values(program, [0, 255] * 8), sum_bits=9))
    refused(narrow(with_values(program, [0, -256] * 8), sum_bits=9),
            "a cluster sum S can reach 256, which 9 bits do not hold")


# ---- what a RUN finds in the tables ----------------------------------------------------------
def found(program):
    """What the walk hands out, by instruction."""
    run = next(ins for ins in program.instructions if isinstance(ins, isa.Run))
    size = 16 * run.stream_units
    parsed = parse.parse(np.frombuffer(program.streams, np.uint8, size), run.channels, "a RUN")
    flat = effects.flat(parsed)
    at = program.instructions.index(run)
    seen = {}
    walk = hazards.Accesses(program, order.order(program.instructions), {at: flat})
    walk.walk(lambda index, ins, operands: seen.update({index: operands}))
    assert list(seen) == list(range(len(program.instructions)))
    assert [index for index, operands in seen.items() if operands is not None] == [at]
    return run, flat, seen[at]


def tables_of(program):
    """{(kind, bank, entry): word}, by hand."""
    words = {}
    for ins in program.instructions:
        if isinstance(ins, TableLoad):
            at = 16 * ins.address - program.table_base
            for i in range(ins.count):
                word = int.from_bytes(program.tables[at + 4 * i:at + 4 * i + 4], "little")
                words[ins.kind, ins.bank, ins.first + i] = word
    return words


@settings(max_examples=30)
@given(strategies.programs())
def test_operands_are_those_of_the_tables(program):
    run, flat, operands = found(program)
    words = tables_of(program)
    base = [words[Table.BASE, 0, p >> run.kernel_bits] for p in flat.positions.tolist()]
    offset = [words[Table.OFFSET, 0, p % (1 << run.kernel_bits)] for p in flat.positions.tolist()]
    assert operands.taps.starts.tolist() == [b % (1 << 24) + o
                                        for b, o in zip(base, offset, strict=True)]
    assert operands.taps.pairs.tolist() == [b >> 24 for b in base]
    for pair in set(operands.taps.pairs.tolist()):
        assert operands.decode[pair].tolist() == [words[Table.DECODE, pair, c] for c in range(16)]
    if run.mode == Mode.CODE:
        assert operands.clusters.tolist() == [words[Table.CLUSTER, 0, i] for i in range(16)]


def test_ramps_count_modulo_the_memory():
    size = CODE.config.memory_codes
    ramp = TableLoad(Table.RAMP, 0, 3, 5, 0, start=size - 60, step=100, pair=1)
    assert hazards.entries(CODE, ramp).tolist() == [
        ((size - 60 + 100 * i) % size) + (1 << 24) for i in range(5)]
    first, second = (int(w) for w in hazards.entries(CODE, CODE.instructions[BASE]))
    same = with_instruction(CODE, BASE, kind=Table.RAMP, address=0, start=first,
                            step=second - first)
    assert found(same)[2].taps.starts.tolist() == found(CODE)[2].taps.starts.tolist()


def test_a_run_without_taps_reads_nothing():
    program = with_instruction(with_stream(CODE, channels([], [])), RUN, stream_units=2)
    check.verify(bare(with_instruction(program, RUN, origin=5000)))


def test_decode_tables_are_needed_whole():
    refused(with_instruction(CODE, DECODE + 1, first=9, count=7),
            "instruction 7 (RUN): reads DECODE entry 8 of bank 0, which no instruction before it")


def test_a_run_may_not_read_what_it_writes():
    first, last = 9, 9 + 63 + 3 * 9 + 4        # elements of the first and the second channel
    for dst in (first, last):
        refused(with_instruction(CODE, RUN, dst=dst),
                f"instruction 7 (RUN): reads address {dst}, which it also writes")


@pytest.mark.parametrize("lower", range(1, 15))
def test_thresholds_ascend_or_stay(lower):
    """Entry 0 has none; neighbours may be equal, and none may be larger than the next one."""
    equal = CODE
    for entry in range(1, 16):
        equal = with_word(equal, CLUSTER, entry, -300 + 7 * (entry - (entry > lower)) & 0xFFFF)
    check.verify(bare(with_word(equal, CLUSTER, 0, 1000)))
    larger = with_word(equal, CLUSTER, lower, -300 + 7 * lower + 1 & 0xFFFF)
    refused(larger, "instruction 7 (RUN): the thresholds of CLUSTER bank 0 do not ascend")


def test_only_codes_need_thresholds():
    for program in (RADIX, PASS):
        assert all(ins.kind != Table.CLUSTER for ins in program.instructions
                   if isinstance(ins, TableLoad))
        check.verify(program)


@pytest.mark.parametrize("filled", [2, 3])
def test_rows_are_counted_from_row_on(filled):
    *before, store, end = CODE.instructions
    fill = isa.Fill(41, filled, 5)
    again = isa.Store(store.address, 41, 3)
    program = bare(rearranged([*before[:FILL + 1], fill, *before[FILL + 1:], store, again, end]))
    if filled == 3:
        check.verify(program)
    else:
        refused(program, "instruction 10 (STORE): stores address 344, which no instruction before")
