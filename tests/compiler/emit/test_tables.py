"""What is loaded, into which bank, and after which RUN."""

import canonical
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch.isa import Table
from kcnn.compiler.emit.tables import Banks, _ramps

MACHINE = canonical.config()


def words(*values):
    return np.array(values, np.int64)


def test_tables_alternate_and_wait_for_the_run_that_used_the_bank():
    banks = Banks(MACHINE)
    placed = [banks.place(Table.OFFSET, words(run), run) for run in range(4)]
    assert [bank for bank, _ in placed] == [0, 1, 0, 1]
    assert [plans[0].after for _, plans in placed] == [-1, -1, 0, 1]


def test_what_lies_in_a_bank_already_is_not_loaded_again():
    banks = Banks(MACHINE)
    banks.place(Table.OFFSET, words(1, 2, 3), 0)
    banks.place(Table.OFFSET, words(4), 1)
    assert banks.place(Table.OFFSET, words(1, 2), 2) == (0, [])
    assert banks.place(Table.OFFSET, words(4), 3) == (1, [])
    # a longer table is another one, and goes where the older use was
    bank, plans = banks.place(Table.OFFSET, words(4, 5), 4)
    assert (bank, plans[0].after) == (0, 2)


def test_a_short_table_leaves_the_entries_behind_it():
    banks = Banks(MACHINE)
    banks.place(Table.OFFSET, words(1, 2, 3), 0)
    banks.place(Table.OFFSET, words(9), 1)
    banks.place(Table.OFFSET, words(7), 2)
    assert banks.place(Table.OFFSET, words(7, 2, 3), 3) == (0, [])


def test_decode_tables_keep_their_pair_and_the_other_is_used_for_new_ones():
    banks = Banks(MACHINE)
    a, b, c = words(1), words(2), words(3)
    assert banks.place_pairs([a, b], 0)[0] == [0, 1]
    pairs, plans = banks.place_pairs([c, b], 1)
    assert pairs == [0, 1] and [p.bank for p in plans] == [0] and plans[0].after == 0
    pairs, plans = banks.place_pairs([a], 2)
    assert pairs == [0] or plans[0].after == 1
    assert banks.place_pairs([], 3) == ([], [])


@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 1 << 16), st.integers(0, 1),
                          st.integers(1, 6)), min_size=1, max_size=5))
def test_ramps_give_every_entry(parts):
    memory = 1 << 16
    entries = words(*(start % memory + i * step % memory - (start % memory + i * step % memory
                                                            ) // memory * memory | pair << 24
                      for start, step, pair, count in parts for i in range(count)))
    found = []
    for first, count, start, step, pair in _ramps(entries, memory):
        assert first == len(found) and count >= 1
        found += [(start + i * step) % memory | pair << 24 for i in range(count)]
    assert found == entries.tolist()


def test_regular_base_tables_take_no_memory():
    _, plans = Banks(MACHINE).place(Table.BASE, np.arange(100, 900, 8), 0)
    assert [(p.kind, p.count, p.ramp["start"], p.ramp["step"]) for p in plans] == [
        (Table.RAMP, 100, 100, 8)]


def test_irregular_base_tables_are_read_from_memory():
    entries = np.random.default_rng(0).integers(0, 1000, 50)
    _, plans = Banks(MACHINE).place(Table.BASE, entries, 0)
    assert [(p.kind, p.count) for p in plans] == [(Table.BASE, 50)]
