"""Fetches instructions and puts them into the units' mailboxes.

    start in cycle 0 -> req visible in 1 -> ... last beat in b -> b+1 the opcode is known
    RUN: req visible in b+2 for the rest, last beat in b', DISPATCH from b'+1; others: from b+1
"""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, enum, intbv

from ..arch.config import Config
from ..arch.isa import LONG_BYTES, SHORT_BYTES, Op
from .port import ADDRESS_BITS
from .unit import OP_HI

HEAD_BITS = 8 * SHORT_BYTES
REST_BYTES = LONG_BYTES - SHORT_BYTES
REST_BITS = 8 * REST_BYTES

State = enum("AT_REST", "IN_FETCH", "IN_DISPATCH", "IN_FETCH_REST")


@block
def narrow_fetch(clk, bus, rdata, resting, at, head, rest):
    """Shifts beats of at most 16 bytes into `head`, or into `rest` when `resting`.

    Asks for those that hold the 16 or 48 bytes at address `at`.
    """
    beat = len(rdata)
    head_top, rest_top = HEAD_BITS - beat, REST_BITS - beat
    head_beats, rest_beats = HEAD_BITS // beat, REST_BITS // beat

    @always_comb
    def ask():
        bus.address.next = at
        if resting:
            bus.beats.next = rest_beats
        else:
            bus.beats.next = head_beats

    @always_seq(clk.posedge, reset=None)
    def shift():
        if bus.valid:
            if resting:
                rest.next[REST_BITS:rest_top] = rdata
                rest.next[rest_top:] = rest[REST_BITS:beat]
            else:
                head.next[HEAD_BITS:head_top] = rdata
                head.next[head_top:] = head[HEAD_BITS:beat]

    @always_seq(clk.posedge, reset=None)
    def shift_rest():
        if bus.valid:
            if resting:
                rest.next[REST_BITS:rest_top] = rdata
                rest.next[rest_top:] = rest[REST_BITS:beat]
            else:
                head.next = rdata

    return ask, (shift if beat < HEAD_BITS else shift_rest)


@block
def wide_fetch(clk, bus, rdata, resting, at, head, rest):
    """As `narrow_fetch`, for beats of 32 or 64 bytes: cuts the part at `at` out of one or two."""
    beat = len(rdata)
    pair, size = 2 * beat, beat // 8
    low = size.bit_length() - 1
    two = Signal(bool(0))
    before = Signal(intbv(0)[beat:])

    @always_comb
    def measure():
        limit = intbv(0)[low + 2:]
        limit[:] = at[low:]
        limit[:] = limit + REST_BYTES
        two.next = resting and limit > size

    @always_comb
    def ask():
        bus.address.next = at
        bus.address.next[low:] = 0
        if two:
            bus.beats.next = 2
        else:
            bus.beats.next = 1

    @always_seq(clk.posedge, reset=None)
    def cut():
        both = intbv(0)[pair:]
        if bus.valid:
            before.next = rdata
            both[:] = rdata
            if two:
                both[pair:beat] = rdata
                both[beat:] = before
            if at[4]:
                both[:] = both >> HEAD_BITS
            if low > 5 and at[5]:
                both[:] = both >> 2 * HEAD_BITS
            if resting:
                rest.next = both[REST_BITS:]
            else:
                head.next = both[HEAD_BITS:]

    return measure, ask, cut


@block
def sequencer(clk, reset, start, done, bus, rdata, head, rest, load_box, compute_box, store_box,
              stream_box, load, compute, store, stream_idle, config: Config):
    """Runs the program at address 0 after `start`; `done` rises after its END.

    bus: Master; rdata: the port's read data. head, rest: the instruction's bytes 0..15 and 16..63,
    valid while a `put` is high. Drives the boxes' put, reads full; load, compute, store:
    UnitState, of which idle is read. An opcode that is not in isa.Op is never dispatched.
    """
    state = Signal(State.AT_REST)
    whole = Signal(bool(0))
    at = Signal(intbv(0)[ADDRESS_BITS:])
    resting = Signal(bool(0))
    opcode = Signal(intbv(0)[OP_HI:])
    ready = Signal(bool(0))
    moved = Signal(bool(0))
    over = Signal(bool(0))
    op_end, op_run, op_fill = int(Op.END), int(Op.RUN), int(Op.FILL)
    op_load, op_table, op_store = int(Op.LOAD), int(Op.TABLE), int(Op.STORE)
    fetch_block = wide_fetch if config.port_bytes > SHORT_BYTES else narrow_fetch
    fetch = fetch_block(clk, bus, rdata, resting, at, head, rest)

    @always_comb
    def look():
        opcode.next = head[OP_HI:]
        ready.next = state == State.IN_DISPATCH
        resting.next = state == State.IN_FETCH_REST

    @always_comb
    def dispatch():
        load_box.put.next = (ready and not load_box.full
                             and (opcode == op_load or opcode == op_table))
        store_box.put.next = ready and not store_box.full and opcode == op_store
        compute_box.put.next = (ready and not compute_box.full
                                and (opcode == op_fill or (opcode == op_run and whole
                                                           and not stream_box.full)))
        stream_box.put.next = (ready and not compute_box.full and not stream_box.full
                               and opcode == op_run and whole)
        over.next = (ready and opcode == op_end and not load_box.full and not compute_box.full
                     and not store_box.full and not stream_box.full and load.idle
                     and compute.idle and store.idle and stream_idle)

    @always_comb
    def any_put():
        moved.next = load_box.put or compute_box.put or store_box.put

    @always_seq(clk.posedge, reset=reset)
    def control():
        if state == State.AT_REST:
            if start:
                done.next = False
                bus.req.next = True
                at.next = 0
                state.next = State.IN_FETCH
        elif state == State.IN_DISPATCH:
            if over:
                done.next = True
                state.next = State.AT_REST
            elif opcode == op_run and not whole:
                bus.req.next = True
                at.next = at + SHORT_BYTES
                whole.next = True
                state.next = State.IN_FETCH_REST
            elif moved:
                bus.req.next = True
                if opcode == op_run:
                    at.next = at + REST_BYTES
                else:
                    at.next = at + SHORT_BYTES
                whole.next = False
                state.next = State.IN_FETCH
        elif bus.last:
            state.next = State.IN_DISPATCH
        if bus.grant:
            bus.req.next = False

    return fetch, look, dispatch, any_put, control
