"""The TLM against the machine's page taken literally: every stamp, write and byte."""

import dataclasses

import numpy as np
import pytest
from kcnn.arch import isa
from kcnn.arch.check import verify
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import End, Fill, Load, Run, Store, Table, TableLoad
from kcnn.arch.program import Program, align
from kcnn.tlm.machine import cycles, simulate
from machine_programs import CONFIGS, random_program
from naive_machine import Naive

TINY = Config.preset("tiny")
FAST = MemoryModel.fixed(0)


def assert_same(found, expected):
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.ends.tolist() == expected.ends.tolist()
    assert found.cycles == expected.cycles
    for name in ("cycle", "row", "mask", "codes"):
        assert np.array_equal(getattr(found.writes, name), getattr(expected.writes, name)), name
    assert np.array_equal(found.memory, expected.memory)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CONFIGS)
def test_equal_to_the_naive_machine(name, seed):
    config = CONFIGS[name]
    program, memory = random_program(seed, config)
    verify(program)
    model = MemoryModel.fixed(seed) if seed % 2 else MemoryModel.random(seed)
    naive = Naive(config, len(program.instructions), memory, model).run()
    assert_same(simulate(program, memory, model, trace=True), naive)


@pytest.mark.parametrize("seed", range(2))
def test_the_memory_model_changes_cycles_but_no_bits(seed):
    program, memory = random_program(seed, CONFIGS["m2d2"], runs=4)
    before = memory.copy()
    results = [simulate(program, memory, model)
               for model in (FAST, MemoryModel.fixed(30), MemoryModel.random(seed))]
    assert np.array_equal(memory, before)
    assert len({r.cycles for r in results}) == 3
    for other in results[1:]:
        assert np.array_equal(results[0].memory, other.memory)
        assert np.array_equal(results[0].tensors[0], other.tensors[0])


@pytest.mark.parametrize("name", ["m1", "m4", "p8m2d4", "small"])
def test_losses_add_up(name):
    program, memory = random_program(5, CONFIGS[name], runs=5)
    result = simulate(program, memory, MemoryModel.random(1))
    assert result.losses.cycles == result.cycles
    assert min(dataclasses.astuple(result.losses)) >= 0
    assert [r.instruction for r in result.runs] == [
        i for i, ins in enumerate(program.instructions) if isinstance(ins, Run)]
    for run in result.runs:
        at = run.instruction
        assert min(dataclasses.astuple(run)) >= 0
        assert run.cycles == result.ends[at] - result.starts[at] + 1
    assert result.losses.taps == sum(run.taps for run in result.runs)


def test_tensors_are_captured_when_they_are_complete():
    program, memory = random_program(2, CONFIGS["m2"])
    result = simulate(program, memory, FAST)
    port = program.inputs[0]
    rows = program.tensors[0].layout.rows
    data = memory[port.address:port.address + rows * program.config.row_bytes]
    codes = np.stack([data & 15, data >> 4], axis=1).reshape(1, 1, 1, rows, -1)
    assert np.array_equal(result.tensors[0], codes)
    assert result.writes is None


def assemble(*instructions, data=b"", config=TINY):
    """A program of instructions whose data lie at byte 1024."""
    memory = np.zeros(1024 + align(len(data)) + 256, np.uint8)
    code = isa.encode(list(instructions))
    memory[:len(code)] = np.frombuffer(code, np.uint8)
    memory[1024:1024 + len(data)] = np.frombuffer(data, np.uint8)
    program = Program(config, instructions, b"", b"", (), (), (), (), len(memory))
    return program, memory


# A fetch without waits: request and grant in r, command in r + 1, 4 beats in r + 2 .. r + 5.

def test_stamps_of_an_end():
    result = simulate(*assemble(End()), FAST)
    assert (result.cycles, result.starts.tolist(), result.ends.tolist()) == (8, [-1], [-1])


def test_stamps_of_fill_and_store():
    result = simulate(*assemble(Fill(0, 3, 5, push_next=1), Store(64, 0, 2, pop_prev=1), End()),
                      FAST)
    # FILL: DISPATCH in 7, taken in 8, written in 9..11. STORE: fetched by 13, DISPATCH in 14,
    # taken in 15; its rows are read in 16 and 17, the request is visible in 19, but END is fetched
    # from 15 to 20: grant in 21, beats in 23 and 24.
    assert result.starts.tolist() == [8, 15, -1]
    assert result.ends.tolist() == [11, 25, -1]
    assert result.memory[1024:1040].tolist() == [0x55] * 8 + [0] * 8
    assert result.cycles == 27
    assert result.losses.fill == 4


def test_stamps_of_a_load_of_two_bursts():
    data = bytes(range(100))
    program = assemble(Load(64, 1, 20), End(), data=data)
    result = simulate(*program, FAST, trace=True)
    # DISPATCH in 7, taken in 8, requests visible in 9 (16 beats, to 26) and 27 (to 32). In between
    # the load unit is before the sequencer, whose request is visible in 8.
    assert result.starts[0] == 8
    assert result.writes.row.tolist() == list(range(1, 21))
    assert result.writes.cycle[-1] == result.ends[0]
    assert result.writes.codes[3, :4].tolist() == [12, 0, 13, 0]


@pytest.mark.parametrize("kind, count", [
    (Table.BASE, 5), (Table.OFFSET, 3), (Table.CLUSTER, 16), (Table.DECODE, 16)])
def test_clocks_of_a_table(kind, count):
    program = assemble(TableLoad(kind=int(kind), bank=1, first=0, count=count, address=64), End(),
                       data=bytes(64))
    result = simulate(*program, FAST)
    # taken in 8, while the sequencer's next fetch (8..13) is before it: granted in 14
    assert result.ends[0] == 14 + 1 + 2 * count


def test_a_missing_token_is_reported():
    with pytest.raises(FormatError, match=r"instruction 0 \(FILL\) waits for a dependency token"):
        simulate(*assemble(Fill(0, 1, 0, pop_prev=1), Fill(0, 1, 0), End()), FAST)


def test_a_later_run_is_not_hurt_by_a_failed_one():
    with pytest.raises(FormatError):
        simulate(*assemble(Fill(0, 1, 0, pop_prev=1), End()), FAST)
    with pytest.raises(FormatError, match="opcode 15 is unknown"):
        program, memory = assemble(End())
        memory[0] = 15
        simulate(program, memory, FAST)
    test_stamps_of_an_end()


def test_too_many_tokens_are_refused():
    fills = [Fill(0, 1, 0, push_next=1)] * 16
    with pytest.raises(FormatError, match="more than 15 dependency tokens"):
        simulate(*assemble(*fills, End()), FAST)


def test_a_unit_without_neighbour_is_refused():
    with pytest.raises(FormatError, match="store unit names a neighbour"):
        simulate(*assemble(Store(64, 0, 1, push_next=1), End()), FAST)


def test_a_program_without_end_is_refused():
    program, memory = assemble(*[Fill(0, 1, 0)] * 64)
    with pytest.raises(FormatError, match="runs over the end of the memory at byte 1024"):
        simulate(program, memory[:1024], FAST)


def test_cycles_are_those_of_any_images():
    program, memory = random_program(3, TINY)
    model = MemoryModel.fixed(TINY.latency)
    assert cycles(program) == simulate(program, memory, model).cycles
