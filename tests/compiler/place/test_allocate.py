"""Tensors that live at the same time never share rows."""

import itertools

import canonical
from hypothesis import given
from hypothesis import strategies as st
from kcnn.compiler import pipeline
from kcnn.compiler.place.allocate import first_fit, fullest, pack
from kcnn.compiler.place.lives import Life
from kcnn.compiler.stages import Stage

LIVES = st.lists(st.builds(lambda birth, length, rows: Life(birth, birth + length, rows),
                           st.integers(-1, 12), st.integers(0, 6), st.integers(1, 9)),
                 min_size=1, max_size=12)


@given(LIVES, st.randoms(use_true_random=False))
def test_rows_of_tensors_that_live_together_do_not_overlap(tensors, random):
    order = list(range(len(tensors)))
    random.shuffle(order)
    first = first_fit(tensors, order)
    for i, j in itertools.combinations(order, 2):
        if tensors[i].meets(tensors[j]):
            assert (first[i] + tensors[i].rows <= first[j]
                    or first[j] + tensors[j].rows <= first[i])


@given(LIVES)
def test_the_plan_takes_no_more_than_all_rows_and_no_less_than_the_fullest_moment(tensors):
    first, rows = pack(tensors)
    moments = range(-1, 20)
    fullest = max(sum(t.rows for t in tensors if t.birth <= m <= t.death) for m in moments)
    assert fullest <= rows <= sum(t.rows for t in tensors)
    assert rows == max(f + t.rows for f, t in zip(first, tensors, strict=True))


def test_a_chain_reuses_the_rows_of_tensors_that_nobody_reads_any_more():
    chain = [Life(i - 1, i, 10) for i in range(6)]
    assert pack(chain)[1] == 20


def test_a_tensor_lives_as_long_as_a_late_reader_and_an_output_to_the_end():
    net = canonical.Builder(canonical.TINY, (1, 4, 4))
    early = net.conv("x", 2, padding=(1, 1, 1, 1))
    out = net.conv(early, 2, padding=(1, 1, 1, 1))
    middle = net.conv(early, 2, padding=(1, 1, 1, 1))
    net.output(out)
    net.output(net.conv(middle, 2, padding=(1, 1, 1, 1), skip=early))
    program = pipeline.back(net.quantised(), canonical.TINY, 1)
    rows = {t.name: set(range(t.layout.first_row, t.layout.first_row + t.layout.rows))
            for t in program.tensors}
    last = program.tensors[program.outputs[1].tensor].name
    assert not rows[early] & (rows[middle] | rows[last])
    assert not rows[out] & (rows[middle] | rows[last])


def test_the_largest_of_many_tensors_are_named():
    tensors = [Life(0, 2, rows) for rows in (1, 5, 2, 4)] + [Life(1, 1, 3), Life(3, 3, 14)]
    assert fullest(tensors, 4) == (1, [1, 3, 4, 2, 0])


def test_the_text_tells_where_tensors_lie_and_how_much_is_taken():
    made = dict(pipeline.walk(canonical.two_layers(), pipeline.Settings(canonical.TINY, batch=2)))
    *rows, empty, end = str(made[Stage.ALLOCATE]).splitlines()
    assert rows[2].split() == "conv1 4x3x3 1 1x1 - 3 3 18 9 chip 64 9 conv1 conv2".split()
    assert (empty, end) == ("", "73 of 2,048 rows of 8 codes")
