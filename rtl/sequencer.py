"""Fetches instructions and puts them into the units' mailboxes.

    start in cycle 0 -> req visible in 1 -> ... last beat in b -> b+1 the opcode is known
    RUN: req visible in b+2 for the rest, last beat in b', DISPATCH from b'+1; others: from b+1
"""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, enum, intbv

from ..arch.config import Config
from ..arch.isa import HEAD, LONG_BYTES, SHORT_BYTES, Op
from .port import ADDRESS_BITS, BEATS_BITS

HEAD_BITS = 8 * SHORT_BYTES
REST_BYTES = LONG_BYTES - SHORT_BYTES
REST_BITS = 8 * REST_BYTES
OP_HI = HEAD[0].hi

State = enum("AT_REST", "IN_FETCH", "IN_DISPATCH", "IN_FETCH_REST")


@block
def narrow_collector(clk, valid, rdata, resting, part, two, head, rest):
    """Shifts beats of at most 16 bytes into `head`, or into `rest` when `resting`."""
    beat = len(rdata)
    head_all, rest_all = HEAD_BITS + beat, REST_BITS + beat

    @always_seq(clk.posedge, reset=None)
    def shift():
        wide_head = intbv(0)[head_all:]
        wide_rest = intbv(0)[rest_all:]
        if valid:
            if resting:
                wide_rest[REST_BITS:] = rest
                wide_rest[rest_all:REST_BITS] = rdata
                rest.next = wide_rest[rest_all:beat]
            else:
                wide_head[HEAD_BITS:] = head
                wide_head[head_all:HEAD_BITS] = rdata
                head.next = wide_head[head_all:beat]

    return shift


@block
def wide_collector(clk, valid, rdata, resting, part, two, head, rest):
    """Cuts `head` or `rest` out of beats of more than 16 bytes.

    part: which 16 bytes of the first beat come first; two: `rest` lies in two beats.
    """
    beat = len(rdata)
    pair = 2 * beat
    before = Signal(intbv(0)[beat:])

    @always_seq(clk.posedge, reset=None)
    def cut():
        both = intbv(0)[pair:]
        if valid:
            before.next = rdata
            both[:] = rdata
            if resting and two:
                both[pair:beat] = rdata
                both[beat:] = before
            if part[0]:
                both[:] = both >> HEAD_BITS
            if part[1]:
                both[:] = both >> (2 * HEAD_BITS)
            if resting:
                rest.next = both[REST_BITS:]
            else:
                head.next = both[HEAD_BITS:]

    return cut


@block
def sequencer(clk, reset, start, done, bus, rdata, head, rest, load_box, compute_box, store_box,
              stream_box, load, compute, store, stream_idle, config: Config):
    """Runs the program at address 0 after `start`; `done` rises after its END.

    bus: Master; rdata: the port's read data. head, rest: the instruction's bytes 0..15 and 16..63,
    valid while a `put` is high. Drives the boxes' put, reads full; load, compute, store:
    UnitState, of which idle is read. An opcode that is not in isa.Op is never dispatched.
    """
    size = config.port_bytes
    wide = size > SHORT_BYTES
    low = size.bit_length() - 1
    head_beats = max(1, SHORT_BYTES // size)
    rest_beats = max(1, REST_BYTES // size)
    state = Signal(State.AT_REST)
    whole = Signal(bool(0))
    at = Signal(intbv(0)[ADDRESS_BITS:])
    resting = Signal(bool(0))
    part = Signal(intbv(0)[2:])
    two = Signal(bool(0))
    opcode = Signal(intbv(0)[OP_HI:])
    ready = Signal(bool(0))
    moved = Signal(bool(0))
    over = Signal(bool(0))
    op_end, op_run, op_fill = int(Op.END), int(Op.RUN), int(Op.FILL)
    op_load, op_table, op_store = int(Op.LOAD), int(Op.TABLE), int(Op.STORE)
    collector = wide_collector if wide else narrow_collector
    collect = collector(clk, bus.valid, rdata, resting, part, two, head, rest)

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

    @always_comb
    def address():
        bus.address.next = at

    @always_comb
    def beats_of_narrow():
        if resting:
            bus.beats.next = rest_beats
        else:
            bus.beats.next = head_beats
        part.next = 0
        two.next = False

    @always_comb
    def beats_of_wide():
        offset = intbv(0)[BEATS_BITS:]
        offset[:] = at[low:]
        part.next = offset[low:4]
        two.next = offset + REST_BYTES > size
        bus.beats.next = 1
        if resting and offset + REST_BYTES > size:
            bus.beats.next = 2

    return collect, look, dispatch, any_put, control, address, (
        beats_of_wide if wide else beats_of_narrow)
