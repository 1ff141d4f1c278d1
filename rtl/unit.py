"""What the three units share: mailboxes, taking instructions, tokens."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, intbv, modbv

from ..arch.isa import HEAD, Unit
from ..arch.order import COUNTER_BITS, LINKS

POP_PREV, POP_NEXT, PUSH_PREV, PUSH_NEXT = range(4)      # bits of `flags`
OP_HI, FLAGS_LO, FLAGS_HI = HEAD[0].hi, HEAD[1].lo, HEAD[4].hi


class Mailbox:
    """One instruction (its low bits as far as the unit needs them) between sequencer and unit.

    put: the sequencer fills the empty box at the end of this cycle; take: the unit empties it.
    full: the word is there.
    """

    def __init__(self, bits: int) -> None:
        self.put = Signal(bool(0))
        self.take = Signal(bool(0))
        self.full = Signal(bool(0))
        self.word = Signal(intbv(0)[bits:])


class UnitState:
    """idle: the unit may take an instruction; ending: this is its instruction's last cycle."""

    def __init__(self) -> None:
        self.idle = Signal(bool(1))
        self.ending = Signal(bool(0))


@block
def mailbox(clk, reset, box, instruction):
    """The registers of one Mailbox; instruction: the word that `put` stores."""
    @always_seq(clk.posedge, reset=reset)
    def hold():
        if box.put:
            box.full.next = True
        elif box.take:
            box.full.next = False

    @always_seq(clk.posedge, reset=None)
    def keep():
        if box.put:
            box.word.next = instruction

    return hold, keep


@block
def units(clk, reset, load_box, compute_box, store_box, load, compute, store, started, ended):
    """Lets each idle unit take its mailbox's instruction when its tokens are there.

    load_box, ...: Mailbox, of which full and word are read and take is driven (combinational);
    load, ...: UnitState, idle is driven. started, ended: a bit per unit (isa.Unit), combinational.
    """
    load_to_compute, compute_to_load, compute_to_store, store_to_compute = (
        Signal(modbv(0)[COUNTER_BITS:]) for _ in LINKS)
    load_flags, compute_flags, store_flags = (Signal(intbv(0)[4:]) for _ in Unit)
    load_gives, compute_gives_prev, compute_gives_next, store_gives = _bits()
    load_gives_now, load_takes_now, store_gives_now, store_takes_now = _bits()
    compute_gives_back, compute_takes_back, compute_gives_on, compute_takes_on = _bits()
    of_load, of_compute, of_store = int(Unit.LOAD), int(Unit.COMPUTE), int(Unit.STORE)

    @always_comb
    def flags():
        load_flags.next = load_box.word[FLAGS_HI:FLAGS_LO]
        compute_flags.next = compute_box.word[FLAGS_HI:FLAGS_LO]
        store_flags.next = store_box.word[FLAGS_HI:FLAGS_LO]

    @always_comb
    def takes():
        load_box.take.next = (load.idle and load_box.full
                              and (not load_flags[POP_NEXT] or compute_to_load != 0))
        compute_box.take.next = (compute.idle and compute_box.full
                                 and (not compute_flags[POP_PREV] or load_to_compute != 0)
                                 and (not compute_flags[POP_NEXT] or store_to_compute != 0))
        store_box.take.next = (store.idle and store_box.full
                               and (not store_flags[POP_PREV] or compute_to_store != 0))

    @always_comb
    def trace():
        started.next[of_load] = load_box.take
        started.next[of_compute] = compute_box.take
        started.next[of_store] = store_box.take
        ended.next[of_load] = load.ending
        ended.next[of_compute] = compute.ending
        ended.next[of_store] = store.ending

    @always_seq(clk.posedge, reset=reset)
    def busy():
        if load_box.take:
            load.idle.next = False
            load_gives.next = load_flags[PUSH_NEXT]
        elif load.ending:
            load.idle.next = True
        if compute_box.take:
            compute.idle.next = False
            compute_gives_prev.next = compute_flags[PUSH_PREV]
            compute_gives_next.next = compute_flags[PUSH_NEXT]
        elif compute.ending:
            compute.idle.next = True
        if store_box.take:
            store.idle.next = False
            store_gives.next = store_flags[PUSH_PREV]
        elif store.ending:
            store.idle.next = True

    @always_comb
    def moves():
        load_gives_now.next = load.ending and load_gives
        load_takes_now.next = load_box.take and load_flags[POP_NEXT]
        compute_gives_back.next = compute.ending and compute_gives_prev
        compute_takes_back.next = compute_box.take and compute_flags[POP_PREV]
        compute_gives_on.next = compute.ending and compute_gives_next
        compute_takes_on.next = compute_box.take and compute_flags[POP_NEXT]
        store_gives_now.next = store.ending and store_gives
        store_takes_now.next = store_box.take and store_flags[POP_PREV]

    @always_seq(clk.posedge, reset=reset)
    def tokens():
        if load_gives_now and not compute_takes_back:
            load_to_compute.next = load_to_compute + 1
        elif compute_takes_back and not load_gives_now:
            load_to_compute.next = load_to_compute - 1
        if compute_gives_back and not load_takes_now:
            compute_to_load.next = compute_to_load + 1
        elif load_takes_now and not compute_gives_back:
            compute_to_load.next = compute_to_load - 1
        if compute_gives_on and not store_takes_now:
            compute_to_store.next = compute_to_store + 1
        elif store_takes_now and not compute_gives_on:
            compute_to_store.next = compute_to_store - 1
        if store_gives_now and not compute_takes_on:
            store_to_compute.next = store_to_compute + 1
        elif compute_takes_on and not store_gives_now:
            store_to_compute.next = store_to_compute - 1

    return flags, takes, trace, busy, moves, tokens


def _bits() -> tuple[Signal, ...]:
    return tuple(Signal(bool(0)) for _ in range(4))
