"""The destination walker: where each position of each chunk is written, one step of D a cycle.

    count -> ... -> count (D positions) -> count           two steps ahead of the addresses
      | move           | move
    stride           stride                                one step ahead
      v                v
    spot ->  ...  -> spot -> spot
      |                | addresses of a step -> + dst_plane for each digit -> drain

The last move of a chunk goes on to the first position inside the rectangle, where the next chunk
begins, or to the next channel. The first position of all is reached by a move too, to channel 0.
"""

from __future__ import annotations

from myhdl import Signal, always, always_comb, always_seq, block, modbv

from ..arch.config import bits_for
from .equal import equal
from .raster import (
    Count,
    Ends,
    Phases,
    Turns,
    count_on,
    counters,
    judge,
    judge_last,
    look,
    turn_phases,
)
from .signals import bit, word
from .spots import Move, Spot, Stride, arrive, describe, measure, spots, step_on, walk_channels


class Step:
    """D positions of a chunk: addresses[d] is where digit 0 of position d is written if inside[d].

    there: the registers hold a step; index: its number in the chunk; ends_chunk: it is the
    chunk's last one; ends_channel, ends_run: the channel's, the RUN's.
    """

    def __init__(self, config):
        self.there = bit()
        self.addresses = [word(config.address_bits) for _ in range(config.drain)]
        self.inside = [bit() for _ in range(config.drain)]
        self.index = word(bits_for(config.drain_steps))
        self.ends_chunk = bit()
        self.ends_channel = bit()
        self.ends_run = bit()


@block
def pass_step(clk, reset, start, advance, step, after):
    """What is known of a step beside its positions, one stage later."""
    @always_seq(clk.posedge, reset=reset)
    def keep():
        if start:
            after.there.next = False
        elif advance:
            after.there.next = step.there
        if advance:
            after.index.next = step.index
            after.ends_chunk.next = step.ends_chunk
            after.ends_channel.next = step.ends_channel
            after.ends_run.next = step.ends_run

    return keep


@block
def count_steps(clk, reset, start, advance, fields, closing, to_channel, running, step, config):
    """The step in turn. closing: it ends its chunk (driven), to_channel: its channel.

    running (driven): there is one, from the cycle after `start` on. start, advance and the flags of
    `step`, which comes three steps later, are those of `destinations`.
    """
    last_index = config.drain_steps - 1
    index = word(bits_for(config.drain_steps))
    channel = Signal(modbv(0)[len(fields.channels):])        # this one included
    last_channel, at_last = bit(), bit()
    moving, arriving = Step(config), Step(config)
    compare = equal(channel, fields.channels, last_channel)

    @always_comb
    def judge_step():
        closing.next = index == last_index
        at_last.next = to_channel and last_channel

    @always_seq(clk.posedge, reset=reset)
    def count_up():
        if start:
            running.next = True
            index.next = 0
            channel.next = 1
        elif advance:
            if closing:
                index.next = 0
            else:
                index.next = index + 1
            if to_channel:
                channel.next = channel + 1
            if at_last:
                running.next = False

    @always_seq(clk.posedge, reset=reset)
    def number():
        if advance:
            moving.index.next = index
            moving.ends_chunk.next = closing
            moving.ends_channel.next = to_channel
            moving.ends_run.next = at_last

    follow = [pass_step(clk, reset, start, advance, moving, arriving),
              pass_step(clk, reset, start, advance, arriving, step)]

    @always_seq(clk.posedge, reset=reset)
    def begin():
        if start:
            moving.there.next = False
        elif advance:
            moving.there.next = running

    return compare, judge_step, count_up, number, begin, follow


@block
def emit(clk, advance, spot, stride, address, inside):
    """One position of a step."""
    @always(clk.posedge)
    def keep():
        if advance:
            address.next = spot.address
            inside.next = stride.inside

    return keep


@block
def destinations(clk, reset, start, advance, fields, step, config):
    """The steps of all chunks of all channels of a RUN, in order.

    start: the RUN in `fields` begins; advance: `step` takes the next one, both at the end of the
    cycle; the first one is ready in the third cycle after start. After the step that ends the RUN
    `there` falls.
    """
    positions = config.drain
    last = positions - 1
    counts = [Count(fields) for _ in range(positions)]
    ends = [Ends() for _ in range(positions)]
    turns = [Turns() for _ in range(positions)]
    phases = [Phases() for _ in range(positions)]
    moves = [Move() for _ in range(positions)]
    strides = [Stride(fields) for _ in range(positions)]
    places = [Spot(fields) for _ in range(positions)]
    addresses = [word(config.address_bits) for _ in range(positions)]
    channel_address = word(config.address_bits)
    closing, running = bit(), bit()
    each = [(look(counts[d], fields, ends[d]),
             turn_phases(counts[d], fields, phases[d]),
             describe(clk, start, advance, counts[d], turns[d], phases[d], moves[d]),
             measure(clk, advance, moves[d], channel_address, fields, strides[d]),
             arrive(places[d], strides[d], addresses[d]),
             emit(clk, advance, places[d], strides[d], step.addresses[d], step.inside[d]))
            for d in range(positions)]
    inner = [(judge(ends[d], turns[d]),
              count_on(counts[d], ends[d], turns[d], phases[d], fields, counts[d + 1]),
              step_on(places[d], strides[d], addresses[d], places[d + 1]))
             for d in range(last)]
    outer = (judge_last(counts[last], ends[last], closing, turns[last]),
             counters(clk, start, advance, fields, counts[0], counts[last], ends[last],
                      turns[last], phases[last]),
             walk_channels(clk, start, advance, running, moves[last], fields, channel_address),
             spots(clk, advance, places[0], places[last], strides[last], addresses[last]))
    steps = count_steps(clk, reset, start, advance, fields, closing, turns[last].channel, running,
                        step, config)
    return each, inner, outer, steps
