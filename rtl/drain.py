"""The drain's front: which positions are written in which cycle.

    destinations -> digits -> [conflicts (D > 1)] -> operation, when its chunk's totals are complete

Everything that can make an operation wait lies here; behind it the pipeline never stalls.
"""

from __future__ import annotations

from myhdl import (
    Signal,
    always,
    always_comb,
    always_seq,
    block,
    concat,
    downrange,
    intbv,
    modbv,
)

from ..arch import latency
from ..arch.config import bits_for
from ..arch.timing import drain_latency
from .delay import activity, delay_line
from .destination import Step, destinations
from .either import add_either
from .quirks import block_part
from .signals import CHANNEL_RING, bit, word

DIGIT_BITS = 2


class Operation(Step):
    """A step for one digit, with whole addresses; `inside` are the positions still to be written.
    ends_chunk, ends_channel and ends_run hold only with the last digit.
    """

    def __init__(self, config):
        super().__init__(config)
        self.digit = word(DIGIT_BITS)


class Flow:
    """The operations on their way, for the pipeline behind. active: there may be any.

    In cycle o + n of the operation in o: at_total, {bank, multiplier step} (n = 1); multiplier of
    the first position (n = 2); head: of the channel (n = 4); digit (n = 8); served, addresses: of
    the positions to write (n = 8 + AB).
    """

    def __init__(self, config):
        banks = bits_for(config.total_banks)
        group_bits = config.multipliers.bit_length() - 1
        self.active = bit()
        self.at_total = word(banks + config.lane_bits - group_bits)
        self.multiplier = word(max(group_bits, 1))
        self.head = word(bits_for(CHANNEL_RING))
        self.digit = word(DIGIT_BITS)
        self.served = word(config.drain)
        self.addresses = [word(config.address_bits) for _ in range(config.drain)]


@block
def walk_planes(clk, advance, take, more, plane, source, address):
    """The address of a position for each digit in turn, from `source` on.

    plane: 0 unless `more`. The names of its inputs are those of `digits`.
    """
    following = word(len(address))
    add = add_either(plane, more, address, source, following)

    @always(clk.posedge)
    def walk():
        if advance or take:
            address.next = following

    return add, walk


@block
def digits(clk, reset, take, advance, fields, step, turn, config):
    """Repeats each step for every digit, dst_plane further from digit to digit.

    take: `turn`, an Operation, is used up and makes room for the next one at the end of this cycle;
    advance (driven): `step` is taken over then.
    """
    width, positions = config.address_bits, config.drain
    more, goes_on = bit(), bit()         # `turn`, the next one has a further digit behind it
    stop = bit()                         # the next one has none
    plane = word(width)                  # from its addresses to those of that digit, else 0
    ends_chunk, ends_channel, ends_run = bit(), bit(), bit()
    following = word(DIGIT_BITS + 1)
    sources, insides = step.addresses, step.inside
    addresses, pending = turn.addresses, turn.inside

    @always_comb
    def refill():
        advance.next = not more and (take or not turn.there)
        following.next = turn.digit + 1

    @always_comb
    def judge():
        if more:
            goes_on.next = following != fields.last_digit
        else:
            goes_on.next = step.there and fields.last_digit != 0

    @always_comb
    def halt():
        stop.next = (advance or take) and not goes_on

    @always_seq(clk.posedge, reset=reset)
    def fill():
        if advance:
            turn.there.next = step.there
        if advance or take:
            more.next = goes_on

    @always(clk.posedge)
    def go_on():
        if stop:
            plane.next = 0
        elif advance or take:
            plane.next = fields.dst_plane

    @always(clk.posedge)
    def count():
        if advance:
            for d in range(positions):
                pending[d].next = insides[d]
            turn.digit.next = 0
            turn.index.next = step.index
            ends_chunk.next = step.ends_chunk
            ends_channel.next = step.ends_channel
            ends_run.next = step.ends_run
            turn.ends_chunk.next = step.ends_chunk and not goes_on
            turn.ends_channel.next = step.ends_channel and not goes_on
            turn.ends_run.next = step.ends_run and not goes_on
        elif take:
            turn.digit.next = following[DIGIT_BITS:]
            turn.ends_chunk.next = ends_chunk and not goes_on
            turn.ends_channel.next = ends_channel and not goes_on
            turn.ends_run.next = ends_run and not goes_on

    walks = [walk_planes(clk, advance, take, more, plane, sources[d], addresses[d])
             for d in range(positions)]
    return refill, judge, halt, fill, go_on, count, walks


@block
def conflicts(clk, reset, take, fire, turn, operation, served, rest, config):
    """Holds an operation for as many cycles as the two banks need for its words (D > 1).

    take (driven): `turn` is taken over at the end of this cycle; fire: so much of `operation` as
    fits in a cycle is done in this one: `served`; rest: not all of it (both combinational).
    """
    width, positions, lane_bits = config.address_bits, config.drain, config.lane_bits
    banks = [bit() for _ in range(positions)]
    same_word = [bit() for _ in range(positions * positions)]
    sources, insides = turn.addresses, turn.inside
    addresses, pending = operation.addresses, operation.inside

    @always_comb
    def choose():
        held = intbv(0)[positions:]
        for d in range(positions):
            held[d] = False
            for e in downrange(positions):
                if e < d and pending[e] and banks[e] == banks[d]:
                    held[d] = not same_word[e * positions + d]
            served[d].next = pending[d] and not held[d]
        rest.next = False
        for d in range(positions):
            if pending[d] and held[d]:
                rest.next = True

    @always_comb
    def refill():
        take.next = not operation.there or (fire and not rest)

    @always_seq(clk.posedge, reset=reset)
    def fill():
        if take:
            operation.there.next = turn.there

    @always(clk.posedge)
    def hold():
        one = intbv(0)[width:]
        other = intbv(0)[width:]
        if take:
            for d in range(positions):
                one[:] = sources[d]
                addresses[d].next = one
                pending[d].next = insides[d]
                banks[d].next = one[lane_bits]
                for e in range(positions):
                    other[:] = sources[e]
                    same_word[e * positions + d].next = one[:lane_bits] == other[:lane_bits]
            operation.digit.next = turn.digit
            operation.index.next = turn.index
            operation.ends_chunk.next = turn.ends_chunk
            operation.ends_channel.next = turn.ends_channel
            operation.ends_run.next = turn.ends_run
        elif fire:
            for d in range(positions):
                if served[d]:
                    pending[d].next = False

    return choose, refill, fill, hold


@block
def single(operation, fire, take, served, rest):
    """In the place of `conflicts` for D = 1: one position never conflicts."""
    pending = operation.inside[0]
    only = served[0]

    @always_comb
    def pass_on():
        only.next = pending
        rest.next = False
        take.next = fire

    return pass_on


@block_part
def show_lane(clk, bank0, lane0, flow, config):
    """Where the total of `lane0` in `bank0` is read: at_total now, multiplier a cycle later."""
    lane_bits, group_bits = config.lane_bits, config.multipliers.bit_length() - 1

    @always_comb
    def out_shared():
        flow.at_total.next = concat(bank0, lane0[lane_bits:group_bits])

    @always_comb
    def out_alone():
        flow.at_total.next = bank0

    @always(clk.posedge)
    def out_group():
        flow.multiplier.next = lane0[group_bits:]

    @always(clk.posedge)
    def out_only():
        flow.multiplier.next = 0

    return (out_alone if config.share == 1 else out_shared), (out_group if group_bits else out_only)


@block
def operate(clk, reset, complete, operation, served, rest, fire, drained, ended, flow, config):
    """Lets operations go while there are complete chunks, and sends them down the pipeline.

    complete: one chunk more can be drained from the next cycle on; drained: this is a chunk's last
    operation; ended: this is the RUN's end stamp.
    """
    banks, positions = config.total_banks, config.drain
    lane_bits = config.lane_bits
    position_bits = positions.bit_length() - 1
    trail_bits = latency.operation_to_aim(config)
    head_delay = latency.operation_to_total() + latency.SCALE - latency.HEAD
    last_head = head_delay - 1
    final_bits = drain_latency(config) + 1
    ready = word(banks.bit_length())
    bank = Signal(modbv(0)[bits_for(banks):])
    channel = Signal(modbv(0)[bits_for(CHANNEL_RING):])
    trails = [word(trail_bits) for _ in range(positions)]
    finals = word(final_bits)
    heads = [word(len(channel)) for _ in range(head_delay)]
    running = bit()                      # an operation goes or is on its way
    lane0 = word(lane_bits)
    bank0 = word(len(bank))

    @always_comb
    def judge():
        fire.next = operation.there and ready != 0
        running.next = (operation.there and ready != 0) or flow.active
        drained.next = operation.there and ready != 0 and not rest and operation.ends_chunk

    @always_seq(clk.posedge, reset=reset)
    def count():
        trail = intbv(0)[trail_bits + 1:]
        mark = intbv(0)[final_bits + 1:]
        if complete and not drained:
            ready.next = ready + 1
        elif drained and not complete:
            ready.next = ready - 1
        if drained:
            bank.next = bank + 1
            if operation.ends_channel:
                channel.next = channel + 1
        if running:
            for d in range(positions):
                trail[:] = trails[d]
                trail[:] = trail << 1
                trail[0] = fire and served[d]
                trails[d].next = trail[trail_bits:]
            mark[:] = finals
            mark[:] = mark << 1
            mark[0] = drained and operation.ends_run
            finals.next = mark[final_bits:]

    @always_seq(clk.posedge, reset=reset)
    def follow():
        lane = intbv(0)[lane_bits:]
        if running:
            lane[:] = operation.index
            lane[:] = lane << position_bits
            lane0.next = lane
            bank0.next = bank
            heads[0].next = channel
            for k in range(1, head_delay):
                heads[k].next = heads[k - 1]

    @always_comb
    def show():
        flow.head.next = heads[last_head]
        ended.next = finals[final_bits - 1]
        for d in range(positions):
            flow.served.next[d] = trails[d][trail_bits - 1]

    moving = activity(clk, reset, fire, flow.active, final_bits)
    lines = [delay_line(clk, reset, running, operation.digit, flow.digit,
                        latency.operation_to_digit())]
    lines += [delay_line(clk, reset, running, operation.addresses[d], flow.addresses[d], trail_bits)
              for d in range(positions)]
    return judge, count, follow, show, show_lane(clk, bank0, lane0, flow, config), moving, lines


@block
def drain(clk, reset, start, complete, fields, drained, ended, flow, config):
    """From the RUN in `fields` to the operations in `flow`.

    start: of the RUN; complete, drained, ended: see `operate`; flow: Flow, driven.
    """
    step, turn = Step(config), Operation(config)
    advance, take, fire, rest = bit(), bit(), bit(), bit()
    served = [bit() for _ in range(config.drain)]
    if config.drain == 1:
        operation = turn
        schedule = single(operation, fire, take, served, rest)
    else:
        operation = Operation(config)
        schedule = conflicts(clk, reset, take, fire, turn, operation, served, rest, config)
    return (destinations(clk, reset, start, advance, fields, step, config),
            digits(clk, reset, take, advance, fields, step, turn, config), schedule,
            operate(clk, reset, complete, operation, served, rest, fire, drained, ended, flow,
                    config))
