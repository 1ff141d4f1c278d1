"""The external memory port and the arbiter that shares it."""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, intbv

from ..arch import timing
from ..arch.config import Config
from ..arch.isa import UNIT_BYTES

ADDRESS_BITS = 32
BEATS_BITS = 9
UNIT_SHIFT = UNIT_BYTES.bit_length() - 1     # of addresses in instructions
STREAM, LOAD, STORE, SEQUENCER = map(int, timing.Master)


class MemoryPort:
    """The port of the machine; docs/machine.md tells each signal's meaning."""

    def __init__(self, config: Config) -> None:
        self.start = Signal(bool(0))
        self.write = Signal(bool(0))
        self.address = Signal(intbv(0)[ADDRESS_BITS:])
        self.beats = Signal(intbv(0)[BEATS_BITS:])
        self.wdata = Signal(intbv(0)[config.port_bits:])
        self.valid = Signal(bool(0))
        self.rdata = Signal(intbv(0)[config.port_bits:])


class Master:
    """One master of the arbiter.

    req, address, beats: registers of the master, held until the cycle after `grant`.
    valid: a beat of this master's burst is transferred in this cycle; last: it is the last one.
    """

    def __init__(self) -> None:
        self.req = Signal(bool(0))
        self.address = Signal(intbv(0)[ADDRESS_BITS:])
        self.beats = Signal(intbv(0)[BEATS_BITS:])
        self.grant = Signal(bool(0))
        self.valid = Signal(bool(0))
        self.last = Signal(bool(0))


@block
def port_arbiter(clk, reset, mem, stream, load, store, sequencer):
    """Lends the port to one master at a time, burst by burst.

    mem: MemoryPort (its wdata come from the store unit); the others: Master. `grant` is
    combinational, the command is visible on the port one cycle later. Only `store` writes.
    """
    busy = Signal(bool(0))
    owner = Signal(intbv(0)[2:])
    left = Signal(intbv(0)[BEATS_BITS:])

    @always_comb
    def grants():
        stream.grant.next = stream.req and not busy
        load.grant.next = load.req and not busy and not stream.req
        store.grant.next = store.req and not busy and not stream.req and not load.req
        sequencer.grant.next = (sequencer.req and not busy and not stream.req and not load.req
                                and not store.req)

    @always_comb
    def beats():
        stream.valid.next = mem.valid and owner == STREAM
        load.valid.next = mem.valid and owner == LOAD
        store.valid.next = mem.valid and owner == STORE
        sequencer.valid.next = mem.valid and owner == SEQUENCER
        stream.last.next = mem.valid and owner == STREAM and left == 1
        load.last.next = mem.valid and owner == LOAD and left == 1
        store.last.next = mem.valid and owner == STORE and left == 1
        sequencer.last.next = mem.valid and owner == SEQUENCER and left == 1

    @always_seq(clk.posedge, reset=reset)
    def serve():
        mem.start.next = False
        if busy:
            if mem.valid:
                left.next = left - 1
                if left == 1:
                    busy.next = False
        elif stream.req:
            mem.start.next = True
            mem.write.next = False
            mem.address.next = stream.address
            mem.beats.next = stream.beats
            left.next = stream.beats
            owner.next = STREAM
            busy.next = True
        elif load.req:
            mem.start.next = True
            mem.write.next = False
            mem.address.next = load.address
            mem.beats.next = load.beats
            left.next = load.beats
            owner.next = LOAD
            busy.next = True
        elif store.req:
            mem.start.next = True
            mem.write.next = True
            mem.address.next = store.address
            mem.beats.next = store.beats
            left.next = store.beats
            owner.next = STORE
            busy.next = True
        elif sequencer.req:
            mem.start.next = True
            mem.write.next = False
            mem.address.next = sequencer.address
            mem.beats.next = sequencer.beats
            left.next = sequencer.beats
            owner.next = SEQUENCER
            busy.next = True

    return grants, beats, serve
