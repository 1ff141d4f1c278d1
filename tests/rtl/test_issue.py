"""Stages 0 and 1 with cache and walker: which tap is issued in which cycle."""

from __future__ import annotations

import dataclasses
import random

import pytest
from core_bench import Part, random_channel, random_run, slot_word
from core_model import chunks_of
from kcnn.arch.config import Config
from kcnn.rtl.fields import Fields
from kcnn.rtl.issue import Tap, issue
from kcnn.rtl.signals import Slots, bit
from kcnn.rtl.tap_cache import SlotRead, tap_cache
from kcnn.rtl.walker import Chunk, chunk_walker
from myhdl import ResetSignal, block
from replay import replay

FIELDS = ("origin", "image_pitch", "chunk_pitch", "pitch", "image_rows", "images", "height",
          "width", "chunk_images", "chunk_rows", "chunk_columns", "channels", "kernel_bits")
CYCLES = 600


@block
def path(clk, reset, clear, start, fields, slots, drained, tap, config):
    """Cache, walker and issue, joined as in the core."""
    read, chunk, advance = SlotRead(slots), Chunk(config), bit()
    return (tap_cache(clk, reset, slots, read, config.tap_slots),
            chunk_walker(clk, clear, start, advance, fields, chunk, config),
            issue(clk, reset, start, fields, read, chunk, advance, drained, tap, config))


def make_for(config):
    def make():
        return path, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                      "clear": bit(), "start": bit(), "fields": Part(Fields(config), *FIELDS),
                      "slots": Slots(config), "drained": bit(), "tap": Tap(config),
                      "config": config}
    return make


class Work:
    """One RUN after the other; chunks are drained a random time after their last tap's issue."""

    def __init__(self, config, rng):
        self.config, self.rng, self.cycle = config, rng, 0
        self.taps: dict[int, tuple] = {}         # by the cycle after the issue
        self.buffer = 0
        self.freed = [0, 0]                      # cycle in which each buffer is seen free

    def __call__(self, ports, rng):
        ports["reset"].next = 1
        yield
        ports["reset"].next = 0
        self.cycle = 1
        while True:
            yield from self.execute(ports)

    def execute(self, ports):
        run = random_run(self.config, self.rng, 0)
        channels = [random_channel(self.config, self.rng, run) for _ in range(run.channels)]
        start = self.cycle + self.rng.randrange(1, 12)
        writes: dict[int, tuple] = {}            # by cycle: buffer, address, slot, is it the last
        drains = self.plan(run, channels, start, writes)
        for name in FIELDS:
            getattr(ports["fields"], name).next = getattr(run, name)
        slots = ports["slots"]
        while self.cycle <= drains[-1]:
            ports["clear"].next = self.cycle == start - 1
            ports["start"].next = self.cycle == start
            ports["drained"].next = self.cycle in drains
            slots.we.next = slots.close.next = 0
            if self.cycle in writes:
                buffer, address, slot, closes = writes[self.cycle]
                slots.we.next, slots.buffer.next, slots.address.next = 1, buffer, address
                slots.slot.next = slot_word(self.config, slot)
                slots.close.next = closes
            yield
            self.cycle += 1
        ports["start"].next = ports["drained"].next = 0

    def write(self, writes, channel, cycle):
        """Writes a channel's slots from `cycle` on, or when there is room; when is it full?"""
        cycle = max(cycle, self.freed[self.buffer])
        for address, slot in enumerate(channel.slots):
            cycle += self.rng.choice((0, 0, 0, 2))
            writes[cycle] = self.buffer, address, slot, address == len(channel.slots) - 1
            cycle += 1
        self.buffer = 1 - self.buffer
        return cycle

    def plan(self, run, channels, start, writes):
        """Fills self.taps by the rules of docs/machine.md; returns the cycles of the drains."""
        share, banks = self.config.share, self.config.total_banks
        presented, issued, ended, drains = start, -1, -share, []
        buffer, full = self.buffer, [self.write(writes, channels[0], self.cycle)]
        for k, channel in enumerate(channels):
            if k + 1 < len(channels):
                full.append(self.write(writes, channels[k + 1], full[-1]))
            for places in chunks_of(run, self.config.lanes):
                for number, slot in enumerate(channel.slots):
                    presented = max(presented + 1, issued, full[k])
                    issued = max(presented, issued) + 1
                    if slot.last:
                        issued = max(issued, ended + share)
                    if number == 0 and len(drains) >= banks:
                        issued = max(issued, drains[-banks] + 1)
                    ended = issued if slot.last else ended
                    closing = number == len(channel.slots) - 1
                    self.taps[issued + 1] = self.seen(run, slot, places[0], closing)
                after = drains[-1] + 1 if drains else 0
                drains.append(max(issued + self.rng.choice((4, 9, 30)), after))
            self.freed[(buffer + k) % 2] = presented + 1
        return drains

    def seen(self, run, slot, place, closing):
        """What the lanes see of a tap."""
        n, y, x = place
        at = run.origin + (n * run.image_rows + y) * run.pitch + x
        entry = (slot.position >> run.kernel_bits) % self.config.base_entries
        return {"last": slot.last, "closing": closing, "negative": slot.negative,
                "factor": slot.factor % (1 << self.config.factor_bits), "entry": entry,
                "kernel": slot.position % (1 << run.kernel_bits),
                "chunk_position": at % self.config.memory_codes}


@pytest.mark.parametrize("fields", [{"share": 1}, {"share": 4}], ids=["M1", "M4"])
def test_every_tap_is_issued_in_its_cycle(fields):
    config = dataclasses.replace(Config.preset("tiny"), memory_codes=1024, base_entries=64,
                                 tap_slots=64, **fields)
    stimuli = []

    def stimulus(ports, rng):
        stimuli.append(Work(config, random.Random(7)))
        return stimuli[-1](ports, rng)

    rows = replay(make_for(config), CYCLES, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    taps = {cycle: tap for cycle, tap in stimuli[-1].taps.items() if cycle < CYCLES}
    assert {t for t, row in enumerate(rows) if row["tap_valid"]} == set(taps)
    for cycle, tap in taps.items():
        assert {name: rows[cycle][f"tap_{name}"] for name in tap} == tap
    assert len(taps) > 100
