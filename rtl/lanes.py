"""The lanes: decode, running maximum and cluster sum, side by side for P codes.

    codes -> value = table -> maximum over the run (MAX) -> S +- value
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from .signals import bit, number, word

TABLE_LANES = 3          # lanes that read one decode table: the read ports of a small LUT RAM


@block
def decode3(clk, active, we, at, value, pair, code0, code1, code2, value0, value1, value2,
            code_bits):
    """Three lanes' decode table; a write goes to entry `at`, {pair, code}.

    valueN: a cycle later, the entry {pair, codeN}.
    """
    entries = [Signal(intbv(0, min=value.min, max=value.max)) for _ in range(2 << code_bits)]
    top = code_bits + 1

    @always(clk.posedge)
    def look_up():
        index = intbv(0)[top:]
        if we:
            entries[at].next = value
        if active:
            index[:] = concat(pair, code0)
            value0.next = entries[index]
            index[:] = concat(pair, code1)
            value1.next = entries[index]
            index[:] = concat(pair, code2)
            value2.next = entries[index]

    return look_up


@block
def decode1(clk, active, we, at, value, pair, code, decoded, code_bits):
    """One lane's decode table, as `decode3`."""
    entries = [Signal(intbv(0, min=value.min, max=value.max)) for _ in range(2 << code_bits)]
    top = code_bits + 1

    @always(clk.posedge)
    def look_up():
        index = intbv(0)[top:]
        if we:
            entries[at].next = value
        if active:
            index[:] = concat(pair, code)
            decoded.next = entries[index]

    return look_up


@block
def decode(clk, active, ports, pair, codes, values, code_bits):
    """values[i]: what code i of the cycle before stands for in the decode table of `pair`.

    ports: TablePorts; codes: one after the other, the first lowest.
    """
    aligned = word(len(codes))           # to be sliced: a port's slices get no names

    @always_comb
    def take():
        aligned.next = codes

    writes = ports.decode_we, ports.decode_at, ports.value
    lanes = len(values)
    each = [aligned(code_bits * (i + 1), code_bits * i) for i in range(lanes)]
    whole = lanes - lanes % TABLE_LANES
    threes = [decode3(clk, active, *writes, pair, *each[i:i + TABLE_LANES],
                      *values[i:i + TABLE_LANES], code_bits)
              for i in range(0, whole, TABLE_LANES)]
    ones = [decode1(clk, active, *writes, pair, each[i], values[i], code_bits)
            for i in range(whole, lanes)]
    return take, threes, ones


@block
def maxima(clk, reset, valid, last, max_run, values, best, lanes, code_bits):
    """best[i]: the value of the cycle before; if `max_run`, of those since the run began the first
    whose `code_bits` lowest bits are the largest.

    valid, last: of the tap that `values` belong to; values without a tap count for nothing.
    """
    within = bit()           # a tap of the run has come before
    free, enter = bit(), bit()

    @always_seq(clk.posedge, reset=reset)
    def runs():
        if valid:
            within.next = not last

    @always_comb
    def mode():
        free.next = not (valid and max_run and within)
        enter.next = valid

    # `free` leaves out the comparison, so a lane takes two logic cells for 4 bits
    @always(clk.posedge)
    def choose():
        for i in range(lanes):
            if (free and enter) or (not free
                                    and values[i][code_bits:] > best[i][code_bits:]):
                best[i].next = values[i]

    return runs, mode, choose


@block
def cluster_sums(clk, reset, tap, max_run, values, captured, lanes, sum_bits):
    """Sums of the values of each run (MAX: its last maximum); a negative tap subtracts its value.

    tap: RunEnd, of the tap that `values` belong to. captured[i], plain bits: the sum of the run
    whose last tap came in the cycle before, kept until the next run's.
    """
    sums = [Signal(modbv(0)[sum_bits:]) for _ in range(lanes)]
    clear = bit()
    flip, one = number(len(values[0])), word(1)
    limit, half = 1 << (len(values[0]) - 1), 1 << (sum_bits - 1)

    @always_comb
    def mode():
        clear.next = reset or (tap.valid and (tap.last or max_run))
        if tap.negative:
            flip.next = -1
            one.next = 1
        else:
            flip.next = 0
            one.next = 0

    # S - value is S + ~value + 1. Plain bits make the 1 the carry into the adder, whose logic
    # cells take the inversion; signed numbers make it a third operand
    @always(clk.posedge)
    def add():
        flipped = intbv(0, min=-limit, max=limit)
        value = intbv(0, min=-half, max=half)
        if clear:
            for i in range(lanes):
                sums[i].next = 0
        elif tap.valid:
            for i in range(lanes):
                flipped[:] = values[i] ^ flip
                value[:] = flipped
                sums[i].next = sums[i] + value[sum_bits:] + one
        if tap.valid and tap.last:
            for i in range(lanes):
                flipped[:] = values[i] ^ flip
                value[:] = flipped
                captured[i].next = sums[i] + value[sum_bits:] + one

    return mode, add
