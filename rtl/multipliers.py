"""The cluster multipliers: T += factor * S, P/M of them, each for M lanes one after the other.

    cycle c + i: step i, of lanes i*P/M + j    + 1: operand    + 2: product    + 3: total, kept

T lies in TB banks, so that a chunk can be drained while the next ones are computed. Lanes outside
the rectangle may overflow, and then wrap.
"""

from __future__ import annotations

from myhdl import (
    ConcatSignal,
    Signal,
    always,
    always_comb,
    always_seq,
    block,
    concat,
    intbv,
    modbv,
)

from ..arch.config import bits_for
from .ram import ram
from .signals import bit, number, word, wrapping

# shares for which the choice between two halves is cheaper than one over all steps: the halves are
# a plain signal or a choice of four, which take no or one logic cell a bit
HALVED = (2, 8)
SIGNS = 8                # registers that hold the sign of the tap at the sums


class ClusterEnd:
    """The tap whose value is at the lanes' sums (M = 1: multipliers) in this cycle.

    valid: there is one; last: of its cluster; closing: of its chunk; negative: its sign, as
    `signs_of` keeps it; factor: of its cluster, which with M = 1 takes the tap's sign.
    """

    def __init__(self, config):
        self.valid = bit()
        self.last = bit()
        self.closing = bit()
        self.negative = word(SIGNS)
        self.factor = number(config.factor_bits + (config.share == 1))


class Steps:
    """What the multipliers do in this cycle, for the steps of the cluster on its way.

    step: of the operands. fresh: the total before is none (first cluster of a chunk), at_read: or
    this one, {bank, step}; factor: of the product in the same cycle. shift: the product is added.
    write: the total is kept at at_write.
    """

    def __init__(self, config):
        place = bits_for(config.total_banks) + bits_for(config.share)
        self.step = word(bits_for(config.share))
        self.fresh = bit()
        self.at_read = word(place)
        self.factor = number(config.factor_bits)
        self.shift = bit()
        self.write = bit()
        self.at_write = word(place)


@block
def control(clk, reset, moving, tap, steps, complete, config):
    """Control of the shared multipliers.

    moving: there may be a cluster on its way; tap: ClusterEnd; steps: Steps, driven: step 0 in the
    cycle after a cluster's last tap. complete: the chunk's totals are all kept 2 cycles later.
    """
    share, banks = config.share, config.total_banks
    last_step = share - 1
    active = bit()
    bank = Signal(modbv(banks - 1)[bits_for(banks):])
    first, ended, closes = bit(), Signal(bool(1)), bit()
    factor = number(config.factor_bits)
    late_first = bit()
    at = [word(len(steps.at_read)) for _ in range(3)]
    actives, closings = word(3), word(2)

    @always_seq(clk.posedge, reset=reset)
    def walk():
        if tap.valid and tap.last:
            active.next = True
            steps.step.next = 0
            first.next = ended
            ended.next = tap.closing
            closes.next = tap.closing
            factor.next = tap.factor
            if ended:
                bank.next = bank + 1
        elif active:
            if steps.step == last_step:
                active.next = False
                steps.step.next = 0
            else:
                steps.step.next = steps.step + 1
        if moving:
            actives.next = concat(actives[2:], active)
            closings.next[0] = active and closes and steps.step == last_step
            closings.next[1] = closings[0]

    @always(clk.posedge)
    def follow():
        if moving:
            at[0].next = concat(bank, steps.step)
            at[1].next = at[0]
            at[2].next = at[1]
            late_first.next = first
            steps.factor.next = factor

    @always_comb
    def show():
        steps.fresh.next = late_first and actives[0]
        steps.shift.next = actives[1]
        steps.write.next = actives[2]
        steps.at_write.next = at[2]
        complete.next = closings[1]

    @always_comb
    def show_read():
        steps.at_read.next = at[0]

    # with M = 2 nothing reads
    return (walk, follow, show, show_read) if share > 2 else (walk, follow, show)


@block
def operands_of(clk, moving, step, captured, operands, config):
    """operands[j]: sum of lane step*P/M + j in the cycle before."""
    count = config.multipliers
    lane_bits, group_bits = config.lane_bits, count.bit_length() - 1

    @always(clk.posedge)
    def choose():
        base = intbv(0)[lane_bits:]
        lane = intbv(0)[lane_bits:]
        if moving:
            base[:] = step
            base[:] = base << group_bits
            for j in range(count):
                lane[:] = base | j
                operands[j].next = captured[lane]

    return choose


@block
def half_operands(clk, moving, step, captured, operands, config):
    """As `operands_of`, with the last choice made by the multiplier's pre-adder: the sums of the
    lower and the upper half of the steps, of which one is 0, are added behind the registers.
    """
    count, half = config.multipliers, config.lanes // 2
    half_bits, group_bits = config.lane_bits - 1, count.bit_length() - 1
    top = len(step) - 1
    low = [number(config.sum_bits) for _ in range(count)]
    high = [number(config.sum_bits) for _ in range(count)]
    upper = bit()

    @always_comb
    def judge():
        upper.next = step[top]

    @always(clk.posedge)
    def choose():
        base = intbv(0)[half_bits + 1:]
        lane = intbv(0)[half_bits + 1:]
        base[:] = step
        base[:] = base << group_bits
        base[half_bits] = False
        for j in range(count):
            lane[:] = base | j
            if upper:
                low[j].next = 0
            elif moving:
                low[j].next = captured[lane]
            lane[:] = lane | half
            if not upper:
                high[j].next = 0
            elif moving:
                high[j].next = captured[lane]

    @always_comb
    def join():
        for j in range(count):
            operands[j].next = low[j] + high[j]

    return judge, choose, join


@block
def multiplier(clk, moving, operand, factor, before, shift, total):
    """total: `before` plus the product of the cycle before, a cycle after `shift`. Both are plain
    bits, so that they can lie in one memory with those of the other multipliers.
    """
    bits = len(total)
    product = number(max(len(operand) + len(factor), bits))
    addend = word(bits)

    @always_comb
    def cut():
        addend.next = product[bits:]

    @always(clk.posedge)
    def work():
        if moving:
            product.next = operand * factor
        if shift:
            total.next = before + addend

    return cut, work


@block
def part(bits, target):
    """target = bits"""
    @always_comb
    def pass_on():
        target.next = bits

    return pass_on


@block
def parts_of(joined, targets):
    """Each target gets its bits of `joined`, the first the lowest ones."""
    width = len(targets[0])
    if len(targets) == 1:
        return [part(joined, targets[0])]
    return [part(joined(width * (i + 1), width * i), target) for i, target in enumerate(targets)]


@block
def totals_before(clk, moving, fresh, kept, write, at_write, at_read, befores, depth):
    """befores: the totals kept at `at_read` in the cycle before, none if `fresh`.

    kept: those of all multipliers, kept at `at_write` with `write`. One memory for all of them: its
    width is cut into the fewest cells.
    """
    totals = [word(len(kept)) for _ in range(depth)]
    before = word(len(kept))

    @always(clk.posedge)
    def look_up():
        if fresh:
            before.next = 0
        elif moving:
            before.next = totals[at_read]
        if write:
            totals[at_write].next = kept

    return look_up, parts_of(before, befores)


@block
def totals_around(clk, fresh, shift, totals, befores):
    """`totals_before` for M = 2: the totals of a multiplier's two lanes go round, while one is in
    `total` the other is in `before`. shift: in the cycle of each of the two additions.
    """
    count = len(totals)

    @always(clk.posedge)
    def go_round():
        for j in range(count):
            if fresh:
                befores[j].next = 0
            elif shift:
                befores[j].next = totals[j]

    return go_round


@block
def shared_multipliers(clk, reset, moving, tap, captured, at_drain, reads, complete, config):
    """P/M multipliers (M > 1).

    tap: ClusterEnd; captured: sums, from the cycle after a cluster's last tap on. reads[j]: total
    of multiplier j at `at_drain`, {bank, step}, one cycle before. complete: see `control`.
    """
    count, bits = config.multipliers, config.total_bits
    depth = config.total_banks * config.share
    steps = Steps(config)
    halved = config.share in HALVED
    operands = [number(config.sum_bits + halved) for _ in range(count)]
    befores = [Signal(modbv(0)[bits:]) for _ in range(count)]
    totals = [Signal(modbv(0)[bits:]) for _ in range(count)]
    kept = ConcatSignal(*reversed(totals)) if count > 1 else totals[0]
    read = word(len(kept))
    choose = half_operands if halved else operands_of
    if config.share == 2:
        back = totals_around(clk, steps.fresh, steps.shift, totals, befores)
    else:
        back = totals_before(clk, moving, steps.fresh, kept, steps.write, steps.at_write,
                             steps.at_read, befores, depth)
    return (control(clk, reset, moving, tap, steps, complete, config),
            choose(clk, moving, steps.step, captured, operands, config),
            [multiplier(clk, moving, operands[j], steps.factor, befores[j], steps.shift,
                        totals[j]) for j in range(count)],
            back, ram(clk, steps.write, steps.at_write, kept, at_drain, read, depth),
            parts_of(read, reads))


@block
def accumulate(clk, reset, tap, max_run, counts, fresh, write, bank, complete, config):
    """Control of the multipliers for M = 1: all lanes multiply every tap at once.

    counts, fresh: the product counts, and begins a chunk; write: keep the total in `bank`.
    """
    ended = Signal(bool(1))
    closes = bit()
    drained_bank = Signal(modbv(0)[len(bank):])

    @always_seq(clk.posedge, reset=reset)
    def follow():
        counts.next = tap.valid and (tap.last or not max_run)
        closes.next = tap.valid and tap.closing
        if tap.valid and (tap.last or not max_run):
            fresh.next = ended
            ended.next = tap.closing
        write.next = closes
        if write:
            drained_bank.next = drained_bank + 1

    @always_comb
    def show():
        complete.next = closes
        bank.next = drained_bank

    return follow, show


@block
def lane_multiplier(clk, value, factor, counts, fresh, write, bank, at_drain, read, depth):
    """A lane's own multiplier (M = 1) and its totals."""
    bits = len(read)
    totals = [wrapping(bits) for _ in range(depth)]
    product = number(len(value) + len(factor))
    before, total = wrapping(bits), wrapping(bits)

    @always_comb
    def choose():
        if fresh:
            before.next = 0
        else:
            before.next = total

    @always(clk.posedge)
    def work():
        product.next = value * factor
        if counts:
            total.next = before + product
        if write:
            totals[bank].next = total
        read.next = totals[at_drain]

    return choose, work


@block
def lane_multipliers(clk, reset, tap, max_run, values, at_drain, reads, complete, config):
    """P multipliers for M = 1; as `shared_multipliers`, but on the lanes' values themselves."""
    counts, fresh, write = bit(), bit(), bit()
    bank = word(len(at_drain))
    return (accumulate(clk, reset, tap, max_run, counts, fresh, write, bank, complete, config),
            [lane_multiplier(clk, values[j], tap.factor, counts, fresh, write, bank, at_drain,
                             reads[j], config.total_banks) for j in range(config.lanes)])
