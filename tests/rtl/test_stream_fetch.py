"""The stream fetcher: slots, channel heads and stamps, from the cycles of the beats."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bus import Bus
from kcnn.arch import stream
from kcnn.arch.config import Config
from kcnn.rtl.port import Master
from kcnn.rtl.signals import Heads, Slots, bit, word
from kcnn.rtl.stream_fetch import STREAM_WORD_BITS, stream_fetcher
from kcnn.rtl.unit import Mailbox
from myhdl import ResetSignal, Signal
from replay import replay

TINY = Config.preset("tiny")
CONFIGS = {"tiny": TINY,
           "wide": dataclasses.replace(TINY, lanes=16, code_bits=5, port_bits=64, burst=8,
                                       base_entries=1024, factor_bits=12),
           "32 bytes": dataclasses.replace(TINY, lanes=32, port_bits=256, burst=2),
           "64 bytes": dataclasses.replace(TINY, lanes=64, port_bits=512, burst=1)}


def random_channel(rng, config):
    """Runs with gaps of every size; most positions are near the end of the range sometimes."""
    clusters = []
    for _ in range(rng.choice((0, 1, 2, 2, 5))):
        count, far = rng.choice((1, 1, 2, 5, 9)), rng.choice((120, 300, 1 << config.position_bits))
        taken = sorted(rng.sample(range(far), count))
        half = 1 << config.factor_bits - 1
        clusters.append(stream.Cluster(rng.randrange(-half, half), np.array(taken, np.int64),
                               np.array([rng.random() < 0.5 for _ in taken], bool)))
    return stream.ChannelStream(rng.randrange(1 << 16), rng.randrange(-1 << 31, 1 << 31),
                                tuple(clusters))


def items_of(channels):
    """(first byte, part, slots complete with it) of every item, as docs/machine.md cuts them."""
    data, at, out = stream.encode_stream(channels), 0, []
    for number, channel in enumerate(channels):
        out += [(at, "scale", number), (at + 2, "bias", number)]
        at += stream.CHANNEL_HEAD
        while data[at] != stream.END:
            first = at
            at += 2 * (data[at] & 0xF0 == stream.HEADER)
            at += stream.LONG <= data[at] <= stream.LONG_LAST
            at += data[at] & 0x7F < stream.TAP_GAPS
            out.append((first, "taps", number))
        out.append((at, "end", number))
        at += 1
        assert channel.taps or out[-2][1] == "bias"
    return out


def slots_of(channel, config):
    """The slots as numbers: {last, factor, negative, position}."""
    factor_mask = (1 << config.factor_bits) - 1
    last = 1 << config.position_bits + 1 + config.factor_bits
    found = [int(position) | int(negative) << config.position_bits
             | (cluster.factor & factor_mask) << config.position_bits + 1
             | last * (i == len(cluster.positions) - 1)
             for cluster in channel.clusters
             for i, (position, negative) in enumerate(zip(cluster.positions, cluster.negative,
                                                          strict=True))]
    return found or [last]


class Bench:
    """Random streams; buffers are emptied at random times after they are full."""

    def __init__(self, config):
        self.config, self.given, self.free_at = config, [], {}

    def make(self):
        box = Mailbox(STREAM_WORD_BITS)
        del box.put
        return stream_fetcher, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "box": box,
            "idle": Signal(bool(1)), "bus": Master(), "rdata": word(self.config.port_bits),
            "slots": Slots(self.config), "heads": Heads(), "config": self.config}

    def stimulus(self, ports, rng):
        size = self.config.port_bytes
        memory = bytearray(rng.randbytes(1 << 16))
        self.bus = Bus(ports["bus"], memory, size, rng, ports["rdata"])
        ports["reset"].next = 1
        row, full, at, closed, eager = None, 0, 0, 0, True
        while True:
            self.bus.step(row)
            cycle = self.bus.cycle
            ports["reset"].next = cycle < 2
            if cycle % 200 == 0:
                eager = not eager
            if row:
                if row["box_take"]:
                    ports["box"].full.next = False
                    self.given[-1]["take"] = cycle - 1
                if row["slots_close"]:
                    full |= 1 << row["slots_buffer"]
                    closed += 1
                for b in range(2):
                    if full >> b & 1 and rng.random() < (0.3 if eager else 0.02):
                        full &= ~(1 << b)
                        self.free_at.setdefault(b, []).append(cycle)
                ports["slots"].full.next = full
            if cycle > 3 and not ports["box"].full and rng.random() < 0.2 and at < 60000:
                channels = [random_channel(rng, self.config) for _ in range(rng.randint(1, 5))]
                data = stream.encode_stream(channels)
                units = -(-len(data) // 16)
                memory[at:at + len(data)] = data
                first = at
                at = -(-(at + 16 * units) // size) * size
                ports["box"].word.next = (first // 16) << 16 | units << 44 | len(channels) << 64
                ports["box"].full.next = True
                self.given.append({"at": first, "channels": channels, "units": units})
            row = yield

    def check(self, rows):
        """Every stream's stamps, slots and heads; the number of streams checked."""
        config, size, running, burst, idle_from = self.config, self.config.port_bytes, 0, 0, 0
        freed = {0: [0] + self.free_at.get(0, []), 1: [0] + self.free_at.get(1, [])}
        for number, job in enumerate(self.given):
            beats, bursts, left = [], [], -(-16 * job["units"] // size)
            while left and burst < len(self.bus.bursts):
                bursts.append(self.bus.bursts[burst])
                beats += bursts[-1].beats
                left, burst = left - min(left, config.burst), burst + 1
            items, fired = items_of(job["channels"]), idle_from - 1
            job["fires"] = []
            for first, part, channel in items:
                which = first + 3
                if which // size >= len(beats):
                    return number
                cycle = max(fired + 1, beats[which // size] + 2)
                buffer = (running + channel) % 2
                if part == "scale":
                    turn = (running + channel) // 2
                    if turn >= len(freed[buffer]):
                        return number
                    cycle = max(cycle, freed[buffer][turn])
                if cycle + 1 >= len(rows):
                    return number
                self.check_item(rows[cycle], part, job["channels"][channel], running + channel)
                fired = cycle
                job["fires"].append(cycle)
            self.check_slots(rows, job, running)
            z = max(fired, beats[-1]) + 1
            if z + 1 >= len(rows):
                return number
            assert rows[z]["idle"] == 0 and rows[z + 1]["idle"] == 1
            self.check_requests(job, bursts, len(beats))
            idle_from, running = z + 1, running + len(job["channels"])
        return len(self.given)

    def check_item(self, row, part, channel, number):
        assert row["heads_scale_we"] == (part == "scale"), (row, part)
        assert row["heads_bias_we"] == (part == "bias")
        assert row["slots_close"] == (part == "end")
        if part == "scale":
            assert (row["heads_index"], row["heads_scale"]) == (number % 8, channel.scale)
        if part == "bias":
            assert (row["heads_index"], row["heads_bias"]) == (number % 8,
                                                               channel.bias & (1 << 32) - 1)
        if part == "end":
            count = max(1, channel.taps)
            assert (row["slots_we"], row["slots_buffer"], row["slots_address"]) == (
                1, number % 2, count - 1)

    def check_slots(self, rows, job, running):
        writes = [r for r in rows[job["take"]:] if r["slots_we"]]
        at = 0
        for i, channel in enumerate(job["channels"]):
            for address, slot in enumerate(slots_of(channel, self.config)):
                row = writes[at]
                assert (row["slots_buffer"], row["slots_address"], row["slots_slot"]) == (
                    (running + i) % 2, address, slot)
                at += 1

    def check_requests(self, job, bursts, total):
        """Each burst is asked for in the first cycle that the rule allows."""
        size, depth = self.config.port_bytes, 2 * self.config.burst
        asked, after, address = 0, job["take"] + 1, job["at"]
        pops = self.pops(job, total)
        for burst in bursts:
            number = min(self.config.burst, total - asked)
            cycle = after
            while depth - (asked - sum(p < cycle for p in pops)) < number:
                cycle += 1
            assert (burst.req, burst.address, len(burst.beats)) == (cycle + 1, address, number)
            asked, after, address = asked + number, burst.beats[-1] + 1, address + number * size

    def pops(self, job, total):
        """Cycles in which beats left the FIFO, by a model of the window."""
        beats = [b for burst in self.bus.bursts for b in burst.beats
                 if burst.address >= job["at"] and burst.address < job["at"] + 16 * job["units"]]
        uses = {}
        items = items_of(job["channels"]) + [(None, None, None)]
        ends = [i[0] for i in items[1:-1]] + [items[-2][0] + 1]
        fires = job["fires"]
        for (first, _, _), stop, cycle in zip(items[:-1], ends, fires, strict=True):
            uses[cycle] = stop - first
        pops, held, cycle = [], 0, job["take"] + 1
        last = max(fires[-1], beats[-1])
        while cycle <= last:
            held -= uses.get(cycle, 0)
            if len(pops) < total and beats[len(pops)] < cycle and held <= 4:
                pops.append(cycle)
                held += self.config.port_bytes
            cycle += 1
        return pops


@pytest.mark.parametrize("name", CONFIGS)
def test_slots_heads_and_stamps(name):
    bench = Bench(CONFIGS[name])
    rows = replay(bench.make, 1800, bench.stimulus).rows
    assert bench.check(rows) > 8
