"""Writes of the tables, spread from the load unit to the memories one cycle later."""

from __future__ import annotations

from myhdl import always, always_seq, block, concat, intbv

from ..arch.config import bits_for
from ..arch.fixed import CLUSTER_BITS
from ..arch.isa import Table
from ..arch.tables import PAIR_AT, VALUE_BITS
from .signals import bit, word, wrapping

THRESHOLD_BITS = CLUSTER_BITS + 1       # one bit more, for what lies above


class TablePorts:
    """One write a cycle: `at` {bank, entry} and an enable for each table.

    base: {pair, address}; offset: address; decode: `at` is {pair, code}, value;
    cluster: threshold, counted from the least value on and cut to THRESHOLD_BITS without changing
    any comparison (one above every value is 3/4 of the range), and code.
    """

    def __init__(self, config):
        self.base_we = bit()
        self.base_at = word(bits_for(config.base_entries) + 1)
        self.offset_we = bit()
        self.offset_at = word(bits_for(config.offset_entries) + 1)
        self.address = word(config.address_bits)
        self.pair = bit()
        self.decode_we = bit()
        self.decode_at = word(config.code_bits + 1)
        self.value = wrapping(config.value_bits)
        self.cluster_we = bit()
        self.cluster_at = word(config.code_bits + 1)
        self.threshold = word(THRESHOLD_BITS)
        self.code = word(config.code_bits)


@block
def spread(clk, reset, table, ports, config):
    """table: TableWrite; ports: TablePorts, driven."""
    base, offset, decode = int(Table.BASE), int(Table.OFFSET), int(Table.DECODE)
    cluster, ramp = int(Table.CLUSTER), int(Table.RAMP)
    base_bits, offset_bits = bits_for(config.base_entries), bits_for(config.offset_entries)
    base_entries, offset_entries = config.base_entries, config.offset_entries
    width, value_bits = config.address_bits, config.value_bits
    codes, code_bits = config.codes, config.code_bits
    pair_at, code_lo, code_hi = PAIR_AT, VALUE_BITS, VALUE_BITS + config.code_bits
    sign_at, value_sign = CLUSTER_BITS - 1, VALUE_BITS - 1
    negative, beyond = (1 << (VALUE_BITS - sign_at)) - 1, 3 << sign_at

    @always_seq(clk.posedge, reset=reset)
    def enable():
        ports.base_we.next = (table.we and (table.kind == base or table.kind == ramp)
                              and table.index < base_entries)
        ports.offset_we.next = (table.we and table.kind == offset
                                and table.index < offset_entries)
        ports.decode_we.next = table.we and table.kind == decode and table.index < codes
        ports.cluster_we.next = table.we and table.kind == cluster and table.index < codes

    @always(clk.posedge)
    def carry():
        if table.we:
            ports.base_at.next = concat(table.bank, table.index[base_bits:])
            ports.offset_at.next = concat(table.bank, table.index[offset_bits:])
            ports.decode_at.next = concat(table.bank, table.index[code_bits:])
            ports.cluster_at.next = concat(table.bank, table.index[code_bits:])
            ports.address.next = table.data[width:]
            ports.pair.next = table.data[pair_at]
            ports.code.next = table.data[code_hi:code_lo]
            ports.value.next = table.data[value_bits:]

    @always(clk.posedge)
    def limit():
        if table.we:
            if table.data[VALUE_BITS:sign_at] == 0:
                ports.threshold.next = concat(intbv(1)[2:], table.data[sign_at:])
            elif table.data[VALUE_BITS:sign_at] == negative:
                ports.threshold.next = table.data[sign_at:]
            elif table.data[value_sign]:
                ports.threshold.next = 0
            else:
                ports.threshold.next = beyond

    return enable, carry, limit
