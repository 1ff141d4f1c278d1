"""Stream fetcher: reads a RUN's tap stream and fills the tap cache.

    port -> FIFO -> window of bytes -> parser: one item a cycle -> slots, channel heads

An item is the scale; the bias; [HEADER] [LONG] [TAP], as many as follow each other; or END
(arch/stream.py tells the bytes).
"""

from __future__ import annotations

from myhdl import Signal, always_comb, always_seq, block, enum, intbv, modbv

from ..arch import stream
from ..arch.config import Config, bits_for
from ..arch.fixed import SCALE_BITS
from ..arch.isa import UNIT_BYTES, Run
from .fifo import fifo
from .port import ADDRESS_BITS
from .signals import CHANNEL_RING

MOST = 4                 # bytes of the longest item
MOST_BITS = 8 * MOST
STREAM_WORD_BITS = Run.field("channels").hi      # of the instruction, that the fetcher needs
REST_BITS = 23           # beats of one stream
UNIT_SHIFT = UNIT_BYTES.bit_length() - 1
HEADER_NIBBLE, LONG_NIBBLE = stream.HEADER >> 4, stream.LONG >> 4
LONG_KINDS = stream.LONG_LAST - stream.LONG + 1
TAP_GAPS, END = stream.TAP_GAPS, stream.END
LONG_SHIFT = stream.LONG_STEP.bit_length() - 1
LONG_BITS = 12           # of the longest step of a LONG

Part = enum("AT_SCALE", "AT_BIAS", "IN_RUNS", "AT_REST")


@block
def pump(clk, reset, take, word, bus, popped, all_in, config: Config):
    """Asks for the stream's beats, burst by burst, as far as the FIFO has room.

    take: the stream that `word` names begins; popped: a beat leaves the FIFO; all_in: register,
    all beats have come.
    """
    burst, depth = config.burst, 2 * config.burst
    beat_shift = config.port_bytes.bit_length() - 1
    fewer, more = max(0, UNIT_SHIFT - beat_shift), max(0, beat_shift - UNIT_SHIFT)
    round_up = (1 << more) - 1
    f_from, f_units = Run.field("stream"), Run.field("stream_units")
    from_hi, from_lo, units_hi, units_lo = f_from.hi, f_from.lo, f_units.hi, f_units.lo
    rest = Signal(intbv(0)[REST_BITS:])
    room, room_left = (Signal(modbv(0)[bits_for(depth + 1):]) for _ in range(2))
    following = Signal(intbv(0, min=0, max=burst + 1))
    beats = Signal(intbv(0, min=0, max=burst + 1))
    flying, ask = Signal(bool(0)), Signal(bool(0))
    room_bits = len(room)
    beats_of_all = Signal(intbv(0)[REST_BITS:])
    source, span = (Signal(modbv(0)[ADDRESS_BITS:]) for _ in range(2))

    @always_comb
    def next_burst():
        if rest > burst:
            following.next = burst
        else:
            following.next = rest

    @always_comb
    def decide():
        ask.next = not flying and rest != 0 and room >= following
        all_in.next = not flying and rest == 0

    @always_comb
    def measure():
        total = intbv(0)[REST_BITS:]
        place = modbv(0)[ADDRESS_BITS:]
        total[:] = word[units_hi:units_lo]
        total[:] = total << fewer
        total[:] = total + round_up
        beats_of_all.next = total >> more
        place[:] = word[from_hi:from_lo]
        source.next = place << UNIT_SHIFT

    @always_comb
    def show():
        place = modbv(0)[ADDRESS_BITS:]
        bus.beats.next = beats
        place[:] = beats
        span.next = place << beat_shift

    @always_comb
    def count():
        free = modbv(0)[room_bits:]
        free[:] = room
        if popped:
            free[:] = free + 1
        if ask:
            free[:] = free - following
        room_left.next = free

    @always_seq(clk.posedge, reset=reset)
    def control():
        if take:
            rest.next = beats_of_all
            bus.address.next = source
            room.next = depth
        else:
            room.next = room_left
            if ask:
                rest.next = rest - following
                beats.next = following
            elif bus.grant:
                bus.address.next = bus.address + span
        if ask:
            bus.req.next = True
            flying.next = True
        elif bus.last:
            flying.next = False
        if bus.grant:
            bus.req.next = False

    return next_burst, decide, measure, show, count, control


@block
def window(clk, reset, clear, there, beat, pop, used, ready, first, config: Config):
    """Bytes in order: `used` leave at the front, beats enter behind when at most MOST are left.

    first: the first MOST bytes, all there if `ready`. there, beat, pop: the FIFO's output side.
    """
    size = config.port_bytes
    beat_bits, most_bits = 8 * size, 8 * (size + MOST)
    content = Signal(intbv(0)[most_bits:])
    held = Signal(intbv(0, min=0, max=size + MOST + 1))
    left = Signal(modbv(0)[len(held):])      # wraps only before the signals settle

    @always_comb
    def show():
        first.next = content[MOST_BITS:]
        ready.next = held >= MOST

    @always_comb
    def consume():
        left.next = held - used

    @always_comb
    def refill():
        pop.next = there and left <= MOST

    @always_seq(clk.posedge, reset=reset)
    def shift():
        kept = intbv(0)[most_bits:]
        fresh = intbv(0)[most_bits:]
        kept[:] = content
        if used[0]:
            kept[:] = kept >> 8
        if used[1]:
            kept[:] = kept >> 16
        if used[2]:
            kept[:] = kept >> 32
        held.next = left
        if pop:
            fresh[beat_bits:] = beat
            if left[0]:
                fresh[:] = fresh << 8
            if left[1]:
                fresh[:] = fresh << 16
            if left[2]:
                fresh[:] = fresh << 32
            kept[:] = kept | fresh
            held.next = left + size
        content.next = kept
        if clear:
            content.next = 0
            held.next = 0

    return show, consume, refill, shift


@block
def item_reader(first, opens, long, taps, over, factor, gap, step, negative, size):
    """Tells the item of RUNS at the front, `first` being its bytes.

    opens: it has a HEADER, with `factor`; long: a LONG, over `step`; taps: a TAP, over `gap` and
    `negative`; over: it is the END. size: its bytes.
    """
    bits = len(factor)

    @always_comb
    def read():
        head = intbv(0)[8:]
        low = intbv(0)[8:]
        second = intbv(0)[8:]
        third = intbv(0)[8:]
        number = intbv(0)[12:]
        reach = intbv(0)[LONG_BITS:]
        count = intbv(0)[3:]
        is_long = intbv(0)[1:]
        head[:] = first[8:]
        low[:] = first[16:8]
        second[:] = head
        third[:] = low
        count[:] = 0
        opens.next = False
        if head[8:4] == HEADER_NIBBLE:
            opens.next = True
            second[:] = first[24:16]
            third[:] = first[32:24]
            count[:] = 2
        number[8:] = low
        number[12:8] = head[4:]
        factor.next = number[bits:]
        is_long[:] = 0
        reach[:] = 0
        if second[8:4] == LONG_NIBBLE and second[4:] < LONG_KINDS:
            is_long[:] = 1
            reach[:] = second[4:]
            reach[:] = reach + 1
            reach[:] = reach << LONG_SHIFT
            second[:] = third
            count[:] = count + 1
        long.next = is_long[0]
        step.next = reach
        taps.next = False
        if second[7:] < TAP_GAPS:
            taps.next = True
            count[:] = count + 1
        gap.next = second[7:]
        negative.next = second[7]
        over.next = head == END
        if count == 0:
            count[:] = 1
        size.next = count

    return read


@block
def parser(clk, reset, take, channels, ready, first, used, parsed, slots, heads, config: Config):
    """Consumes `used` bytes of `first` a cycle and writes `slots` and `heads`.

    take: a stream of `channels` begins; parsed: register, all its channels are closed.
    """
    position_bits, factor_bits = config.position_bits, config.factor_bits
    last_at = position_bits + 1 + factor_bits
    address_bits, count_bits = len(slots.address), bits_for(config.tap_slots + 1)
    part = Signal(Part.AT_REST)
    left = Signal(intbv(0)[len(channels):])
    opens, long, taps, over, negative = (Signal(bool(0)) for _ in range(5))
    factor, gap = Signal(intbv(0)[factor_bits:]), Signal(intbv(0)[7:])
    step, size = Signal(intbv(0)[LONG_BITS:]), Signal(intbv(0)[3:])
    fires, free, writes = (Signal(bool(0)) for _ in range(3))
    position = Signal(modbv(0)[position_bits:])      # of this item's tap
    reach = Signal(modbv(0)[position_bits:])         # the position after the last tap
    current = Signal(intbv(0)[factor_bits:])         # this item's factor
    kept_factor = Signal(intbv(0)[factor_bits:])
    held = Signal(bool(0))                           # a slot waits for the next item
    held_factor = Signal(intbv(0)[factor_bits:])
    held_negative = Signal(bool(0))
    held_position = Signal(intbv(0)[position_bits:])
    count = Signal(modbv(0)[count_bits:])
    buffer = Signal(bool(0))
    index = Signal(modbv(0)[bits_for(CHANNEL_RING):])

    reader = item_reader(first, opens, long, taps, over, factor, gap, step, negative, size)

    @always_comb
    def look():
        if buffer:
            free.next = not slots.full[1]
        else:
            free.next = not slots.full[0]
        parsed.next = part == Part.AT_REST

    @always_comb
    def fire():
        fires.next = ready and part != Part.AT_REST and (part != Part.AT_SCALE or free)

    @always_comb
    def consume():
        if not fires:
            used.next = 0
        elif part == Part.AT_SCALE:
            used.next = 2
        elif part == Part.AT_BIAS:
            used.next = 4
        else:
            used.next = size

    @always_comb
    def place():
        here = modbv(0)[position_bits:]
        if opens:
            current.next = factor
        else:
            here[:] = reach
            current.next = kept_factor
        if long:
            here[:] = here + step
        if taps:
            here[:] = here + gap
        position.next = here

    @always_comb
    def write():
        slot = intbv(0)[last_at + 1:]
        number = modbv(0)[count_bits:]
        writes.next = fires and part == Part.IN_RUNS and (held or over)
        if held:
            slot[position_bits:] = held_position
            slot[position_bits] = held_negative
            slot[last_at:position_bits + 1] = held_factor
        slot[last_at] = opens or over
        slots.slot.next = slot
        slots.we.next = fires and part == Part.IN_RUNS and (held or over)
        slots.close.next = fires and part == Part.IN_RUNS and over
        slots.address.next = count[address_bits:]
        slots.buffer.next = buffer
        slots.close_buffer.next = buffer
        number[:] = count + 1
        slots.close_count.next = number

    @always_comb
    def head():
        heads.index.next = index
        heads.scale_we.next = fires and part == Part.AT_SCALE
        heads.bias_we.next = fires and part == Part.AT_BIAS
        heads.scale.next = first[SCALE_BITS:]
        heads.bias.next = first

    @always_seq(clk.posedge, reset=reset)
    def control():
        if take:
            left.next = channels
            part.next = Part.AT_SCALE
        elif fires:
            if part == Part.AT_SCALE:
                part.next = Part.AT_BIAS
            elif part == Part.AT_BIAS:
                part.next = Part.IN_RUNS
                count.next = 0
            else:
                held.next = taps
                if writes:
                    count.next = count + 1
                if over:
                    buffer.next = not buffer
                    index.next = index + 1
                    left.next = left - 1
                    if left == 1:
                        part.next = Part.AT_REST
                    else:
                        part.next = Part.AT_SCALE

    @always_seq(clk.posedge, reset=None)
    def run():
        beyond = modbv(0)[position_bits:]
        if fires and part == Part.IN_RUNS:
            kept_factor.next = current
            beyond[:] = position
            if taps:
                beyond[:] = beyond + 1
                held_factor.next = current
                held_negative.next = negative
                held_position.next = position
            reach.next = beyond

    return reader, look, fire, consume, place, write, head, control, run


@block
def stream_fetcher(clk, reset, box, idle, bus, rdata, slots, heads, config: Config):
    """Takes RUNs from its Mailbox and brings their streams into the tap cache.

    box.word: the instruction's low STREAM_WORD_BITS bits; idle: register. bus: Master, rdata the
    port's read data. slots: Slots; heads: Heads.
    """
    channels_at = Run.field("channels")
    hi, lo = channels_at.hi, channels_at.lo
    channels = Signal(intbv(0)[hi - lo:])
    beat = Signal(intbv(0)[config.port_bits:])
    there, pop, all_in, parsed, ready, clear = (Signal(bool(0)) for _ in range(6))
    first = Signal(intbv(0)[MOST_BITS:])
    used = Signal(intbv(0)[3:])

    pumping = pump(clk, reset, box.take, box.word, bus, pop, all_in, config)
    queue = fifo(clk, reset, clear, bus.valid, rdata, pop, there, beat, 2 * config.burst)
    view = window(clk, reset, clear, there, beat, pop, used, ready, first, config)
    parsing = parser(clk, reset, box.take, channels, ready, first, used, parsed, slots, heads,
                     config)

    @always_comb
    def look():
        box.take.next = box.full and idle
        channels.next = box.word[hi:lo]

    @always_comb
    def finish():
        clear.next = not idle and parsed and all_in

    @always_seq(clk.posedge, reset=reset)
    def busy():
        if box.take:
            idle.next = False
        elif clear:
            idle.next = True

    return pumping, queue, view, parsing, look, finish, busy
