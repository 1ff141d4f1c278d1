"""Signals between the blocks: what each carries and when. Widths come from Config."""

from __future__ import annotations

from myhdl import Signal, intbv, modbv

from ..arch.config import Config, bits_for
from ..arch.fixed import BIAS_BITS, SCALE_BITS
from ..arch.isa import LONG_BYTES

CHANNEL_RING = 8         # entries of the ring of m_k and bias_k
TABLE_INDEX_BITS = 16    # a table entry's index; entries beyond a table's depth are dropped


def bit() -> Signal:
    """One bit, 0 at the start."""
    return Signal(bool(0))


def word(width: int) -> Signal:
    """An unsigned number of `width` bits, 0 at the start."""
    return Signal(intbv(0)[width:])


def number(width: int) -> Signal:
    """A two's complement number of `width` bits, 0 at the start."""
    return Signal(intbv(0, min=-(1 << (width - 1)), max=1 << (width - 1)))


def wrapping(width: int) -> Signal:
    """As `number`, but takes the lowest `width` bits of what it is given.

    VHDL agrees if the operands are no wider, or if it is given plain bits.
    """
    return Signal(modbv(0, min=-(1 << (width - 1)), max=1 << (width - 1)))


def slot_bits(config: Config) -> int:
    """Width of a slot: {last of its cluster, factor, negative, position}, position lowest."""
    return config.position_bits + 1 + config.factor_bits + 1


class Slots:
    """Parser to tap cache.

    In a cycle with `we`, `slot` is written to `address` of buffer `buffer`; with `close` beside it,
    it is the buffer's last one. Bit b of `full` (driven by the cache, a register) is high from the
    cycle after its close to the cycle in which its last slot is presented for the last time.
    """

    def __init__(self, config: Config) -> None:
        self.we = bit()
        self.buffer = bit()
        self.address = word(bits_for(config.tap_slots))
        self.slot = word(slot_bits(config))
        self.close = bit()
        self.full = word(2)


class Heads:
    """Parser to the ring of channel heads: m_k and bias_k of the channel with running number
    `index` modulo 8, written in a cycle with `scale_we` and one with `bias_we`.
    """

    def __init__(self) -> None:
        self.index = word(bits_for(CHANNEL_RING))
        self.scale_we = bit()
        self.scale = word(SCALE_BITS)
        self.bias_we = bit()
        self.bias = word(BIAS_BITS)


class TableWrite:
    """Load unit to the tables: one entry in a cycle with `we`.

    kind: isa.Table, RAMP writes as BASE. data: the entry as in external memory (RAMP computes it).
    """

    def __init__(self) -> None:
        self.we = bit()
        self.kind = word(3)
        self.bank = bit()
        self.index = word(TABLE_INDEX_BITS)
        self.data = word(32)


class Rows:
    """Load and store unit to the activation memory; never in a cycle with a RUN or FILL busy.

    In a cycle with `valid` comes part `part` of row `address` (beats_per_row parts, lowest cells
    first), `beat`; the row is written in the cycle after its last part. `re`: `out` holds row
    `read_address` one cycle later (even word in the low half).
    """

    def __init__(self, config: Config) -> None:
        self.valid = bit()
        self.part = word(bits_for(config.beats_per_row))
        self.address = word(bits_for(config.rows))
        self.beat = word(2 * config.word_bits // config.beats_per_row)
        self.re = bit()
        self.read_address = word(bits_for(config.rows))
        self.out = word(2 * config.word_bits)


class Command:
    """Compute unit to core: `go` is high in the cycle k in which the unit takes the instruction in
    `word` (low 16 bytes only for FILL); `ending` is high in its end-stamp cycle.
    """

    def __init__(self) -> None:
        self.go = bit()
        self.word = word(8 * LONG_BYTES)
        self.ending = bit()


class Trace:
    """A write of the activation memory in this cycle, from LOAD, FILL or RUN.

    Bit c of `mask` and bits c*AB.. of `codes` are cell c of a row. Cells 0..P-1, the even word, lie
    in row `row`; cells P..2P-1, the odd word, in row `odd_row` (with D > 1 the two can differ: then
    they count as two writes of the same cycle, the even word's first).
    """

    def __init__(self, config: Config) -> None:
        self.write = bit()
        self.row = word(bits_for(config.rows))
        self.odd_row = word(bits_for(config.rows))
        self.mask = word(config.row_codes)
        self.codes = word(2 * config.word_bits)
