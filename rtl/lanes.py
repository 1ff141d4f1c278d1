"""The lanes: rank, running maximum, decode and cluster sum, side by side for P codes.

    codes -> rank = code + order -> maximum over the run (MAX) -> value = table -> S +- value
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from .signals import bit, number, word

TABLE_LANES = 3          # lanes that read one decode table: the read ports of a small LUT RAM


@block
def ranks_of(clk, active, codes, order, ranks, lanes, code_bits):
    """ranks[i] = (code i + order) mod 2^AB of the codes in the cycle before."""
    width = lanes * code_bits

    @always(clk.posedge)
    def add():
        rest = intbv(0)[width:]
        code = intbv(0)[code_bits:]
        if active:
            rest[:] = codes
            for i in range(lanes):
                code[:] = rest[code_bits:]
                ranks[i].next = code + order
                rest[:] = rest >> code_bits

    return add


@block
def maxima(clk, reset, valid, last, max_run, ranks, best, lanes):
    """best[i]: the rank of the cycle before; if `max_run`, the largest since the run began.

    valid, last: of the tap that `ranks` belong to; ranks without a tap count for nothing.
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
            if (free and enter) or (not free and ranks[i] > best[i]):
                best[i].next = ranks[i]

    return runs, mode, choose


@block
def decode3(clk, active, we, at, value, pair, rank0, rank1, rank2, value0, value1, value2,
            code_bits):
    """Three lanes' decode table; a write goes to entry `at`, {pair, rank}.

    valueN: a cycle later, the entry {pair, rankN}.
    """
    entries = [Signal(intbv(0, min=value.min, max=value.max)) for _ in range(2 << code_bits)]
    top = code_bits + 1

    @always(clk.posedge)
    def look_up():
        index = intbv(0)[top:]
        if we:
            entries[at].next = value
        if active:
            index[:] = concat(pair, rank0)
            value0.next = entries[index]
            index[:] = concat(pair, rank1)
            value1.next = entries[index]
            index[:] = concat(pair, rank2)
            value2.next = entries[index]

    return look_up


@block
def decode1(clk, active, we, at, value, pair, rank, decoded, code_bits):
    """One lane's decode table, as `decode3`."""
    entries = [Signal(intbv(0, min=value.min, max=value.max)) for _ in range(2 << code_bits)]
    top = code_bits + 1

    @always(clk.posedge)
    def look_up():
        index = intbv(0)[top:]
        if we:
            entries[at].next = value
        if active:
            index[:] = concat(pair, rank)
            decoded.next = entries[index]

    return look_up


@block
def decode(clk, active, ports, pair, ranks, values, code_bits):
    """values[i]: what ranks[i] of the cycle before stands for in the decode table of `pair`.

    ports: TablePorts.
    """
    writes = ports.decode_we, ports.decode_at, ports.value
    whole = len(ranks) - len(ranks) % TABLE_LANES
    threes = [decode3(clk, active, *writes, pair, *ranks[i:i + TABLE_LANES],
                      *values[i:i + TABLE_LANES], code_bits)
              for i in range(0, whole, TABLE_LANES)]
    ones = [decode1(clk, active, *writes, pair, ranks[i], values[i], code_bits)
            for i in range(whole, len(ranks))]
    return threes, ones


@block
def cluster_sums(clk, reset, tap, max_run, values, captured, lanes, sum_bits):
    """Sums of the values of each run (MAX: its last value); a negative tap subtracts its value.

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
