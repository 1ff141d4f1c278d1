"""What the three units share: mailboxes, taking instructions, tokens."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, intbv, modbv

from ..arch.isa import HEAD, Unit

TOKEN_BITS = 4
POP_PREV, POP_NEXT, PUSH_PREV, PUSH_NEXT = range(4)      # bits of `flags`
FLAGS_LO, FLAGS_HI = HEAD[1].lo, HEAD[4].hi


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
    load_to_compute = Signal(modbv(0)[TOKEN_BITS:])
    compute_to_load = Signal(modbv(0)[TOKEN_BITS:])
    compute_to_store = Signal(modbv(0)[TOKEN_BITS:])
    store_to_compute = Signal(modbv(0)[TOKEN_BITS:])
    load_flags = Signal(intbv(0)[4:])
    compute_flags = Signal(intbv(0)[4:])
    store_flags = Signal(intbv(0)[4:])
    load_gives = Signal(bool(0))
    compute_gives_prev = Signal(bool(0))
    compute_gives_next = Signal(bool(0))
    store_gives = Signal(bool(0))
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

    @always_seq(clk.posedge, reset=reset)
    def tokens():
        count = modbv(0)[TOKEN_BITS:]
        count[:] = load_to_compute
        if load.ending and load_gives:
            count[:] = count + 1
        if compute_box.take and compute_flags[POP_PREV]:
            count[:] = count - 1
        load_to_compute.next = count
        count[:] = compute_to_load
        if compute.ending and compute_gives_prev:
            count[:] = count + 1
        if load_box.take and load_flags[POP_NEXT]:
            count[:] = count - 1
        compute_to_load.next = count
        count[:] = compute_to_store
        if compute.ending and compute_gives_next:
            count[:] = count + 1
        if store_box.take and store_flags[POP_PREV]:
            count[:] = count - 1
        compute_to_store.next = count
        count[:] = store_to_compute
        if store.ending and store_gives:
            count[:] = count + 1
        if compute_box.take and compute_flags[POP_NEXT]:
            count[:] = count - 1
        store_to_compute.next = count

    return flags, takes, trace, busy, tokens
