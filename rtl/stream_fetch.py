"""Stream fetcher: reads a RUN's tap stream and fills the tap cache.

    port -> FIFO -> window of bytes -> parser: one item a cycle -> slots, channel heads

An item is the scale; the bias; [HEADER] [LONG] [TAP], as many as follow each other; or END
(arch/stream.py tells the bytes).
"""

from __future__ import annotations

from myhdl import (
    Signal,
    always_comb,
    always_seq,
    block,
    concat,
    enum,
    intbv,
    modbv,
)

from ..arch import stream
from ..arch.config import Config, bits_for
from ..arch.fixed import SCALE_BITS
from ..arch.isa import Run
from ..arch.timing import WINDOW_LOW
from .fifo import fifo
from .port import UNIT_SHIFT
from .quirks import block_part
from .signals import bit, word

MOST = WINDOW_LOW        # bytes of the longest item
MOST_BITS = 8 * MOST
STREAM_WORD_BITS = Run.field("channels").hi      # of the instruction, that the fetcher needs
HEADER_NIBBLE, LONG_NIBBLE = stream.HEADER >> 4, stream.LONG >> 4
LONG_KINDS = stream.LONG_LAST - stream.LONG + 1
TAP_GAPS, END = stream.TAP_GAPS, stream.END
LONG_SHIFT = stream.LONG_STEP.bit_length() - 1
KIND_BITS = 4            # of a LONG
AMOUNT_BITS = LONG_SHIFT + KIND_BITS             # of the longest LONG and TAP together

Part = enum("AT_SCALE", "AT_BIAS", "IN_RUNS", "AT_REST")


@block
def measure(unit, final_beat):
    """final_beat: number of a stream's last beat, of its last unit's number."""
    bits = len(final_beat)
    fewer, more = max(0, bits - len(unit)), max(0, len(unit) - bits)
    ones = (1 << fewer) - 1

    @always_comb
    def scale():
        number = intbv(0)[bits:]
        number[:] = unit
        number[:] = number << fewer
        final_beat.next = number | ones

    @always_comb
    def divide():
        final_beat.next = unit[:more]

    return divide if more else scale


@block
def pump(clk, reset, take, instruction, bus, popped, all_in, config: Config):
    """Asks for the stream's beats, burst by burst, as far as the FIFO has room.

    take: the stream that `instruction` names begins; popped: beats that left the FIFO since then,
    modulo 4 bursts; all_in: register, all beats have come.
    """
    burst, burst_bits = config.burst, config.burst.bit_length() - 1
    beat_shift = config.port_bytes.bit_length() - 1
    step_bits = burst_bits + beat_shift
    count_bits, room_bits = burst_bits + 2, burst_bits + 1
    from_hi, from_lo = Run.field("stream").ends()
    units_hi, units_lo = Run.field("stream_units").ends()
    unit_bits = units_hi - units_lo
    final_unit = word(unit_bits)
    final_beat = word(unit_bits + UNIT_SHIFT - beat_shift)
    bursts = Signal(modbv(0)[len(final_beat) - burst_bits:])     # asked for
    asking, flying, ask, at_last = bit(), bit(), bit(), bit()
    beats = Signal(intbv(0, min=0, max=burst + 1))
    following = Signal(intbv(0, min=0, max=burst + 1))
    inside = Signal(modbv(0)[count_bits:])       # beats asked for and not popped, after `following`
    address_bits = len(bus.address)
    measuring = measure(final_unit, final_beat)

    @always_comb
    def look_ahead():
        at_last.next = bursts == final_beat[:burst_bits]

    @always_comb
    def next_burst():
        last = intbv(0)[burst_bits:]     # beat of the next burst
        asked = modbv(0)[count_bits:]
        last[:] = burst - 1
        if at_last:
            last[:] = final_beat[burst_bits:]
        asked[:] = concat(bursts[2:], last)
        inside.next = asked - popped
        following.next = last + 1

    @always_comb
    def next_beat():                             # if a burst is one beat
        asked = modbv(0)[count_bits:]
        asked[:] = bursts[2:]
        inside.next = asked - popped
        following.next = 1

    @always_comb
    def decide():
        ask.next = asking and not flying and not inside[room_bits]
        all_in.next = not asking and not flying
        bus.beats.next = beats

    @always_seq(clk.posedge, reset=reset)
    def control():
        if take:
            asking.next = True
            bursts.next = 0
        elif ask:
            asking.next = not at_last
            bursts.next = bursts + 1
        if ask:
            beats.next = following
            bus.req.next = True
            flying.next = True
        else:
            if bus.grant:
                bus.req.next = False
            if bus.last:
                flying.next = False

    @always_seq(clk.posedge, reset=reset)
    def walk():
        place = modbv(0)[address_bits:]
        burst_number = modbv(0)[address_bits - step_bits:]
        if take:
            final_unit.next = instruction[units_hi:units_lo] - 1
            place[:] = instruction[from_hi:from_lo]
            bus.address.next = place << UNIT_SHIFT
        elif bus.grant:
            burst_number[:] = bus.address[:step_bits]
            burst_number[:] = burst_number + 1
            bus.address.next[:step_bits] = burst_number

    return measuring, look_ahead, next_burst if burst_bits else next_beat, decide, control, walk


@block
def skip(source, at, k, target):
    """target: `source` without its first 2^k bytes if bit k of `at` is 1."""
    low, start = len(target), 8 << k
    high = min(len(source), start + low)

    @always_comb
    def choose():
        if at[k]:
            target.next = source[high:start]
        else:
            target.next = source[low:]

    return choose


@block
def extract(beat, tail, at, first):
    """first: MOST bytes from byte `at` on of `tail` and, behind it, `beat`."""
    content, skips = word(len(tail) + len(beat)), []
    view = content
    for k in range(len(at) - 1, 0, -1):
        target = word(min(len(view), MOST_BITS - 8 + (8 << k)))
        skips.append(skip(view, at, k, target))
        view = target

    @always_comb
    def join():
        content.next = concat(beat, tail)

    return join, skips, skip(view, at, 0, first)


@block
def window(clk, reset, clear, there, beat, pop, used, ready, first, config: Config):
    """Bytes in order: `used` leave at the front, a beat enters behind when at most MOST are left.

    first: the first MOST bytes, all there if `ready`. there, beat, pop: the FIFO's output side; the
    beat in the window stays there until its last MOST bytes, moved to `tail`, are all that is left.
    """
    size = config.port_bytes
    high, low = 8 * size, 8 * (size - MOST)
    bits = max(3, size.bit_length() - 1)
    tail = word(MOST_BITS)
    at = Signal(intbv(MOST)[bits:])      # the first byte, from the beginning of `tail` on
    full = bit()                         # there is a beat behind `tail`
    leaves = bit()
    end = word(bits + 1)

    @always_comb
    def consume():
        end.next = at + used

    @always_comb
    def judge():
        ready.next = full or at == 0
        leaves.next = full and end >= size

    @always_comb
    def refill():
        pop.next = there and (leaves or not full)

    @always_seq(clk.posedge, reset=reset)
    def advance():
        rest = intbv(0)[bits + 1:]
        rest[:] = end
        if leaves:
            rest[:] = rest - size
        if clear:
            at.next = MOST
            full.next = False
        else:
            at.next = rest[bits:]
            if pop:
                full.next = True
            elif leaves:
                full.next = False

    @always_seq(clk.posedge, reset=None)
    def keep():
        if leaves:
            tail.next = beat[high:low]

    return extract(beat, tail, at, first), consume, judge, refill, advance, keep


@block
def item_reader(first, opens, taps, over, factor, amount, negative, size):
    """Tells the item of RUNS at the front, `first` being its bytes.

    opens: it has a HEADER, with `factor`; taps: a TAP, `negative` or not; over: it is the END.
    amount: what its LONG and its TAP add to the position; size: its bytes.
    """
    bits = len(factor)
    long = bit()
    tap = word(8)
    kind = word(KIND_BITS)

    @always_comb
    def read_head():
        opens.next = first[8:4] == HEADER_NIBBLE
        over.next = first[8:] == END

    @always_comb
    def read_factor():
        number = intbv(0)[12:]
        number[:] = concat(first[4:], first[16:8])
        factor.next = number[bits:]

    @always_comb
    def read_long():
        code = intbv(0)[8:]
        code[:] = first[8:]
        if opens:
            code[:] = first[24:16]
        long.next = code[8:4] == LONG_NIBBLE and code[4:] < LONG_KINDS
        kind.next = code[KIND_BITS:]

    @always_comb
    def read_tap():
        if opens and long:
            tap.next = first[32:24]
        elif opens:
            tap.next = first[24:16]
        elif long:
            tap.next = first[16:8]
        else:
            tap.next = first[8:]

    @always_comb
    def judge():
        taps.next = tap[7:] < TAP_GAPS
        negative.next = tap[7]

    @always_comb
    def add_up():
        gap = intbv(0)[7:]
        steps = intbv(0)[KIND_BITS + 1:]
        gap[:] = 0
        if taps:
            gap[:] = tap[7:]
        steps[:] = gap[7:LONG_SHIFT]
        if long:
            steps[:] = steps + kind
            steps[:] = steps + 1
        amount.next = concat(steps[KIND_BITS:], gap[LONG_SHIFT:])

    @always_comb
    def count():
        if opens:
            if long and taps:
                size.next = 4
            elif long or taps:
                size.next = 3
            else:
                size.next = 2
        elif long and taps:
            size.next = 2
        else:
            size.next = 1

    return read_head, read_factor, read_long, read_tap, judge, add_up, count


@block_part
def fire_items(part, parsed, ready, slots, index, fires, in_runs):
    """fires: an item is used up in this cycle; in_runs: one of taps, or an END."""
    @always_comb
    def look():
        parsed.next = part == Part.AT_REST
        in_runs.next = fires and part == Part.IN_RUNS

    @always_comb
    def fire():
        if part == Part.AT_REST:
            fires.next = False
        elif part == Part.AT_SCALE and index[0]:
            fires.next = ready and not slots.full[1]
        elif part == Part.AT_SCALE:
            fires.next = ready and not slots.full[0]
        else:
            fires.next = ready

    return look, fire


@block_part
def add_amount(opens, held, position, amount, following):
    """following: `position` after the item that adds `amount`, from -1 on where it opens a cluster.

    The last tap itself counts one, if the last item had one: `held`.
    """
    position_bits = len(position)

    @always_comb
    def place():
        total = modbv(0)[position_bits + 1:]         # above the carry into it
        more = intbv(0)[AMOUNT_BITS + 1:]
        more[:] = concat(amount, True)
        if not opens:
            total[:] = concat(position, held)
        else:
            total[:] = 0
        total[:] = more + total
        following.next = total[:1]

    return place


@block_part
def hand_over(part, first, index, fires, in_runs, held, opens, over, factor, negative, position,
              count, writes, slots, heads):
    """To the tap cache: the slot that has waited, now that it is known whether it is a last one."""
    @always_comb
    def write():
        ends = intbv(0)[1:]
        writes.next = in_runs and (held or over)
        slots.we.next = in_runs and (held or over)
        slots.close.next = in_runs and over
        ends[0] = opens or over
        slots.slot.next = concat(ends, factor, negative, position)
        slots.address.next = count
        slots.buffer.next = index[0]

    @always_comb
    def head():
        heads.index.next = index
        heads.scale_we.next = fires and part == Part.AT_SCALE
        heads.bias_we.next = fires and part == Part.AT_BIAS
        heads.scale.next = first[SCALE_BITS:]
        heads.bias.next = first

    return write, head


@block
def parser(clk, reset, take, channels, ready, first, used, parsed, slots, heads, config: Config):
    """Consumes `used` bytes of `first` a cycle and writes `slots` and `heads`.

    take: a stream of `channels` begins; parsed: register, all its channels are closed. The slot of
    `factor`, `negative` and `position` waits until the next item tells whether it ends its cluster.
    """
    position_bits, factor_bits = config.position_bits, config.factor_bits
    address_bits = len(slots.address)
    part = Signal(Part.AT_REST)
    opens, taps, over, is_negative = bit(), bit(), bit(), bit()
    new_factor, amount, size = word(factor_bits), word(AMOUNT_BITS), word(3)
    fires, in_runs, writes = bit(), bit(), bit()
    following = Signal(modbv(0)[position_bits:])     # position after this item
    position = word(position_bits)                   # after the last one
    factor = word(factor_bits)                       # of the cluster
    negative = bit()                                 # the last tap is
    held = bit()                                     # the last item had a tap
    wanted = word(len(channels))
    opened = Signal(modbv(0)[len(channels):])        # channels, the one in turn included
    count = Signal(modbv(0)[address_bits:])          # slots written, modulo the buffer's size
    index = Signal(modbv(0)[len(heads.index):])

    reader = item_reader(first, opens, taps, over, new_factor, amount, is_negative, size)

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

    @always_seq(clk.posedge, reset=reset)
    def control():
        if take:
            part.next = Part.AT_SCALE
            wanted.next = channels
            opened.next = 0
        elif fires:
            if part == Part.AT_SCALE:
                part.next = Part.AT_BIAS
                opened.next = opened + 1
            elif part == Part.AT_BIAS:
                part.next = Part.IN_RUNS
            elif over:
                index.next = index + 1
                if opened == wanted:
                    part.next = Part.AT_REST
                else:
                    part.next = Part.AT_SCALE

    @always_seq(clk.posedge, reset=reset)
    def follow():
        if part == Part.AT_BIAS:
            count.next = 0
            held.next = False
            factor.next = 0
            negative.next = False
            position.next = 0
        else:
            if writes:
                count.next = count + 1
            if in_runs:
                held.next = taps
                negative.next = is_negative
                position.next = following
                if opens:
                    factor.next = new_factor

    return (reader, fire_items(part, parsed, ready, slots, index, fires, in_runs), consume,
            add_amount(opens, held, position, amount, following),
            hand_over(part, first, index, fires, in_runs, held, opens, over, factor, negative,
                      position, count, writes, slots, heads), control, follow)


@block
def stream_fetcher(clk, reset, box, idle, bus, rdata, slots, heads, config: Config):
    """Takes RUNs from its Mailbox and brings their streams into the tap cache.

    box.word: the instruction's low STREAM_WORD_BITS bits; idle: register. bus: Master, rdata the
    port's read data. slots: Slots; heads: Heads.
    """
    hi, lo = Run.field("channels").ends()
    channels = Signal(intbv(0)[hi - lo:])
    beat = Signal(intbv(0)[config.port_bits:])
    there, pop, all_in, parsed, ready, clear = (Signal(bool(0)) for _ in range(6))
    first = Signal(intbv(0)[MOST_BITS:])
    used = Signal(intbv(0)[3:])
    popped = Signal(modbv(0)[bits_for(4 * config.burst):])

    pumping = pump(clk, reset, box.take, box.word, bus, popped, all_in, config)
    queue = fifo(clk, reset, clear, bus.valid, rdata, pop, there, beat, popped, 2 * config.burst)
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
