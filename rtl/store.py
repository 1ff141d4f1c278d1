"""Store unit: activation memory to external memory.

    STORE, taken in k: per burst of m rows: addresses in c+1 .. c+m (c = k or the last beat before),
    row data into the buffer one cycle later each, req visible in c+m+2
"""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, enum, intbv, modbv

from ..arch.config import Config, bits_for
from ..arch.isa import Store
from .port import ADDRESS_BITS, BEATS_BITS, UNIT_SHIFT
from .quirks import block_part

State = enum("AT_REST", "IN_READ", "IN_SETTLE", "IN_SEND")


@block
def row_buffer(clk, we, where, row_in, load, following, shift, wdata, depth, config: Config):
    """Rows go in at `where`; beat after beat of one row comes out, each code in its byte.

    load: the first beat of row `following` is out in the next cycle; else shift: the next beat is.
    """
    code_bits, spare = config.code_bits, 8 // config.codes_per_byte
    per_beat = config.row_codes // config.beats_per_row
    width, size, beat = len(row_in), len(wdata), per_beat * code_bits
    memory = [Signal(intbv(0)[width:]) for _ in range(depth)]
    row = Signal(intbv(0)[width:])

    @always_seq(clk.posedge, reset=None)
    def store():
        if we:
            memory[where].next = row_in

    @always_seq(clk.posedge, reset=None)
    def send():
        if load:
            row.next = memory[following]
        elif shift:
            row.next = row >> beat

    @always_comb
    def cut():
        wdata.next = row[size:]

    @always_comb
    def widen():
        spread = intbv(0)[size:]
        for i in range(per_beat):
            for j in range(code_bits):
                spread[i * spare + j] = row[i * code_bits + j]
        wdata.next = spread

    return store, send, (cut if code_bits == spare else widen)


@block_part
def bursts(box, bus, rest, count, address, span, target, config: Config):
    """Asks for bursts of `count` rows, as many as fit of the `rest`.

    target: where the first one goes; span: bytes from `address` to the next one.
    """
    per_burst = config.burst // config.beats_per_row
    row_shift = config.beats_per_row.bit_length() - 1
    byte_shift = config.row_bytes.bit_length() - 1
    to_hi, to_lo = Store.field("address").ends()

    @always_comb
    def measure():
        place = modbv(0)[ADDRESS_BITS:]
        place[:] = box.word[to_hi:to_lo]
        target.next = place << UNIT_SHIFT

    @always_comb
    def burst():
        if rest > per_burst:
            count.next = per_burst
        else:
            count.next = rest

    @always_comb
    def ask():
        beats = intbv(0)[BEATS_BITS:]
        place = modbv(0)[ADDRESS_BITS:]
        beats[:] = count
        bus.beats.next = beats << row_shift
        bus.address.next = address
        place[:] = count
        span.next = place << byte_shift

    return measure, burst, ask


@block
def store_unit(clk, reset, box, unit, bus, wdata, rows, config: Config):
    """Executes STORE.

    box: Mailbox, word and take are read; unit: UnitState, ending is driven (combinational).
    bus: Master; wdata: the port's write data. rows: Rows (read side).
    """
    per_row = config.beats_per_row
    per_burst = config.burst // per_row
    depth = max(2, per_burst)
    depth_bits = bits_for(depth)
    last_beat = per_row - 1
    rows_hi, rows_lo = Store.field("rows").ends()
    row_hi, row_lo = Store.field("row").ends(len(rows.read_address))
    state = Signal(State.AT_REST)
    address = Signal(modbv(0)[ADDRESS_BITS:])
    span, target = (Signal(modbv(0)[ADDRESS_BITS:]) for _ in range(2))
    rest = Signal(intbv(0)[rows_hi - rows_lo:])
    count = Signal(intbv(0, min=0, max=per_burst + 1))
    row = Signal(modbv(0)[row_hi - row_lo:])
    read, where = (Signal(modbv(0)[depth_bits:]) for _ in range(2))
    at, following = (Signal(modbv(0)[depth_bits:]) for _ in range(2))
    beat = Signal(intbv(0)[bits_for(per_row):])
    reading, arrives, next_row, load, over = (Signal(bool(0)) for _ in range(5))

    buffer = row_buffer(clk, arrives, where, rows.out, load, following, bus.valid, wdata, depth,
                        config)

    @always_comb
    def look():
        reading.next = state == State.IN_READ
        rows.re.next = state == State.IN_READ
        rows.read_address.next = row
        unit.ending.next = over

    @always_comb
    def walk():
        next_row.next = bus.valid and beat == last_beat
        load.next = state != State.IN_SEND or bus.req or (bus.valid and beat == last_beat)
        following.next = at
        if bus.valid and beat == last_beat:
            following.next = at + 1

    @always_seq(clk.posedge, reset=reset)
    def control():
        over.next = False
        if bus.grant:
            bus.req.next = False
            rest.next = rest - count
            address.next = address + span
        if box.take:
            rest.next = box.word[rows_hi:rows_lo]
            row.next = box.word[row_hi:row_lo]
            address.next = target
            state.next = State.IN_READ
        elif state == State.IN_READ:
            row.next = row + 1
            if read == count - 1:
                state.next = State.IN_SETTLE
        elif state == State.IN_SETTLE:
            bus.req.next = True
            state.next = State.IN_SEND
        elif state == State.IN_SEND:
            if bus.last and rest == 0:
                over.next = True
                state.next = State.AT_REST
            elif bus.last:
                state.next = State.IN_READ

    @always_seq(clk.posedge, reset=reset)
    def pointers():
        arrives.next = reading
        where.next = read
        if reading:
            read.next = read + 1
        else:
            read.next = 0
        if state != State.IN_SEND:
            at.next = 0
            beat.next = 0
        elif bus.valid:
            at.next = following
            if next_row:
                beat.next = 0
            else:
                beat.next = beat + 1

    return (buffer, bursts(box, bus, rest, count, address, span, target, config), look, walk,
            control, pointers)
