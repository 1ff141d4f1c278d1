"""The compute core: RUN and FILL, the activation memory, the tap cache and the tables.

    slots --> tap cache --> issue --> addresses --> activation memory --> aligner --> lanes
                              ^                            ^                            |
                              | drained                    | write                  multipliers
                              +---- drain: operations      |                            |
                                    '--> totals --> requantize --> clustering --> collector
"""

from __future__ import annotations

from myhdl import always, always_comb, always_seq, block, concat, intbv

from ..arch import latency
from ..arch.config import bits_for
from ..arch.fixed import BIAS_BITS, SCALE_BITS, V_BITS
from .activation_memory import MemoryWrite, activation_memory
from .addresses import Window, addresses
from .aligner import aligner
from .clustering import clustering
from .collector import collector
from .delay import delay_line
from .drain import Flow, drain
from .fields import Fields, run_fields
from .issue import Tap, issue
from .lanes import cluster_sums, decode, maxima, signs_of
from .multipliers import ClusterEnd, lane_multipliers, shared_multipliers
from .requantize import channel_heads, narrow, requantize
from .signals import bit, number, word, wrapping
from .tables import THRESHOLD_BITS, TablePorts, spread
from .tap_cache import SlotRead, tap_cache
from .walker import Chunk, chunk_walker


@block
def memory_reads(window, rows, even_row, odd_row, even, odd):
    """The memory's read port: a window of a tap, or a row for the store unit."""
    @always_comb
    def choose():
        if rows.re:
            even_row.next = rows.read_address
            odd_row.next = rows.read_address
        else:
            even_row.next = window.even_row
            odd_row.next = window.odd_row

    @always_comb
    def show():
        rows.out.next = concat(odd, even)

    return choose, show


class Stages:
    """What belongs to a tap, at the blocks that need it.

    pair: at the decode tables; max_valid, max_last: at the maxima; run_end: at the sums.
    """

    def __init__(self, config):
        self.pair = bit()
        self.max_valid = bit()
        self.max_last = bit()
        self.run_end = ClusterEnd(config)


@block
def accompany(clk, reset, tap, pair, stages, config):
    """Takes what belongs to a tap along with its codes.

    tap: Tap; pair: of its decode tables, a cycle later; stages: Stages, driven.
    """
    length = latency.tap_to_sums(config)
    # bit k of a word that is shifted every cycle is k + 1 cycles old
    at_decode = latency.tap_to_decode(config) - latency.PAIR - 1
    at_maxima, at_sums = latency.tap_to_maxima(config) - 1, length - 1
    factor_bits = config.factor_bits
    closing_at = factor_bits + 1
    valids, lasts, pairs = word(length), word(length), word(at_decode + 1)
    run, run_late = word(factor_bits + 2), word(factor_bits + 2)
    factor = wrapping(factor_bits)
    run_end = stages.run_end

    @always_seq(clk.posedge, reset=reset)
    def follow():
        if tap.active:
            valids.next = concat(valids[length - 1:], tap.valid)
            lasts.next = concat(lasts[length - 1:], tap.last)
            pairs.next = concat(pairs[at_decode:], pair)

    @always_comb
    def combine():
        run.next = concat(tap.closing, tap.negative, tap.factor)

    @always_comb
    def show():
        stages.max_valid.next = valids[at_maxima]
        stages.max_last.next = lasts[at_maxima]
        run_end.valid.next = valids[at_sums]
        run_end.last.next = lasts[at_sums]
        stages.pair.next = pairs[at_decode]
        factor.next = run_late[factor_bits:]

    @always(clk.posedge)
    def arrive_plain():
        if tap.active:
            run_end.closing.next = run_late[closing_at]
            run_end.factor.next = factor

    @always(clk.posedge)
    def arrive_signed():
        if tap.active:
            run_end.closing.next = run_late[closing_at]
            if run_late[factor_bits]:
                run_end.factor.next = 0 - factor
            else:
                run_end.factor.next = factor

    signs = () if config.share == 1 else signs_of(
        clk, tap.active, run_late(factor_bits), valids(at_sums - 1), run_end.negative)
    arrive = arrive_plain, signs
    return (follow, combine, show,
            delay_line(clk, reset, tap.active, run, run_late, length - 1),
            arrive_signed if config.share == 1 else arrive)


@block
def select_totals(clk, active, reads, multiplier, totals, config):
    """totals[d]: what multiplier `multiplier` + d gave in the cycle before."""
    positions = config.drain
    group_bits = max(config.multipliers.bit_length() - 1, 1)

    @always(clk.posedge)
    def choose():
        at = intbv(0)[group_bits:]
        if active:
            for d in range(positions):
                at[:] = multiplier | d
                totals[d].next = reads[at]

    return choose


@block
def code_of(clk, reset, active, ports, fields, total, scale, bias, digit, code, config):
    """The code of one position, from its total."""
    code_bits = config.code_bits
    v = number(V_BITS)
    clustered = word(THRESHOLD_BITS)
    direct = word(code_bits)
    return (requantize(clk, active, total, fields.shift, scale, bias, v),
            narrow(clk, reset, active, v, total, digit, fields, clustered, direct, code_bits),
            clustering(clk, reset, active, ports, fields, clustered, direct, code, code_bits))


@block
def lane_array(clk, reset, active, fields, ports, codes, stages, at_total, reads, complete, config):
    """Lanes and multipliers: from the aligned codes to the totals.

    stages: Stages; reads[j]: total of multiplier j at `at_total`, a cycle before.
    """
    lanes = config.lanes
    values = [number(config.value_bits) for _ in range(lanes)]
    best = [number(config.value_bits) for _ in range(lanes)]
    run_end = stages.run_end
    front = (decode(clk, active, ports, stages.pair, codes, values, config.code_bits),
             maxima(clk, reset, stages.max_valid, stages.max_last, fields.max_run, values, best,
                    lanes, config.code_bits))
    if config.share == 1:
        return front, lane_multipliers(clk, reset, run_end, fields.max_run, best, at_total,
                                       reads, complete, config)
    captured = [wrapping(config.sum_bits) for _ in range(lanes)]
    sums = cluster_sums(clk, reset, run_end, fields.max_run, best, captured, lanes,
                        config.sum_bits)
    return front, sums, shared_multipliers(clk, reset, active, run_end, captured, at_total, reads,
                                           complete, config)


@block
def core(clk, reset, command, slots, heads, table, rows, trace, config):
    """command: Command; slots: Slots; heads: Heads; table: TableWrite; rows: Rows; trace: Trace."""
    fields, ports, flow = Fields(config), TablePorts(config), Flow(config)
    taken, advance, drained, complete = bit(), bit(), bit(), bit()
    filled, ended = bit(), bit()
    read, chunk, tap, stages = SlotRead(slots), Chunk(config), Tap(config), Stages(config)
    window, pair = Window(config), bit()
    row_bits = bits_for(config.rows)
    even_row, odd_row = word(row_bits), word(row_bits)
    even, odd, codes = (word(config.word_bits) for _ in range(3))
    write = MemoryWrite(config)
    reads = [wrapping(config.total_bits) for _ in range(config.multipliers)]
    totals = [number(config.total_bits) for _ in range(config.drain)]
    new_codes = [word(config.code_bits) for _ in range(config.drain)]
    scale, bias = word(SCALE_BITS), wrapping(BIAS_BITS)

    instruction = word(len(command.word))        # to be sliced: a port's slices get no names

    @always_comb
    def expose():
        instruction.next = command.word

    @always_comb
    def finish():
        command.ending.next = filled or ended

    control = (
        run_fields(clk, reset, command.go, instruction, fields, taken, config),
        spread(clk, reset, table, ports, config),
        tap_cache(clk, reset, slots, read, config.tap_slots),
        chunk_walker(clk, command.go, taken, advance, fields, chunk, config),
        issue(clk, reset, taken, fields, read, chunk, advance, drained, tap, config),
        drain(clk, reset, taken, complete, fields, drained, ended, flow, config))
    inward = (
        addresses(clk, tap, fields, ports, window, pair, config),
        memory_reads(window, rows, even_row, odd_row, even, odd),
        activation_memory(clk, write, even_row, odd_row, even, odd, config),
        aligner(clk, tap.active, window.offset, even, odd, codes, config),
        accompany(clk, reset, tap, pair, stages, config),
        lane_array(clk, reset, tap.active, fields, ports, codes, stages, flow.at_total, reads,
                   complete, config))
    outward = (
        select_totals(clk, flow.active, reads, flow.multiplier, totals, config),
        channel_heads(clk, flow.active, heads, flow.head, scale, bias),
        [code_of(clk, reset, flow.active, ports, fields, totals[d], scale, bias, flow.digit,
                 new_codes[d], config)
         for d in range(config.drain)],
        collector(clk, reset, command.go, instruction, flow, new_codes, rows, write, trace,
                  filled, config))
    return expose, finish, control, inward, outward
