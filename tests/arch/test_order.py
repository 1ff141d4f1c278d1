"""Tokens: ends, deadlocks, counters, and what is known to have ended."""

import random

import pytest
from kcnn.arch import order
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import End, Fill, Load, Store, Unit


def load(**flags):
    return Load(0, 0, 1, **flags)


def fill(**flags):
    return Fill(0, 1, 0, **flags)


def store(**flags):
    return Store(0, 0, 1, **flags)


def test_tokens_order_what_they_join():
    program = [load(push_next=1), fill(pop_prev=1, push_next=1), store(pop_prev=1), End()]
    known = order.order(program)
    assert known.ended(0, Unit.LOAD, 1) and known.ended(1, Unit.COMPUTE, 2)
    assert known.ended(0, Unit.LOAD, 2)                   # through the fill
    assert not known.ended(2, Unit.STORE, 1)


def test_without_tokens_nothing_is_known_of_other_units():
    known = order.order([load(), fill(), store(), load(), End()])
    assert not known.ended(0, Unit.LOAD, 1) and not known.ended(1, Unit.COMPUTE, 2)
    assert known.ended(0, Unit.LOAD, 3)                   # one unit works in order


def test_a_token_says_that_everything_before_it_has_ended():
    program = [load(), load(push_next=1), load(), fill(pop_prev=1), End()]
    known = order.order(program)
    assert known.ended(0, Unit.LOAD, 3) and known.ended(1, Unit.LOAD, 3)
    assert not known.ended(2, Unit.LOAD, 3)


def test_tokens_are_taken_in_the_order_in_which_they_were_given():
    program = [load(push_next=1), load(push_next=1), fill(pop_prev=1), fill(pop_prev=1), End()]
    known = order.order(program)
    assert known.ended(0, Unit.LOAD, 2) and not known.ended(1, Unit.LOAD, 2)
    assert known.ended(1, Unit.LOAD, 3)


def test_a_giver_may_come_later_in_the_program():
    program = [fill(pop_next=1), store(push_prev=1), End()]
    assert order.order(program).ended(1, Unit.STORE, 0)


@pytest.mark.parametrize("program, sentence", [
    ([fill(pop_prev=1), End()],
     "instruction 0 (FILL): waits for a token from LOAD to COMPUTE that never comes; recompile "
     "the network"),
    ([load(push_next=1), fill(pop_prev=1), fill(pop_prev=1), End()],
     "instruction 2 (FILL): waits for a token from LOAD to COMPUTE that never comes"),
    # the mailbox of the compute unit is full, so the load that would give the token is not reached
    ([fill(pop_prev=1), fill(), load(push_next=1), End()],
     "instruction 0 (FILL): waits for a token from LOAD to COMPUTE that never comes"),
    ([store(pop_prev=1), fill(pop_next=1, push_next=1), End()],
     "instruction 0 (STORE): waits for a token from COMPUTE to STORE that never comes"),
])
def test_deadlocks_are_refused(program, sentence):
    with pytest.raises(FormatError) as caught:
        order.order(program)
    assert sentence in str(caught.value)


def test_counters_may_be_full_but_not_overflow():
    ahead = [load(push_next=1)] * 15 + [fill(pop_prev=1)] * 15 + [End()]
    order.order(ahead)
    with pytest.raises(FormatError) as caught:
        order.order([load(push_next=1), *ahead])
    assert str(caught.value) == (
        "instruction 15 (LOAD): its token can be number 16 in the counter from LOAD to COMPUTE, "
        "which holds 15; recompile the network")


def test_a_slow_consumer_is_considered():
    """The loads run ahead of fills that take time: two tokens an instruction of lead."""
    pairs = [ins for _ in range(40) for ins in (load(push_next=1), fill(pop_prev=1))]
    order.order([*pairs, End()])
    lead = [load(push_next=1)] * 13
    order.order([*lead, *pairs, End()])
    with pytest.raises(FormatError, match="can be number 16 in the counter from LOAD to COMPUTE"):
        order.order([*lead, load(push_next=1), load(push_next=1), *pairs, End()])


def simulate(program, seed):
    """The three queues with random speeds: (start, end) times, or None for a deadlock."""
    rng = random.Random(seed)
    tokens, mailbox, busy = dict.fromkeys(order.LINKS, 0), {}, {}
    times, at, now = {}, 0, 0
    while program[at].UNIT is not None or mailbox or busy:
        now += 1
        moves = []
        unit = program[at].UNIT
        if unit is not None and unit not in mailbox:
            moves.append(("dispatch", unit))
        for u, i in mailbox.items():
            if u not in busy and all(tokens[k] for k in order.links(program[i], order.POPS)):
                moves.append(("take", u))
        moves += [("end", u) for u in busy]
        if not moves:
            return None
        move, u = rng.choice(moves)
        if move == "dispatch":
            mailbox[u], at = at, at + 1
        elif move == "take":
            busy[u] = mailbox.pop(u)
            for k in order.links(program[busy[u]], order.POPS):
                tokens[k] -= 1
            times[busy[u]] = [now, None]
        else:
            for k in order.links(program[busy[u]], order.PUSHES):
                tokens[k] += 1
            times[busy.pop(u)][1] = now
    return times


def random_program(rng):
    makers = {Unit.LOAD: load, Unit.COMPUTE: fill, Unit.STORE: store}
    program = []
    for _ in range(rng.randint(1, 12)):
        unit = rng.choice(list(Unit))
        flags = [*order.POPS[unit], *order.PUSHES[unit]]
        program.append(makers[unit](**{f: int(rng.random() < 0.4) for f in flags}))
    return [*program, End()]


def test_random_programs_against_random_speeds():
    """What `order` says has ended has ended at every speed; deadlocks do not depend on speed."""
    rng, deadlocks, related = random.Random(1), 0, 0
    for _ in range(300):
        program = random_program(rng)
        runs = [simulate(program, seed) for seed in range(6)]
        try:
            known = order.order(program)
        except FormatError:
            assert all(run is None for run in runs)
            deadlocks += 1
            continue
        assert all(run is not None for run in runs)
        for i, first in enumerate(program[:-1]):
            for j in range(len(program) - 1):
                if i != j and known.ended(i, first.UNIT, j):
                    assert all(run[i][1] < run[j][0] for run in runs)
                    related += first.UNIT != program[j].UNIT
    assert deadlocks > 20 and related > 50
