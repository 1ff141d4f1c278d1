"""The activation memory, its trace, and the tables."""

import numpy as np
import pytest
from kcnn.arch import tables as entries
from kcnn.arch.config import Config
from kcnn.arch.isa import Table, TableLoad
from kcnn.tlm.memory import ActivationMemory, Tables

TINY = Config.preset("tiny")


def test_rows_are_two_codes_a_byte_at_four_bits():
    memory = ActivationMemory(TINY, trace=False)
    data = np.arange(8, dtype=np.uint8) * 0x11 + 0x10
    memory.load(5, data, np.arange(2))
    assert memory.codes[40:44].tolist() == [0, 1, 1, 2]
    assert np.array_equal(memory.store(5, 2), data)
    assert memory.trace is None


def test_rows_are_one_code_a_byte_above_four_bits():
    config = Config.preset("small")
    memory = ActivationMemory(config, trace=False)
    data = np.arange(32, dtype=np.uint8)
    memory.load(config.rows - 1, data, np.arange(1))
    assert memory.codes[-32:].tolist() == list(range(32))


def test_trace_sorts_cells_into_rows():
    memory = ActivationMemory(TINY, trace=True)
    memory.write(np.array([13, 8, 3, 21, 9]), np.array([1, 2, 3, 4, 5]),
                 np.array([7, 7, 6, 9, 9]))
    writes = memory.trace.writes()
    assert writes.cycle.tolist() == [6, 7, 9, 9]
    # in cycle 9 row 1 gets an even word, row 2 an odd one: the even word's row comes first
    assert writes.row.tolist() == [0, 1, 1, 2]
    assert writes.codes[1].tolist() == [2, 0, 0, 0, 0, 1, 0, 0]
    assert writes.mask[1].tolist() == [True] + [False] * 4 + [True] + [False] * 2


def test_the_even_word_comes_first_whatever_its_row():
    memory = ActivationMemory(TINY, trace=True)
    memory.write(np.array([4, 16]), np.array([1, 2]), np.array([3, 3]))
    assert memory.trace.writes().row.tolist() == [2, 0]


def table(kind, **more):
    return TableLoad(**{"kind": int(kind), "bank": 1, "first": 2, "count": 3} | more)


def test_words_of_each_kind():
    tables = Tables(TINY)
    tables.write(table(Table.BASE), np.array([0x1000004, 5, 0xFFFFFF]))
    assert tables.base[1, 1:6].tolist() == [0, 4, 5, 0xFFFFFF, 0]
    assert tables.pair[1, 2:5].tolist() == [1, 0, 0]
    tables.write(table(Table.OFFSET), np.array([1, 2, 3]))
    assert tables.offset[1, 2:5].tolist() == [1, 2, 3]
    tables.write(table(Table.DECODE), np.array([0xFFFF, 0xFF, 0xFF00]))
    assert tables.decode[1, 2:5].tolist() == [-1, 255, -256]
    tables.write(table(Table.CLUSTER), np.array([0x0AFFFE, 0x030400, 0]))
    assert tables.threshold[1, 2:5].tolist() == [-2, 1024, 0]
    assert tables.code[1, 2:5].tolist() == [10, 3, 0]
    tables.write(table(Table.RAMP, start=100, step=7, pair=1), np.zeros(0, np.int64))
    assert tables.base[1, 2:5].tolist() == [100, 107, 114]
    assert not tables.base[0].any() and not tables.code[0].any()


@pytest.mark.parametrize("kind, depth", [(Table.BASE, 256), (Table.RAMP, 256), (Table.OFFSET, 32),
                                         (Table.DECODE, 16), (Table.CLUSTER, 16)])
def test_entries_beyond_the_depth_are_dropped(kind, depth):
    tables = Tables(TINY)
    assert entries.depth(kind, TINY) == depth
    unused = {"start": 7, "step": 0} if kind == Table.RAMP else {}
    tables.write(table(kind, first=depth - 1, **unused), np.full(3, 7))
    tables.write(table(kind, first=depth + 3, **unused), np.full(3, 9))
    arrays = (tables.base, tables.offset, tables.decode, tables.threshold)
    assert sum(int((a == 7).sum()) for a in arrays) == 1
