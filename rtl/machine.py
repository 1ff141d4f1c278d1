"""The machine: the blocks of docs/machine.md, joined.

                      +-----------+  mailboxes  +----------+ rows, tables  +--------+
                   +--| sequencer |------------>| load     |-------------->|        |
    memory   +-----+  +-----------+   tokens    | store    |<--------------|  core  |
    port ----| arb |--------------------------->|          |               |        |
             | iter|--------------------------->| stream   |-------------->|        |
             +-----+                            +----------+ slots, heads  +--------+
"""

from __future__ import annotations

from myhdl import ResetSignal, Signal, always_comb, block

from ..arch.config import Config
from ..arch.isa import LONG_BYTES
from .core import core
from .load import load_unit
from .port import Master, MemoryPort, port_arbiter
from .sequencer import HEAD_BITS, REST_BITS, sequencer
from .signals import Command, Heads, Rows, Slots, TableWrite, Trace, bit, word
from .store import store_unit
from .stream_fetch import STREAM_WORD_BITS, stream_fetcher
from .unit import Mailbox, UnitState, mailbox, units


class MachineTrace(Trace):
    """The trace ports: writes of the activation memory; a bit per unit that starts or ends."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.started = word(3)
        self.ended = word(3)


class MachinePorts:
    """The arguments of `machine` but the configuration."""

    def __init__(self, config: Config) -> None:
        self.clk = bit()
        self.reset = ResetSignal(0, active=1, isasync=False)
        self.start = bit()
        self.done = bit()
        self.mem = MemoryPort(config)
        self.trace = MachineTrace(config)


@block
def machine(clk, reset, start, done, mem, trace, config: Config):
    """Runs the program at external address 0; the ports are those of docs/machine.md.

    mem: MemoryPort; trace: MachineTrace.
    """
    to_load, to_store = Mailbox(HEAD_BITS), Mailbox(HEAD_BITS)
    to_compute, to_stream = Mailbox(8 * LONG_BYTES), Mailbox(STREAM_WORD_BITS)
    load, compute, store = UnitState(), UnitState(), UnitState()
    stream_idle = Signal(bool(1))
    stream_bus, load_bus, store_bus, sequencer_bus = (Master() for _ in range(4))
    fetched_head, fetched_rest = word(HEAD_BITS), word(REST_BITS)
    whole, start_of_run = word(8 * LONG_BYTES), word(STREAM_WORD_BITS)
    command, slots, heads = Command(), Slots(config), Heads()
    table, rows = TableWrite(), Rows(config)
    command.go, command.word = to_compute.take, to_compute.word
    compute.ending = command.ending

    arbiter = port_arbiter(clk, reset, mem, stream_bus, load_bus, store_bus, sequencer_bus)
    sequence = sequencer(clk, reset, start, done, sequencer_bus, mem.rdata, fetched_head,
                         fetched_rest, to_load, to_compute, to_store, to_stream, load, compute,
                         store, stream_idle, config)
    boxes = [mailbox(clk, reset, to_load, fetched_head),
             mailbox(clk, reset, to_store, fetched_head),
             mailbox(clk, reset, to_compute, whole), mailbox(clk, reset, to_stream, start_of_run)]
    taking = units(clk, reset, to_load, to_compute, to_store, load, compute, store,
                   trace.started, trace.ended)
    loading = load_unit(clk, reset, to_load, load, load_bus, mem.rdata, rows, table, config)
    storing = store_unit(clk, reset, to_store, store, store_bus, mem.wdata, rows, config)
    fetching = stream_fetcher(clk, reset, to_stream, stream_idle, stream_bus, mem.rdata, slots,
                              heads, config)
    computing = core(clk, reset, command, slots, heads, table, rows, trace, config)

    @always_comb
    def cut():
        whole.next[HEAD_BITS:] = fetched_head
        whole.next[HEAD_BITS + REST_BITS:HEAD_BITS] = fetched_rest
        start_of_run.next = fetched_head[STREAM_WORD_BITS:]

    return arbiter, sequence, boxes, taking, loading, storing, fetching, computing, cut
