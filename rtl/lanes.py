"""The lanes: decode, running maximum and cluster sum, side by side for P codes.

    codes -> value = table -> maximum over the cluster (MAX) -> S +- value
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from .multipliers import SIGNS
from .signals import bit, word

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
    """best[i]: the value of the cycle before; if `max_run`, of those since its cluster began the
    first whose `code_bits` lowest bits are the largest.

    valid, last: of the tap that `values` belong to; values without a tap count for nothing.
    """
    within = bit()           # a tap of the cluster has come before
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
        if free and enter:
            for i in range(lanes):
                best[i].next = values[i]
        elif not free:
            for i in range(lanes):
                if values[i][code_bits:] > best[i][code_bits:]:
                    best[i].next = values[i]

    return runs, mode, choose


@block
def signs_of(clk, active, negative, valid, signs):
    """A tap's sign in SIGNS registers, a cycle later: bit k is `negative` ^ k's lowest bit.

    If the bits of a lane's sum above its value were flipped by the same register, synthesis would
    share the flip between them, which takes a logic cell more than it saves. No two registers are
    alike: they differ without a tap.
    """

    @always(clk.posedge)
    def keep():
        if active:
            signs.next[0] = negative
            signs.next[1] = not negative
            signs.next[2] = negative and valid
            signs.next[3] = not (negative and valid)
            signs.next[4] = negative or not valid
            signs.next[5] = valid and not negative
            signs.next[6] = negative == valid
            signs.next[7] = negative != valid

    return keep


@block
def cluster_sums(clk, reset, tap, max_run, values, captured, lanes, sum_bits):
    """Sums of the values of a cluster (MAX: its last maximum); a negative tap subtracts its value.

    tap: ClusterEnd, of the tap that `values` belong to. captured[i], plain bits: the sum of the
    cluster whose last tap came in the cycle before, kept until the next one's.
    """
    low_bits = len(values[0]) - 1
    high_bits = sum_bits - low_bits
    half, low_ones = 1 << (sum_bits - 1), (1 << low_bits) - 1
    sums = [Signal(modbv(0)[sum_bits:]) for _ in range(lanes)]
    clear, one = bit(), word(1)
    low_flip, high_flip = word(low_bits), word(high_bits)

    @always_comb
    def mode():
        clear.next = reset or (tap.valid and (tap.last or max_run))
        one.next = tap.negative[1:]
        low_flip.next = 0
        if tap.negative[0]:
            low_flip.next = low_ones

    @always_comb
    def flip():
        for k in range(high_bits):
            high_flip.next[k] = tap.negative[k % SIGNS] != (k % 2 == 1)

    # S - value is S + ~value + 1. Plain bits make the 1 the carry into the adder, whose logic
    # cells take the inversion if the adder's other side, the sum, has fewer parts
    @always(clk.posedge)
    def add():
        value = intbv(0, min=-half, max=half)
        low = intbv(0)[low_bits:]
        high = intbv(0)[high_bits:]
        if clear:
            for i in range(lanes):
                sums[i].next = 0
        elif tap.valid:
            for i in range(lanes):
                value[:] = values[i]
                low[:] = value[low_bits:] ^ low_flip
                high[:] = value[sum_bits:low_bits] ^ high_flip
                sums[i].next = sums[i] + concat(high, low) + one
        if tap.valid and tap.last:
            for i in range(lanes):
                value[:] = values[i]
                low[:] = value[low_bits:] ^ low_flip
                high[:] = value[sum_bits:low_bits] ^ high_flip
                captured[i].next = sums[i] + concat(high, low) + one

    return mode, flip, add
