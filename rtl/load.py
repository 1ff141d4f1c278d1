"""Load unit: external memory to the activation memory and to the tables.

    LOAD, taken in k: req visible in k+1; a row is written in the cycle after its last beat
    TABLE: a burst with last beat b is written from b+1 on, an entry a cycle
    RAMP: entries written in k+1 .. k+count
"""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, enum, intbv, modbv

from ..arch.config import Config
from ..arch.isa import ENTRY_BYTES, Load, Op, Table, TableLoad
from .port import ADDRESS_BITS, BEATS_BITS, UNIT_SHIFT
from .quirks import block_part
from .signals import bit
from .unit import OP_HI

ENTRY_SHIFT = (8 * ENTRY_BYTES).bit_length() - 1
REST_BITS = 28           # beats of one instruction
KIND_HI, KIND_LO = TableLoad.field("kind").ends()
COUNT_HI, COUNT_LO = TableLoad.field("count").ends()

State = enum("AT_REST", "IN_ROWS", "IN_BEATS", "IN_ENTRIES", "IN_RAMP")


@block
def row_feeder(clk, reset, take, first_row, valid, rdata, rows, config: Config):
    """Hands the beats of rows to `rows`, in the cycles in which they come.

    take: an instruction begins, its rows go to `first_row` on. rdata: codes in external form, of
    which the low bits count where a code is smaller than its byte.
    """
    code_bits, last_part = config.code_bits, config.beats_per_row - 1
    per_beat, spare = config.row_codes // config.beats_per_row, 8 // config.codes_per_byte
    part = Signal(modbv(0)[len(rows.part):])
    row = Signal(modbv(0)[len(rows.address):])

    @always_seq(clk.posedge, reset=reset)
    def count():
        if take:
            part.next = 0
            row.next = first_row
        elif valid:
            if part == last_part:
                part.next = 0
                row.next = row + 1
            else:
                part.next = part + 1

    @always_comb
    def place():
        rows.valid.next = valid
        rows.part.next = part
        rows.address.next = row

    @always_comb
    def feed():
        rows.beat.next = rdata

    @always_comb
    def shrink():
        for i in range(per_beat):
            for j in range(code_bits):
                rows.beat.next[i * code_bits + j] = rdata[i * spare + j]

    return count, place, (feed if code_bits == spare else shrink)


@block
def burst_buffer(clk, reset, restart, valid, word_in, at, following, word_out, depth):
    """Keeps the beats of one burst; `word_out` is beat `at`, readable from its next cycle on.

    restart: the next beat is beat 0; following: the value of `at` in the next cycle.
    """
    width = len(word_in)
    memory = [Signal(intbv(0)[width:]) for _ in range(max(2, depth))]
    count = Signal(intbv(0, min=0, max=max(2, depth)))
    first = Signal(intbv(0)[width:])
    fetched = Signal(intbv(0)[width:])

    @always_seq(clk.posedge, reset=reset)
    def count_beats():
        if restart:
            count.next = 0
        elif valid:
            if count == depth - 1:
                count.next = 0
            else:
                count.next = count + 1

    @always_seq(clk.posedge, reset=None)
    def store():
        if valid:
            memory[count].next = word_in
            if count == 0:
                first.next = word_in
        fetched.next = memory[following]

    @always_comb
    def show():
        if at == 0:
            word_out.next = first
        else:
            word_out.next = fetched

    return count_beats, store, show


@block
def entry_cutter(table, state, kind, bank, index, word, slot, ramp, pair, per_beat):
    """Drives the table port: entry `slot` of the burst lies in the beat `word`."""
    width = len(word)
    low = per_beat.bit_length() - 1
    kind_ramp, kind_base = int(Table.RAMP), int(Table.BASE)
    address_bits = len(ramp)

    @always_comb
    def steer():
        table.we.next = state == State.IN_ENTRIES or state == State.IN_RAMP
        table.bank.next = bank
        table.index.next = index
        if kind == kind_ramp:
            table.kind.next = kind_base
        else:
            table.kind.next = kind

    @always_comb
    def whole_beat():
        entry = intbv(0)[32:]
        if kind == kind_ramp:
            entry[address_bits:] = ramp
            entry[24] = pair
        else:
            entry[:] = word
        table.data.next = entry

    @always_comb
    def part_of_beat():
        entry = intbv(0)[32:]
        shifted = intbv(0)[width:]
        amount = intbv(0)[low + ENTRY_SHIFT:]
        amount[:] = slot[low:]
        amount[:] = amount << ENTRY_SHIFT
        shifted[:] = word
        shifted[:] = shifted >> amount
        if kind == kind_ramp:
            entry[address_bits:] = ramp
            entry[24] = pair
        else:
            entry[:] = shifted[32:]
        table.data.next = entry

    return steer, (whole_beat if per_beat == 1 else part_of_beat)


@block_part
def look(box, bus, state, first_row, beat_of_row, beat_of_table):
    """The row of a LOAD, and whose beat this is."""
    row_hi, row_lo = Load.field("row").ends(len(first_row))

    @always_comb
    def decode():
        first_row.next = box.word[row_hi:row_lo]
        beat_of_row.next = bus.valid and state == State.IN_ROWS
        beat_of_table.next = bus.valid and state == State.IN_BEATS

    return decode


@block_part
def follow(state, slot, at, following):
    """at: the beat with `slot`, now and in the next cycle."""
    slot_bits, beat_shift = len(slot), len(slot) - len(at)

    @always_comb
    def walk():
        ahead = modbv(0)[slot_bits:]
        at.next = slot[slot_bits:beat_shift]
        ahead[:] = slot
        if state == State.IN_ENTRIES:
            ahead[:] = slot + 1
        following.next = ahead[slot_bits:beat_shift]

    return walk


@block_part
def bursts(box, bus, address, rest, is_load, beats, source, span, config: Config):
    """What an instruction asks for: `beats` from `source` on; and burst by burst of the `rest`."""
    per_beat, burst = config.port_bytes // ENTRY_BYTES, config.burst
    row_shift, beat_shift = config.beats_per_row.bit_length() - 1, per_beat.bit_length() - 1
    beat_bytes = config.port_bytes.bit_length() - 1
    op_load = int(Op.LOAD)
    rows_hi, rows_lo = Load.field("rows").ends()
    from_hi, from_lo = Load.field("address").ends()
    tfrom_hi, tfrom_lo = TableLoad.field("address").ends()

    @always_comb
    def measure():
        total = intbv(0)[REST_BITS:]
        place = modbv(0)[ADDRESS_BITS:]
        is_load.next = box.word[OP_HI:] == op_load
        if box.word[OP_HI:] == op_load:
            total[:] = box.word[rows_hi:rows_lo]
            beats.next = total << row_shift
            place[:] = box.word[from_hi:from_lo]
        else:
            total[:] = box.word[COUNT_HI:COUNT_LO]
            total[:] = total + (per_beat - 1)
            beats.next = total >> beat_shift
            place[:] = box.word[tfrom_hi:tfrom_lo]
        source.next = place << UNIT_SHIFT

    @always_comb
    def ask():
        place = modbv(0)[ADDRESS_BITS:]
        bus.address.next = address
        if rest > burst:
            bus.beats.next = burst
            place[:] = burst
        else:
            bus.beats.next = rest[BEATS_BITS:]
            place[:] = rest[BEATS_BITS:]
        span.next = place << beat_bytes

    return measure, ask


@block_part
def progress(clk, reset, box, unit, bus, state, address, rest, entries, is_load, beats, source,
             span, slot, rows_done, most):
    """The unit's states. most: the last slot of a burst."""
    kind_ramp = int(Table.RAMP)

    @always_comb
    def end():
        unit.ending.next = rows_done or (entries == 1 and (state == State.IN_ENTRIES
                                                           or state == State.IN_RAMP))

    @always_seq(clk.posedge, reset=reset)
    def control():
        rows_done.next = False
        if bus.grant:
            bus.req.next = False
            rest.next = rest - bus.beats
            address.next = address + span
        if box.take:
            rest.next = beats
            address.next = source
            entries.next = box.word[COUNT_HI:COUNT_LO]
            if is_load:
                bus.req.next = True
                state.next = State.IN_ROWS
            elif box.word[KIND_HI:KIND_LO] == kind_ramp:
                state.next = State.IN_RAMP
            else:
                bus.req.next = True
                state.next = State.IN_BEATS
        elif state == State.IN_ROWS:
            if bus.last:
                if rest == 0:
                    rows_done.next = True
                    state.next = State.AT_REST
                else:
                    bus.req.next = True
        elif state == State.IN_BEATS:
            if bus.last:
                state.next = State.IN_ENTRIES
        elif state == State.IN_ENTRIES:
            entries.next = entries - 1
            if entries == 1:
                state.next = State.AT_REST
            elif slot == most:
                bus.req.next = True
                state.next = State.IN_BEATS
        elif state == State.IN_RAMP:
            entries.next = entries - 1
            if entries == 1:
                state.next = State.AT_REST

    return end, control


@block_part
def entries_of(clk, box, state, kind, bank, index, slot, ramp, step, pair):
    """The entry in turn: where it goes, its slot in the burst, its value if the unit counts."""
    bank_lo, pair_lo = TableLoad.field("bank").lo, TableLoad.field("pair").lo
    first_hi, first_lo = TableLoad.field("first").ends()
    start_hi, start_lo = TableLoad.field("start").ends(len(ramp))
    step_hi, step_lo = TableLoad.field("step").ends(len(step))

    @always_seq(clk.posedge, reset=None)
    def entry():
        if box.take:
            kind.next = box.word[KIND_HI:KIND_LO]
            bank.next = box.word[bank_lo]
            index.next = box.word[first_hi:first_lo]
            ramp.next = box.word[start_hi:start_lo]
            step.next = box.word[step_hi:step_lo]
            pair.next = box.word[pair_lo]
        elif state == State.IN_ENTRIES:
            index.next = index + 1
        elif state == State.IN_RAMP:
            index.next = index + 1
            ramp.next = ramp + step
        if state != State.IN_ENTRIES:
            slot.next = 0
        else:
            slot.next = slot + 1

    return entry


@block
def load_unit(clk, reset, box, unit, bus, rdata, rows, table, config: Config):
    """Executes LOAD and TABLE.

    box: Mailbox, word and take are read; unit: UnitState, ending is driven (combinational).
    bus: Master, rdata the port's read data. rows: Rows (write side); table: TableWrite.
    """
    per_beat = config.port_bytes // ENTRY_BYTES
    beat_shift, most = per_beat.bit_length() - 1, config.burst * per_beat - 1
    slot_bits = max(most.bit_length(), beat_shift + 1)
    word = Signal(intbv(0)[config.port_bits:])               # of the burst buffer
    address = Signal(modbv(0)[ADDRESS_BITS:])                # of the next burst
    at = Signal(intbv(0)[slot_bits - beat_shift:])
    bank = bit()
    beat_of_row, beat_of_table = bit(), bit()
    beats = Signal(intbv(0)[REST_BITS:])
    entries = Signal(intbv(0)[COUNT_HI - COUNT_LO:])         # still to be written
    first_row = Signal(intbv(0)[len(rows.address):])
    following = Signal(intbv(0)[slot_bits - beat_shift:])
    index = Signal(modbv(0)[len(table.index):])
    is_load = bit()
    kind = Signal(intbv(0)[KIND_HI - KIND_LO:])
    pair, ramp = bit(), Signal(modbv(0)[config.address_bits:])
    rest = Signal(intbv(0)[REST_BITS:])                      # beats still to be asked for
    rows_done = bit()
    slot = Signal(modbv(0)[slot_bits:])
    source, span = (Signal(modbv(0)[ADDRESS_BITS:]) for _ in range(2))
    state = Signal(State.AT_REST)
    step = Signal(intbv(0)[config.address_bits:])
    return (
        row_feeder(clk, reset, box.take, first_row, beat_of_row, rdata, rows, config),
        burst_buffer(clk, reset, bus.grant, beat_of_table, rdata, at, following, word,
                     config.burst),
        entry_cutter(table, state, kind, bank, index, word, slot, ramp, pair, per_beat),
        look(box, bus, state, first_row, beat_of_row, beat_of_table),
        follow(state, slot, at, following),
        bursts(box, bus, address, rest, is_load, beats, source, span, config),
        progress(clk, reset, box, unit, bus, state, address, rest, entries, is_load, beats, source,
                 span, slot, rows_done, most),
        entries_of(clk, box, state, kind, bank, index, slot, ramp, step, pair))
